"""Headers that mean to confuse, or to be said again: under both parsers, and in the log."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator

import pytest

from tests.conftest import Upstream
from tests.support.client import CHAT, KEY, Client
from tests.support.live import LiveGateway
from tests.support.log import written
from tests.support.waiting import wait_until
from tests.support.wire import RawClient
from tests.system.security.conftest import Answers

RIGHT = b"authorization: Bearer " + KEY.encode()
WRONG = b"authorization: Bearer wrong"
TWO = b"0\r\n\r\nGET /ping HTTP/1.1\r\nhost: g\r\n\r\n"
"""The end of a chunked body, and what would be another request."""
BODY = b'{"messages":[{"role":"user","content":"[scene:text chars=9]"}]}'


def ask(url: str, *lines: bytes, first: bytes = b"GET /v1/models HTTP/1.1", body: bytes = b"") -> Answers:
    """Send this and read to the end, which the server makes: it is asked to, or does not take it."""
    with RawClient(url) as raw:
        raw.send(b"\r\n".join([first, b"host: g", *lines, b"connection: close", b"", body]))
        raw.read_to_end()
        return Answers(raw.received)


# Whose key counts


@pytest.mark.parametrize(
    ("lines", "statuses"),
    [
        ([RIGHT], {200}),
        ([RIGHT, RIGHT], {200}),
        ([RIGHT, WRONG], {200}),  # the first counts
        ([WRONG, RIGHT], {401}),
        ([b"authorization: Basic eDp5", RIGHT], {401}),
        ([WRONG, b"x-api-key: " + KEY.encode()], {401}),
        ([RIGHT + b", Bearer wrong"], {401}),
        ([WRONG + b", Bearer " + KEY.encode()], {401}),
        ([RIGHT + b"," + KEY.encode()], {401}),
        ([RIGHT + b";x"], {401}),
        ([RIGHT + b" x"], {401}),
        ([b"authorization: Bearer\t" + KEY.encode()], {401}),
        ([b"authorization: Bearer\x0b" + KEY.encode()], {400, 401}),
        ([b"authorization:Bearer " + KEY.encode() + b" \t "], {200}),
        ([b"authorization : Bearer " + KEY.encode()], {400}),
        ([b" " + RIGHT], {400, 401}),  # a folded line: part of the header before it
        ([b"x: y", b" " + RIGHT], {400, 401}),
        ([b"authorization: Bearer", b" " + KEY.encode()], {200, 400}),
        ([b"authorization\x00: Bearer " + KEY.encode()], {400}),
        ([b"author_ization: Bearer " + KEY.encode()], {401}),
        ([b"x-api-key: ", b"x-goog-api-key: " + KEY.encode()], {200}),
        ([b"x-api-key: \xff\xfe"], {401}),
        ([b"x-forwarded-for: 127.0.0.1", b"x-real-ip: 127.0.0.1", b"forwarded: for=127.0.0.1"], {401}),
        ([b"x-original-url: /ping", b"x-rewrite-url: /ping", b"x-http-method-override: PUT"], {401}),
    ],
)
def test_a_credential_is_one_and_where_it_belongs(
    either: LiveGateway, lines: list[bytes], statuses: set[int]
) -> None:
    answers = ask(either.url, *lines)
    assert len(answers.all) == 1
    assert set(answers.statuses) <= statuses


def test_a_head_of_64_kilobytes_is_answered_or_refused(either: LiveGateway) -> None:
    for lines in (
        [b"x-long: " + b"a" * 65536],
        [b"x-%d: a" % number for number in range(6000)],
        [b"authorization: Bearer " + b"a" * 65536],
        [b"cookie: " + b"a=b; " * 13000],
        [b"x-request-id: " + b"a" * 65536],
        [b"content-type: multipart/form-data; boundary=" + b"a" * 65536],
    ):
        try:
            statuses = ask(either.url, *lines).statuses
        except ConnectionError:  # refused, and gone before all of it was read
            continue
        assert set(statuses) <= {400, 401}


# How long a body is


@pytest.mark.parametrize(
    ("lines", "statuses"),
    [
        ([b"content-length: %d" % len(BODY)], {200}),
        ([b"content-length: %d" % len(BODY)] * 2, {200, 400}),
        ([b"content-length: %d, %d" % (len(BODY), len(BODY))], {200, 400}),
        ([b"content-length: %d" % len(BODY), b"content-length: 1"], {400}),
        ([b"content-length: 1", b"content-length: %d" % len(BODY)], {400}),
        ([b"content-length: +%d" % len(BODY)], {400}),
        ([b"content-length: -1"], {400}),
        ([b"content-length: 0x10"], {400}),
        ([b"content-length: 1e3"], {400}),
        ([b"content-length: %d" % 10**30], {400, 413}),
        ([b"content-length: " + b"9" * 5000], {400, 413}),
        ([b"content-length: \xc2\xb2"], {400}),
        ([b"content-length: %d" % len(TWO), b"transfer-encoding: chunked"], {400}),
        ([b"transfer-encoding: chunked", b"content-length: 3"], {400}),
        ([b"transfer-encoding: chunked, chunked"], {400, 501}),
        ([b"transfer-encoding: identity, chunked"], {400, 501}),
        ([b"transfer-encoding: gzip, chunked"], {400, 501}),
        ([b"transfer-encoding: chunked", b"transfer-encoding: identity"], {400, 501}),
        ([b"transfer-encoding:\x0bchunked"], {400, 501}),
        ([b"transfer-encoding: xchunked"], {400, 501}),
    ],
)
def test_a_body_has_one_length_or_the_request_is_none(
    either: LiveGateway, lines: list[bytes], statuses: set[int]
) -> None:
    first = b"POST " + CHAT.encode() + b" HTTP/1.1"
    body = TWO if b"transfer-encoding" in b"".join(lines) else BODY
    answers = ask(either.url, RIGHT, *lines, first=first, body=body)
    assert len(answers.all) == 1, "what is left of a body is no second request"
    assert set(answers.statuses) <= statuses


# What is said again


@pytest.mark.parametrize(
    "line",
    [
        b"x-request-id: a\tb",
        b"x-request-id: a\xc2\x85b",
        b"x-request-id: " + "\u2028".encode(),
        b"x-request-id: a, b",
        b"x-request-id: \x1b[31m",
        b"x-request-id: <script>",
        b"x-request-id: " + b"a" * 65,
    ],
)
def test_a_request_id_is_taken_over_only_where_it_is_harmless(either: LiveGateway, line: bytes) -> None:
    [(status, headers, _)] = ask(either.url, line).all
    assert status in {400, 401}
    if status == 401:
        [request_id] = headers["x-request-id"]
        assert re.fullmatch(r"[0-9a-f]{32}", request_id)


@pytest.mark.parametrize("value", [b"a\tb", b"\xc2\x85", b"a" * 5000, b"a: b", b"\x1b[31m", b"\x01", b"\xff"])
@pytest.mark.parametrize(
    "name", [b"origin", b"access-control-request-headers", b"access-control-request-method"]
)
def test_a_preflight_says_nothing_again_that_would_be_a_header(
    either: LiveGateway, name: bytes, value: bytes
) -> None:
    asked = {b"origin": b"https://a.example", b"access-control-request-method": b"GET", name: value}
    lines = [key + b": " + text for key, text in asked.items()]
    [(status, headers, _)] = ask(either.url, *lines, first=b"OPTIONS /v1/models HTTP/1.1").all
    assert status in {200, 204, 400}
    assert headers.get("access-control-allow-origin", ["*"]) == ["*"]
    assert "set-cookie" not in headers


def test_a_callers_words_are_said_again_in_json_alone(client: Client, upstream: Upstream) -> None:
    model = "glm\r\nset-cookie: a=b\r\n\r\n<html>\u2028\x00"
    answer = client.chat("[scene:text chars=9]", model=model)
    assert answer.status_code == 200
    assert answer.json()["model"] == model
    assert "set-cookie" not in answer.headers
    assert all(value.isprintable() and value.isascii() for value in answer.headers.values())


# The log


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    with written() as stream:
        yield stream


FORGED = '{"level":"ERROR","message":"forged"}'
FORGERIES = [
    f"%0a{FORGED}",
    f"%0d%0a{FORGED}",
    f"%c2%85{FORGED}",
    f"%e2%80%a8{FORGED}",
    f"%e2%80%a9{FORGED}",
    f"%0b%0c%1c%1d%1e{FORGED}",
    "%1b[2J%1b[31m",
    "%c2%9b2J%c2%9b31m",
    "%7f%08%08",
    "%00",
    "%e2%80%ae%e2%81%a6",
    "%ff%fe",
    "%ed%a0%80",
    "%22,%22level%22:%22ERROR",
    "a" * 50_000,
]


@pytest.mark.parametrize("forgery", FORGERIES, ids=[forgery[:24] for forgery in FORGERIES])
def test_a_path_writes_no_line_and_no_control_character_into_the_log(
    either: LiveGateway, log: io.StringIO, forgery: str
) -> None:
    for first in (
        f"GET /{forgery} HTTP/1.1",
        f"GET /v1/models/{forgery} HTTP/1.1",
        f"GET /robots.txt?{forgery} HTTP/1.1",
    ):
        ask(either.url, b"user-agent: " + forgery.encode(), first=first.encode())
    wait_until(lambda: log.getvalue().count("\n") >= 3)
    text = log.getvalue()
    lines = [json.loads(line) for line in text.split("\n")[:-1]]
    assert text.splitlines() == text.split("\n")[:-1], "one for every reader"
    assert [(line["level"], line["message"]) for line in lines] == [("INFO", "request")] * 3
    assert all(character.isprintable() for character in text.replace("\n", ""))
    assert all(len(line) < 1000 for line in text.split("\n"))
