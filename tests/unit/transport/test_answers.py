"""An answer is the same in whatever pieces it arrives; a broken or endless one is an error."""

from __future__ import annotations

from itertools import pairwise

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.transport.answers import MAX_HEAD_BYTES, AnswerReader

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Same: 1\r\nx-same: 2\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
    b"5;name=value\r\nHello\r\n1\r\n,\r\nA\r\n0123456789\r\n0\r\nx-trailer: t\r\n\r\n"
)
OF_A_LENGTH = b"HTTP/1.1 404 Not Found\r\ncontent-length: 11\r\n\r\nNo, nothing"
TO_THE_CLOSE = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nUntil it ends"
EMPTY = b"HTTP/1.1 204 No Content\r\nserver: x\r\n\r\n"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + OF_A_LENGTH
OLD = b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"

Told = tuple[int, list[tuple[bytes, bytes]], bytes, bool, bool]
ANSWERS: dict[str, tuple[bytes, Told]] = {
    "chunked": (
        CHUNKED,
        (
            200,
            [
                (b"Content-Type", b"text/event-stream"),
                (b"X-Same", b"1"),
                (b"x-same", b"2"),
                (b"Transfer-Encoding", b"chunked"),
            ],
            b"Hello,0123456789",
            True,
            True,
        ),
    ),
    "of a length": (OF_A_LENGTH, (404, [(b"content-length", b"11")], b"No, nothing", True, True)),
    "to the close": (TO_THE_CLOSE, (200, [(b"connection", b"close")], b"Until it ends", False, False)),
    "empty": (EMPTY, (204, [(b"server", b"x")], b"", True, True)),
    "after an interim one": (INTERIM, (404, [(b"content-length", b"11")], b"No, nothing", True, True)),
    "of HTTP/1.0": (OLD, (200, [(b"content-length", b"2")], b"ok", True, False)),
}


def told(reader: AnswerReader, pieces: list[bytes]) -> Told:
    body = b"".join([reader.feed(piece) for piece in pieces])
    return reader.status, reader.headers, body, reader.is_over, reader.may_follow


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({0, *(place % (len(data) + 1) for place in places), len(data)})
    return [data[start:end] for start, end in pairwise(marks)]


@pytest.mark.parametrize("name", ANSWERS)
@given(places=st.lists(st.integers(min_value=0, max_value=10_000), max_size=12))
def test_an_answer_is_the_same_in_any_pieces(name: str, places: list[int]) -> None:
    data, expected = ANSWERS[name]
    assert told(AnswerReader(), cut(data, places)) == expected


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_the_same_byte_by_byte_and_cut_at_each_place(name: str) -> None:
    data, expected = ANSWERS[name]
    assert told(AnswerReader(), [bytes([byte]) for byte in data]) == expected
    for place in range(len(data)):
        assert told(AnswerReader(), cut(data, [place])) == expected, place


def test_one_reader_reads_one_answer_after_the_other() -> None:
    reader = AnswerReader()
    for name in ("chunked", "of a length", "empty", "after an interim one", "chunked"):
        data, expected = ANSWERS[name]
        reader.begin()
        assert told(reader, [data]) == expected


def test_an_answer_to_head_has_no_body_and_is_the_connections_last() -> None:
    reader = AnswerReader()
    reader.begin(has_body=False)
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n"
    assert told(reader, [head]) == (200, [(b"content-length", b"11")], b"", True, False)


@pytest.mark.parametrize("name", ANSWERS)
def test_only_an_answer_without_a_length_ends_with_the_connection(name: str) -> None:
    data, _ = ANSWERS[name]
    for place in range(len(data)):
        reader = AnswerReader()
        reader.feed(data[:place])
        if reader.has_head and name == "to the close":
            reader.end()
            assert reader.is_over
        else:
            with pytest.raises(httpx.RemoteProtocolError, match="closed the connection"):
                reader.end()
    reader = AnswerReader()
    reader.feed(data)
    reader.end()
    assert reader.is_over


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nna me: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nname: a\x00b\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ],
)
def test_bytes_that_are_no_answer_are_refused(data: bytes) -> None:
    for pieces in ([data], [bytes([byte]) for byte in data]):
        with pytest.raises(httpx.RemoteProtocolError):
            told(AnswerReader(), pieces)


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 " + b"O" * 1000,
        b"HTTP/1.1 200 OK\r\n" + b"n" * 1000,
        b"HTTP/1.1 200 OK\r\nname: " + b"v" * 1000,
    ],
)
def test_a_head_without_end_is_refused(start: bytes) -> None:
    filler = start[-1:] * 1000
    reader = AnswerReader()
    reader.feed(start)
    with pytest.raises(httpx.RemoteProtocolError, match="head"):
        told(reader, [filler] * (MAX_HEAD_BYTES // 1000))


@pytest.mark.parametrize("size", [1, 1000, 2 * MAX_HEAD_BYTES])
def test_a_heads_limit_does_not_depend_on_its_pieces(size: int) -> None:
    frame = b"HTTP/1.1 204 No Content\r\nname: %b\r\n\r\n"
    longest = frame % (b"v" * (MAX_HEAD_BYTES - len(frame) + 2))
    assert len(longest) == MAX_HEAD_BYTES
    for data, is_refused in ((longest, False), (longest.replace(b"v\r", b"vv\r"), True)):
        pieces = [data[start : start + size] for start in range(0, len(data), size)]
        if is_refused:
            with pytest.raises(httpx.RemoteProtocolError, match="head"):
                told(AnswerReader(), pieces)
        else:
            assert told(AnswerReader(), pieces)[3]


@pytest.mark.parametrize(
    "endless",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"x: y\r\n",
        b"1;" + b"e" * 100,
    ],
)
def test_overhead_without_end_is_refused(endless: bytes) -> None:
    reader = AnswerReader()
    if endless.startswith(b"x"):
        reader.feed(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n.\r\n0\r\n")
    elif endless.startswith(b"1"):
        reader.feed(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;")
        endless = endless[2:]
    with pytest.raises(httpx.RemoteProtocolError):
        told(reader, [endless] * (2 * MAX_HEAD_BYTES // len(endless)))


@pytest.mark.parametrize("more", [b"HTTP/1.1 200 OK\r\n", OF_A_LENGTH, b"?"])
def test_more_than_one_answer_to_one_request_is_the_connections_last(more: bytes) -> None:
    reader = AnswerReader()
    assert told(reader, [OF_A_LENGTH + more])[2:] == (b"No, nothing", True, False)
