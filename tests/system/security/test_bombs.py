"""Bodies that are made to hurt: refused or answered, in bounded time and memory; never a 500."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable, Iterator

import httpx
import pytest

from hosts.box.demo import DEMO_KEY
from lib.dialects.interface import Address
from lib.dialects.openai_audio import parse_speech
from lib.dialects.openai_chat_request import parse
from lib.dialects.openai_embeddings import parse_embedding_request
from lib.dialects.openai_media import parse_image_request
from lib.dialects.openai_videos import parse_creation, parse_generation
from lib.dialects.rerank import parse_ranking_request
from lib.dialects.token_check import parse_token
from lib.dialects.tokens import parse_new_token
from lib.errors import InvalidRequest
from tests.support.client import CHAT, Client, error_of
from tests.system.security.process import Process

MIB = 1024 * 1024
DEEP = 100_000
LONG = 1_000_000

PARSERS: dict[str, tuple[Callable[[bytes], object], str]] = {
    "chat": (
        lambda body: parse(body, Address()),
        """messages model stream stream_options stop max_tokens max_completion_tokens reasoning_effort store
        reasoning web_search_options conversation_id n tools functions response_format modalities audio
        other""",
    ),
    "image": (parse_image_request, "prompt model n size response_format user conversation_id other"),
    "video": (
        lambda body: parse_creation(body, {}, has_file=False),
        "prompt model seconds size input_reference other",
    ),
    "generation": (
        parse_generation,
        """prompt model image_url wait audio_id conversation_id video_style emotional_atmosphere mirror_mode
        other""",
    ),
    "token": (parse_token, "token other"),
    "new token": (parse_new_token, "token other"),
    "embeddings": (parse_embedding_request, "input model dimensions encoding_format user other"),
    "rerank": (parse_ranking_request, "query documents model top_n return_documents other"),
    "speech": (parse_speech, "input model voice speed volume response_format stream_format other"),
}
OTHERS = b'"input":"i","query":"q","documents":["d"]'
STRANGE = {
    "deep arrays": b"[" * DEEP,
    "deep arrays that end": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"a":' * DEEP,
    "as deep as Python goes": b'{"effort":' * 990 + b"1" + b"}" * 990,
    "a number of a million digits": b"9" * LONG,
    "a fraction of a million digits": b"0." + b"9" * LONG,
    "an exponent of a million digits": b"1e" + b"9" * LONG,
    "minus nothing": b"-",
    "not a number": b"NaN",
    "infinity": b"-Infinity",
    "half a character": b'"\\ud83d"',
    "halves the wrong way round": b'"\\udc00\\ud800"',
    "no UTF-8": b'"\xff\xfe\xc0\xaf"',
    "a NUL": b'"\\u0000"',
    "a bare NUL": b'"\x00"',
    "control characters": b'"\x1b[31m\n"',
    "a long text": b'"' + b"a" * LONG + b'"',
    "a long list": b"[" + b"1," * LONG + b"1]",
    "a long list of lists": b"[" + b"[]," * 199_000 + b"[]]",
    "many keys": b"{" + b",".join(b'"k%d":1' % n for n in range(100_000)) + b"}",
}


def said_of(parse: Callable[[bytes], object], body: bytes) -> str:
    """Return the refusal, if it is one; any other exception is a fault of ours."""
    try:
        parse(body)
    except InvalidRequest as refusal:
        return refusal.message
    return ""


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("kind", PARSERS)
def test_a_strange_value_in_any_field_is_refused_or_taken(kind: str, name: str) -> None:
    parse, fields = PARSERS[kind]
    for field in fields.split():
        one = b'{"%b":%b' % (field.encode(), STRANGE[name])
        others = b',"prompt":"p","messages":[{"role":"user","content":"m"}],%b}' % OTHERS
        for body in (one + b"}", one + others, b"{" + others[1:-1] + b"," + one[1:] + b"}"):
            said = said_of(parse, body)
            assert len(said.encode()) < 300, field


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"\x00", 400),
        (b"\xff\xfe{\x00}\x00", 400),
        ('{"messages":[{"role":"user","content":"a"}]}'.encode("utf-16"), 400),
        ('{"messages":[{"role":"user","content":"a"}]}'.encode("utf-32"), 400),
        (b'\xef\xbb\xbf{"messages":[{"role":"user","content":"a"}]}', 200),
        (b'\xef\xbb\xbf\xef\xbb\xbf{"messages":[{"role":"user","content":"a"}]}', 400),
        (b'{"messages":[],"messages":[{"role":"user","content":"a"}]}', 200),  # the last counts, as in Python
        (b'{"messages":[{"role":"user","content":"a"}],"messages":1}', 400),
        (b'{"messages":[{"role":"user","content":"a"}]} trailing', 400),
        (b'{"messages":[{"role":"user","content":"a"}],"temperature":NaN}', 400),
        (b"messages=a", 400),
        (b"<messages/>", 400),
    ],
)
def test_what_is_nearly_json_is_refused_in_our_shape(client: Client, body: bytes, status: int) -> None:
    answer = client.request("POST", CHAT, content=body)
    assert answer.status_code == status, answer.text
    if status == 400:
        assert error_of(answer)["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "image/png",
        "application/json; charset=utf-16",
        "\xff",
    ],
)
def test_json_is_read_whatever_it_is_called(client: Client, content_type: str) -> None:
    """curl calls it a form unless told otherwise; no cookie is ever read, so no page gains from that."""
    body = b'{"messages":[{"role":"user","content":"[scene:text chars=9]"}]}'
    headers = {"content-type": content_type.encode("latin-1")}
    assert client.request("POST", CHAT, content=body, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        *(CHAT, "/v1/images/generations", "/v1/videos", "/v1/videos/generations", "/token/check", "/tokens"),
        *("/v1/embeddings", "/v1/rerank", "/v1/audio/speech", "/v1/audio/transcriptions"),
    ],
)
def test_a_compressed_body_is_refused_on_every_route(client: Client, path: str) -> None:
    bomb = gzip.compress(b'{"a":"' + b"a" * 10 * MIB + b'"}')
    answer = client.request("POST", path, content=bomb, headers={"content-encoding": "gzip"})
    assert (answer.status_code, error_of(answer)["code"]) == (415, "unsupported_encoding")
    assert answer.headers["accept-encoding"] == "identity"


# Size: what it costs the process


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with Process(tmp_path_factory.mktemp("demo"), "--demo", LOG_LEVEL="ERROR") as demo:
        yield demo


SIZE = 31 * MIB
"""Just below MAX_BODY_BYTES."""
MAX_MEMORY = 256 * MIB
"""Of the whole process, simulator and all: at most 135 MiB were seen (2026-11-22), 40 without a request."""


def filled(begin: bytes, unit: bytes, end: bytes, between: bytes = b",") -> bytes:
    count = (SIZE - len(begin + unit + end)) // len(unit + between)
    return begin + (unit + between) * count + unit + end


CHATTED = b'{"messages":[{"role":"user","content":"a"}],'
BOMBS: dict[str, Callable[[], bytes]] = {
    "messages of nothing": lambda: filled(b'{"messages":[', b'{"role":"user","content":""}', b"]}"),
    "messages of a letter": lambda: filled(b'{"messages":[', b'{"role":"user","content":"a"}', b"]}"),
    "parts": lambda: filled(
        b'{"messages":[{"role":"user","content":[', b'{"type":"text","text":"a"}', b"]}]}"
    ),
    "tools": lambda: filled(CHATTED + b'"tools":[', b"{}", b"]}"),
    "numbers": lambda: filled(CHATTED + b'"audio":[', b"0", b"]}"),
    "lists in lists": lambda: filled(CHATTED + b'"audio":[', b"[" * 400 + b"]" * 400, b"]}"),
    "keys": lambda: b"{" + b",".join(b'"%x":1' % n for n in range(2_500_000)) + b"}",
    "the same key": lambda: filled(b"{", b'"model":"a"', b"}"),
    "stops": lambda: filled(CHATTED + b'"stop":[', b'"a"', b"]}"),
    "a model": lambda: filled(CHATTED + b'"model":"', b"a", b'"}', b""),
    "a number": lambda: filled(CHATTED + b'"n":', b"9", b"}", b""),
    "spaces": lambda: filled(b"", b" ", b"", b""),
    "brackets": lambda: filled(b"", b"[", b"", b""),
    "a text that never ends": lambda: filled(CHATTED + b'"a":"', b"a", b"", b""),
    "escapes": lambda: filled(b'{"messages":[{"role":"user","content":["', b"\\u4e2d", b'"]}]}', b""),
    "an image in bad base64": lambda: filled(
        b'{"messages":[{"role":"user","content":[{"type":"image_url","image_url":"data:image/png;base64,',
        b"!",
        b'"}]}]}',
        b"",
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
@pytest.mark.parametrize("name", BOMBS)
def test_a_large_body_costs_no_more_than_a_few_times_its_size(
    demo: Process, http: httpx.Client, name: str
) -> None:
    body = BOMBS[name]()
    assert len(body) <= 32 * MIB
    headers = {"authorization": f"Bearer {DEMO_KEY}"}
    demo.forget_peak()
    answer = http.post(demo.url + CHAT, content=body, headers=headers, timeout=120)
    assert answer.status_code in {400, 413}, answer.text[:300]
    assert len(error_of(answer)["message"]) < 300
    assert demo.peak_bytes < MAX_MEMORY
    assert http.get(demo.url + "/ping").text == "pong"


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
def test_a_text_with_one_emoji_costs_no_more_than_six_times_its_size(
    demo: Process, http: httpx.Client
) -> None:
    """Python holds the text at four bytes a character, and widens it beside the body (docs/security.md)."""
    body = filled(b'{"messages":[{"role":"user","content":"', b"a", '\N{GRINNING FACE}"}]}'.encode(), b"")
    demo.forget_peak()
    before = demo.peak_bytes
    answer = http.post(
        demo.url + CHAT, content=body, headers={"authorization": f"Bearer {DEMO_KEY}"}, timeout=120
    )
    assert (answer.status_code, error_of(answer)["code"]) == (400, "context_length_exceeded")
    assert demo.peak_bytes - before < 6.3 * SIZE, (demo.peak_bytes - before) / SIZE


# Forms


MAX_FORM_GROWTH = 16 * MIB
"""A form is read piece by piece, and a file in it goes to the disk."""
FORM = {"authorization": f"Bearer {DEMO_KEY}", "content-type": "multipart/form-data; boundary=b"}
FIELD = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n'
FORM_BOMBS: dict[str, Callable[[], bytes]] = {
    "fields": lambda: filled(b"", FIELD, b"--b--\r\n", b"a\r\n"),
    "files": lambda: filled(b"", FIELD.replace(b'"prompt"', b'"x"; filename="y"'), b"--b--\r\n", b"a\r\n"),
    "a field": lambda: filled(FIELD, b"a", b"\r\n--b--\r\n", b""),
    "headers": lambda: filled(FIELD[:-4], b"\r\nx: y", b"\r\n\r\na\r\n--b--\r\n", b""),
    "a header": lambda: filled(FIELD[:-2] + b"x: ", b"a", b"\r\n\r\na\r\n--b--\r\n", b""),
    "a file's name": lambda: filled(FIELD[:-4] + b'; filename="', b"a", b'"\r\n\r\na\r\n--b--\r\n', b""),
    "before the first": lambda: filled(b"", b"\r\n--", FIELD, b""),
    "nearly the end": lambda: filled(FIELD, b"\r\n--", b"\r\n--b--\r\n", b""),
    "no end": lambda: filled(FIELD.replace(b'"prompt"', b'"x"; filename="y"'), b"a", b"", b""),
}


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
@pytest.mark.parametrize("path", ["/v1/videos", "/v1/audio/transcriptions"])
@pytest.mark.parametrize("name", FORM_BOMBS)
def test_a_form_costs_a_part_of_its_size(demo: Process, http: httpx.Client, name: str, path: str) -> None:
    body = FORM_BOMBS[name]()
    http.post(f"{demo.url}{path}", content=FIELD, headers=FORM)  # The first form imports its parser.
    demo.forget_peak()
    before = demo.peak_bytes
    answer = http.post(f"{demo.url}{path}", content=body, headers=FORM, timeout=120)
    assert answer.status_code in {400, 413}, answer.text[:300]
    assert len(error_of(answer)["message"]) < 300
    assert demo.peak_bytes - before < MAX_FORM_GROWTH, (demo.peak_bytes - before) / MIB
    assert http.get(demo.url + "/ping").text == "pong"
