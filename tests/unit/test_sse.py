"""Server-sent events: however the bytes are cut, the same payloads."""

from __future__ import annotations

import json
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib import sse
from lib.errors import UpstreamProtocolError

CASES: dict[str, tuple[bytes, list[bytes]]] = {
    "one event": (b"data: {}\n\n", [b"{}"]),
    "the upstream's own form": (b'event: message\ndata: {"a":1}\n\n', [b'{"a":1}']),
    "two events": (b"event: message\ndata: 1\n\nevent: message\ndata: 2\n\n", [b"1", b"2"]),
    "no space": (b"data:1\n\n", [b"1"]),
    "two spaces": (b"data:  1\n\n", [b"1"]),
    "several data lines": (b"data: 1\ndata:\ndata: 3\n\n", [b"1\n\n3"]),
    "data lines around others": (b"data: 1\nid: 7\n: note\nretry: 5\ndata: 2\n\n", [b"1\n2"]),
    "CRLF": (b"event: message\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n", [b"1", b"2"]),
    "CR": (b"event: message\rdata: 1\r\rdata: 2\r\r", [b"1", b"2"]),
    "mixed line ends": (
        b"data: 1\r\ndata: 2\rdata: 3\n\r\ndata: 4\r\n\ndata: 5\n\r",
        [b"1\n2\n3", b"4", b"5"],
    ),
    "CR, then CRLF": (b"data: 1\r\r\ndata: 2\r\r\n", [b"1", b"2"]),
    "many blank lines": (b"\n\n\ndata: 1\n\n\n\n\ndata: 2\n\n\n", [b"1", b"2"]),
    "comments": (b": hello\n\n:\n\ndata: 1\n:data: 2\n\n", [b"1"]),
    "an event without data": (b"event: ping\nid: 1\n\ndata: 1\n\n", [b"1"]),
    "an empty data line": (b"data:\n\ndata\n\ndata: 1\n\n", [b"", b"", b"1"]),
    "other fields that begin alike": (b"database: 1\ndat: 2\nDATA: 3\n data: 4\ndata : 5\n\n", []),
    "a byte order mark": (b"\xef\xbb\xbfdata: 1\n\n\xef\xbb\xbfdata: 2\n\n", [b"1"]),
    "characters of several bytes": ("data: 你好 🙂\n\n".encode(), ["你好 🙂".encode()]),
    "no blank line at the end": (b"data: 1\n\ndata: 2", [b"1", b"2"]),
    "one line end at the end": (b"data: 1\n\ndata: 2\r\n", [b"1", b"2"]),
    "a byte order mark and no line end": (b"\xef\xbb\xbfdata: 1", [b"1"]),
    "done": (b"data: 1\n\ndata: [DONE]\n\n", [b"1", b"[DONE]"]),
    "nothing": (b"", []),
    "not a stream at all": (b"<html>\n\n<p>no</p>", []),
}


def split(pieces: list[bytes]) -> list[bytes]:
    splitter = sse.EventSplitter()
    return [payload for piece in pieces for payload in splitter.feed(piece)] + splitter.end()


@pytest.mark.parametrize(("stream", "payloads"), CASES.values(), ids=CASES.keys())
def test_the_cuts_between_chunks_do_not_matter(stream: bytes, payloads: list[bytes]) -> None:
    assert split([stream]) == payloads
    assert split([stream[at : at + 1] for at in range(len(stream))]) == payloads
    for cut in range(len(stream) + 1):
        assert split([stream[:cut], stream[cut:]]) == payloads
        assert split([stream[:cut], b"", stream[cut : cut + 1], stream[cut + 1 :]]) == payloads


def test_an_event_is_given_as_soon_as_its_blank_line_has_come() -> None:
    splitter = sse.EventSplitter()
    assert splitter.feed(b"data: 1\n") == []
    assert splitter.feed(b"\ndata: 2\r\n\r") == [b"1", b"2"]
    assert splitter.feed(b"\ndata: 3") == []
    assert splitter.end() == [b"3"]
    assert splitter.end() == []


WITHOUT_LINE_ENDS = st.characters(exclude_categories=["Cs"], exclude_characters="\r\n")


@given(
    payloads=st.lists(st.text(WITHOUT_LINE_ENDS).map(str.lstrip)),
    line_end=st.sampled_from([b"\n", b"\r\n", b"\r"]),
    data=st.data(),
)
def test_any_payloads_survive_any_pieces(payloads: list[str], line_end: bytes, data: st.DataObject) -> None:
    stream = b"".join(b"event: message\ndata: %s\n\n" % text.encode() for text in payloads)
    stream = stream.replace(b"\n", line_end)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert split(pieces) == [text.encode() for text in payloads]


@given(pieces=st.lists(st.binary(max_size=20) | st.sampled_from([b"\n", b"\r", b"data: ", b"\n\n"])))
def test_any_bytes_give_the_same_in_pieces_as_whole(pieces: list[bytes]) -> None:
    assert split(pieces) == split([b"".join(pieces)])


def test_an_event_over_the_limit_is_refused_in_one_piece_and_in_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 1000)
    fits = b"data: " + b"x" * 900 + b"\n\n"
    assert split([fits] * 5) == [b"x" * 900] * 5
    with pytest.raises(UpstreamProtocolError, match="at most 1000 bytes, got one of 1206 or more"):
        sse.EventSplitter().feed(b"data: " + b"x" * 1200 + b"\n\n")
    for piece in (b"xxxxxxxxxx", b"data: xxxx\n"):
        splitter = sse.EventSplitter()
        assert [splitter.feed(piece) for _ in range(100)] == [[]] * 100
        with pytest.raises(UpstreamProtocolError):
            splitter.feed(piece)


def test_a_large_event_in_many_chunks_takes_linear_time() -> None:
    def seconds(chunks: int) -> float:
        splitter = sse.EventSplitter()
        splitter.feed(b"data: ")
        start = time.perf_counter()
        for _ in range(chunks):
            splitter.feed(b"x" * 200)
        assert len(splitter.feed(b"\n\n")[0]) == chunks * 200
        return time.perf_counter() - start

    seconds(100)
    assert min(seconds(40_000) for _ in range(3)) < 40 * min(seconds(4_000) for _ in range(3))  # squared: 100


def test_encoded_data_is_one_event_and_reads_back() -> None:
    assert sse.encode_data(b'{"a":1}') == b'data: {"a":1}\n\n'
    assert split([sse.COMMENT, sse.encode_data(b"{}"), sse.DONE]) == [b"{}", b"[DONE]"]


@given(text=st.text() | st.text(st.sampled_from("a\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029你")))
def test_encoded_json_is_one_line_for_every_reader_of_lines(text: str) -> None:
    event = sse.encode_data(msgspec.json.encode(text))
    assert len(event.decode().splitlines()) == 2
    assert json.loads(split([event])[0]) == text
