"""How long a head may be and how long it may take, on real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress

import pytest
from starlette.applications import Starlette
from uvicorn.server import ServerState

from hosts.box import bounded_http
from hosts.box.bounded_http import MAX_HEAD_BYTES, BoundedHttp
from hosts.box.server import config_of
from tests.support.client import CHAT, KEY, Client, chat_body
from tests.support.live import LiveGateway
from tests.support.waiting import wait_until
from tests.support.wire import RawClient, head

PING = head("GET", "/ping", {})
LONG = b"x-long: " + b"a" * (16 * 1024) + b"\r\n"
ROUNDS = 1000
"""Sixteen megabytes; what is in the kernel's buffers may go ahead."""


def flood(raw: RawClient, piece: bytes) -> bytes:
    """Send it again and again until the server ends the connection; return what it said."""
    with pytest.raises(ConnectionError):
        send_again_and_again(raw, piece)
    with suppress(ConnectionError):  # reset: it did not read all
        raw.read_to_end()
    return raw.received


def send_again_and_again(raw: RawClient, piece: bytes) -> None:
    for _ in range(ROUNDS):
        raw.send(piece)


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"GET /ping HTTP/1.1\r\nhost: g\r\n", LONG),
        (b"GET /ping HTTP/1.1\r\nhost: g\r\nx-long: ", b"a" * 16384),
        (b"GET /ping HTTP/1.1\r\nhost: g\r\n", b"".join(b"x-%d: 1\r\n" % n for n in range(2000))),
        (b"GET /", b"a" * 16384),
        (b"", b"\r\n" * 8192),
        (b"GET /ping HTTP/1.1\r\nhost: g\r\n" + b"a" * 9, b"a" * 16384),
    ],
    ids=["many long", "one endless", "many short", "an endless path", "empty lines", "an endless name"],
)
@pytest.mark.parametrize("before", [b"", PING], ids=["first", "kept"])
def test_a_head_without_an_end_is_ended(
    gateway: LiveGateway, before: bytes, begin: bytes, piece: bytes
) -> None:
    with RawClient(gateway.url) as raw:
        if before:
            raw.send(before)
            raw.read_until(b"pong")
        raw.send(begin)
        answer = flood(raw, piece).rpartition(b"pong")[2]
    assert not answer or answer.startswith(b"HTTP/1.1 400 "), "where the reset did not come first"


def test_a_large_head_that_ends_is_answered(gateway: LiveGateway) -> None:
    with RawClient(gateway.url) as raw:
        for _ in range(3):
            raw.received = b""
            raw.send(head("GET", "/ping", {f"x-{n}": "a" * 1000 for n in range(60)}))
            assert raw.read_until(b"pong").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "piece",
    [b"1;" + b"a" * 16384 + b"\r\na\r\n", b"0" * 16384],
    ids=["extensions", "a length without end"],
)
def test_the_framing_of_a_body_is_no_way_round(client: Client, gateway: LiveGateway, piece: bytes) -> None:
    with RawClient(gateway.url) as raw:
        raw.send(head("POST", CHAT, {"transfer-encoding": "chunked", "authorization": f"Bearer {KEY}"}))
        flood(raw, piece)
    wait_until(gateway.is_idle)


def test_nor_are_trailers(client: Client, gateway: LiveGateway) -> None:
    with RawClient(gateway.url) as raw:
        raw.send(head("POST", CHAT, {"transfer-encoding": "chunked", "authorization": f"Bearer {KEY}"}))
        raw.send(b"2\r\n{}\r\n0\r\n")
        flood(raw, LONG)
    wait_until(gateway.is_idle)


def test_a_body_of_tiny_chunks_is_a_body(client: Client, gateway: LiveGateway) -> None:
    body = b'{"messages":[{"role":"user","content":"' + b"a" * 40_000 + b'"}]}'
    assert 5 * len(body) > 2 * MAX_HEAD_BYTES, "its framing alone is more than a head may be"
    with RawClient(gateway.url) as raw:
        raw.send(head("POST", CHAT, {"transfer-encoding": "chunked", "authorization": f"Bearer {KEY}"}))
        raw.send(b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
        assert raw.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")


# HTTP/1.0


@pytest.mark.parametrize("connection", [{}, {"connection": "keep-alive"}], ids=["bare", "keep-alive"])
def test_a_stream_for_http_1_0_has_no_chunks_and_ends_with_its_connection(
    client: Client, gateway: LiveGateway, connection: dict[str, str]
) -> None:
    body = json.dumps(chat_body("Hello!", stream=True)).encode()
    headers = {"content-length": str(len(body)), "authorization": f"Bearer {KEY}", **connection}
    with RawClient(gateway.url) as raw:
        raw.send(head("POST", CHAT, headers).replace(b"HTTP/1.1", b"HTTP/1.0") + body)
        answered, _, stream = raw.read_to_end().partition(b"\r\n\r\n")
    assert answered.startswith(b"HTTP/1.1 200 ")
    assert b"transfer-encoding" not in answered.lower()
    assert b"connection: close" in answered.lower()
    frames = [line for line in stream.splitlines() if line]
    assert all(line.startswith((b"data: ", b": ")) for line in frames)
    assert stream.endswith(b"data: [DONE]\n\n")


def test_an_answer_of_known_length_for_http_1_0_keeps_its_length(
    client: Client, gateway: LiveGateway
) -> None:
    for method, body in (("GET", b"pong"), ("HEAD", b"")):
        with RawClient(gateway.url) as raw:
            raw.send(head(method, "/ping", {}).replace(b"HTTP/1.1", b"HTTP/1.0"))
            answered, _, got = raw.read_to_end().partition(b"\r\n\r\n")
        assert b"content-length: 4" in answered.lower()
        assert got == body


# Time

Impatience = Callable[[], None]
PATIENCE_S = 0.1


@pytest.fixture
def be_impatient(monkeypatch: pytest.MonkeyPatch) -> Impatience:
    """Give a function: what begins after it has little time, and what began before has much."""
    return lambda: monkeypatch.setattr(bounded_http, "PATIENCE_S", PATIENCE_S)


def begin_a_head(raw: RawClient, be_impatient: Impatience) -> None:
    be_impatient()
    raw.send(b"GET /ping HTTP/1.1\r\nhost:")


def begin_a_second_head(raw: RawClient, be_impatient: Impatience) -> None:
    raw.send(PING)
    raw.read_until(b"pong")
    begin_a_head(raw, be_impatient)


def send_empty_lines(raw: RawClient, be_impatient: Impatience) -> None:
    raw.send(PING)
    raw.read_until(b"pong")
    be_impatient()
    raw.send(b"\r\n")


def keep_a_body_back(raw: RawClient, be_impatient: Impatience) -> None:
    be_impatient()
    raw.send(head("POST", CHAT, {"content-length": "100"}) + b"{")
    raw.read_until(b"invalid_api_key")


@pytest.mark.parametrize("dawdle", [begin_a_head, begin_a_second_head, send_empty_lines, keep_a_body_back])
def test_who_takes_too_long_is_left(
    client: Client, gateway: LiveGateway, be_impatient: Impatience, dawdle: Callable[..., None]
) -> None:
    with RawClient(gateway.url) as raw:
        dawdle(raw, be_impatient)
        raw.read_to_end()  # the client's own timeout would be an error


def test_who_says_nothing_at_all_is_left(gateway: LiveGateway, be_impatient: Impatience) -> None:
    be_impatient()
    with RawClient(gateway.url) as raw:
        raw.read_to_end()


def test_who_sends_the_rest_of_an_unwanted_body_may_ask_again(
    client: Client, gateway: LiveGateway, be_impatient: Impatience
) -> None:
    with RawClient(gateway.url) as raw:
        keep_a_body_back(raw, be_impatient)
        raw.send(b"}" * 99 + PING)
        raw.read_until(b"pong")
        gateway.run(asyncio.sleep(3 * PATIENCE_S))  # nothing to wait for: that nothing happens is the point
        raw.received = b""
        raw.send(PING)
        raw.read_until(b"pong")


def test_a_body_that_is_wanted_and_an_answer_have_times_of_their_own(
    client: Client, gateway: LiveGateway, be_impatient: Impatience
) -> None:
    content = json.dumps(chat_body("[scene:slow first=0.3 gap=0.01 count=3]", stream=True)).encode()
    headers = {"content-length": str(len(content)), "authorization": f"Bearer {KEY}"}
    with RawClient(gateway.url) as raw:
        be_impatient()
        raw.send(head("POST", CHAT, headers) + content[:9])
        gateway.run(asyncio.sleep(3 * PATIENCE_S))  # nothing to wait for: that nothing happens is the point
        raw.send(content[9:])
        raw.read_until(b"[DONE]")
    assert raw.received.startswith(b"HTTP/1.1 200 ")


# By hand


class Wire(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 1), "peername": ("127.0.0.1", 2)})
        self.written = b""
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


async def connected() -> tuple[BoundedHttp, Wire]:
    protocol, wire = BoundedHttp(config_of(Starlette()), ServerState(), {}), Wire()
    protocol.connection_made(wire)
    return protocol, wire


async def test_what_is_no_http_is_refused_once_however_long_it_is() -> None:
    protocol, wire = await connected()
    protocol.data_received(b"GET /ping HTTP/1.1\r\nx: ")
    protocol.data_received(b"a" * 2 * MAX_HEAD_BYTES + b"\0")
    assert wire.written.count(b"HTTP/1.1") == 1
    assert b"Invalid HTTP request" in wire.written
    protocol.connection_lost(None)


async def test_a_connection_that_is_gone_is_waited_for_no_more() -> None:
    protocol, _ = await connected()
    patience = protocol._patience
    assert patience is not None
    protocol.connection_lost(None)
    assert patience.cancelled()
