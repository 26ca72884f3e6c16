"""Requests that nginx and we might cut differently: what nginx passes on is what we answer, one for one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.client import CHAT, KEY, Client
from tests.support.live import LiveGateway
from tests.support.log import logged
from tests.support.waiting import wait_until
from tests.support.wire import RawClient, head
from tests.system.deploy.box.nginx import Nginx

HIDDEN = b"GET /v1/models/api/hidden HTTP/1.1\r\nHost: g\r\nX: "
"""What an attacker would like to be somebody's next request; the victim's own first line would end it."""
POST = b"POST " + CHAT.encode() + b" HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer " + KEY.encode() + b"\r\n"
GET = b"GET /v1/models/api/attack HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer " + KEY.encode() + b"\r\n"
OLD = POST.replace(b"HTTP/1.1", b"HTTP/1.0") + b"Connection: keep-alive\r\n"


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def length(body: bytes | int) -> bytes:
    return b"Content-Length: %d\r\n" % (body if isinstance(body, int) else len(body))


TE = b"Transfer-Encoding: chunked\r\n"
END = b"0\r\n\r\n"

ATTACKS = {
    "CL.TE": POST + length(END + HIDDEN) + TE + b"\r\n" + END + HIDDEN,
    "TE.CL": POST + TE + length(4) + b"\r\n" + chunked(HIDDEN),
    "CL.CL": POST + length(5) + length(END + HIDDEN) + b"\r\n" + END + HIDDEN,
    "CL, CL": POST + b"Content-Length: 5, 5\r\n\r\n" + END + HIDDEN,
    "0.CL": POST + length(0) + b"\r\n" + HIDDEN,
    "GET with a body": GET + length(HIDDEN) + b"\r\n" + HIDDEN,
    "GET with chunks": GET + TE + b"\r\n" + END + HIDDEN,
    "+CL": POST + b"Content-Length: +5\r\n\r\n" + END + HIDDEN,
    "CL with a space": POST + b"Content-Length : 5\r\n\r\n" + END + HIDDEN,
    "CL by tab": POST + b"Content-Length:\t5\t\r\n\r\n" + END + HIDDEN,
    "CL with an underscore": POST + b"Content_Length: 45\r\n\r\n" + HIDDEN,
    "folded CL": POST + b"Content-Length:\r\n 5\r\n\r\n" + END + HIDDEN,
    "huge CL": POST + length(2**64 + 5) + b"\r\n" + END + HIDDEN,
    "TE.TE": POST + TE + b"Transfer-Encoding: identity\r\n\r\n" + END + HIDDEN,
    "TE, TE": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n" + END + HIDDEN,
    "xTE": POST + length(5) + b"Transfer-Encoding: xchunked\r\n\r\n" + END + HIDDEN,
    "TE with a space": POST + length(5) + b"Transfer-Encoding : chunked\r\n\r\n" + END + HIDDEN,
    "TE by tab": POST + length(5) + b"Transfer-Encoding:\tchunked\r\n\r\n" + END + HIDDEN,
    "TE by form feed": POST + length(5) + b"Transfer-Encoding:\x0cchunked\r\n\r\n" + END + HIDDEN,
    "TE in capitals": POST + b"TRANSFER-ENCODING: CHUNKED\r\n\r\n" + END + HIDDEN,
    "folded TE": POST + length(5) + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + END + HIDDEN,
    "TE behind a line of its own": POST + length(5) + b"X: y\n" + TE + b"\r\n" + END + HIDDEN,
    "TE behind a bare CR": POST + length(5) + b"X: y\r" + TE + b"\r\n" + END + HIDDEN,
    "TE in a quoted line": POST + length(5) + b'X: "\r\n' + TE + b'"\r\n\r\n' + END + HIDDEN,
    "HTTP/1.0 with TE": OLD + TE + b"\r\n" + END + HIDDEN,
    "HTTP/1.0 with both": OLD + TE + length(5) + b"\r\n" + END + HIDDEN,
    "a chunk by LF": POST + TE + b"\r\n" + b"1\na\n0\n\n" + HIDDEN,
    "a chunk with spaces": POST + TE + b"\r\n" + b"1 \r\na\r\n0 \r\n\r\n" + HIDDEN,
    "a chunk's extension": POST + TE + b"\r\n" + b"1;\n=x\r\na\r\n" + END + HIDDEN,
    "a chunk too large": POST + TE + b"\r\n" + b"10000000000000001\r\na\r\n" + END + HIDDEN,
    "a negative chunk": POST + TE + b"\r\n" + b"-1\r\na\r\n" + END + HIDDEN,
    "a chunk with 0x": POST + TE + b"\r\n" + b"0x1\r\na\r\n" + END + HIDDEN,
    "trailers": POST + TE + b"\r\n" + b"0\r\nContent-Length: 45\r\nX: y\r\n\r\n" + HIDDEN,
    "expecting": POST + length(5) + b"Expect: 100-continue\r\n\r\n" + END + HIDDEN,
    "expecting something": POST + length(5) + b"Expect: y\r\n\r\n" + END + HIDDEN,
    "an upgrade": GET + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n" + HIDDEN,
    "h2c": GET
    + b"Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n"
    + HIDDEN,
    "a header that is taken off": POST
    + length(5)
    + b"Connection: close, content-length\r\n\r\n"
    + END
    + HIDDEN,
    "absolute": POST.replace(b"POST /", b"POST http://g/") + length(5) + b"\r\n" + END + HIDDEN,
    "HTTP/0.9": b"GET /v1/models/api/attack\r\n" + HIDDEN,
    "HTTP/2.0": POST.replace(b"HTTP/1.1", b"HTTP/2.0") + length(5) + b"\r\n" + END + HIDDEN,
}


class Counting:
    """nginx with kept connections to the gateway, and the log of what it passed on."""

    def __init__(self, nginx: Nginx, passed: Path) -> None:
        self.url = nginx.url
        self._passed = passed

    @property
    def passed(self) -> list[str]:
        lines = self._passed.read_text().splitlines() if self._passed.exists() else []
        return [line for line in lines if not line.startswith("-")]


@pytest.fixture(params=["on", "off"], ids=["buffered", "unbuffered"])
def nginx(
    request: pytest.FixtureRequest, tools: Path, tmp_path: Path, client: Client, gateway: LiveGateway
) -> Iterator[Counting]:
    passed = tmp_path / "passed.log"
    proxy = Nginx(
        tools / "nginx",
        tmp_path,
        "http://gateway",
        # As whoever wants connections to the gateway to be kept; only those can be shared.
        "proxy_http_version 1.1",
        'proxy_set_header Connection ""',
        f"proxy_request_buffering {request.param}",
        f"access_log {passed} passed",
    )
    address = gateway.url.removeprefix("http://")
    (tmp_path / "etc/conf.d/gateway.conf").write_text(
        f"upstream gateway {{ server {address}; keepalive 1; }}\n"
        "log_format passed '$upstream_status $request';\n"
    )
    with proxy:
        yield Counting(proxy, passed)


def ask_as_victim(nginx: Counting, number: int) -> bytes:
    with RawClient(nginx.url) as raw:
        headers = {"authorization": f"Bearer {KEY}", "connection": "close"}
        raw.send(head("GET", f"/v1/models/api/victim-{number}", headers))
        raw.read_to_end()
        return raw.received


@pytest.mark.parametrize("name", ATTACKS)
def test_nobody_gets_what_was_left_of_anothers_request(
    nginx: Counting, gateway: LiveGateway, name: str
) -> None:
    with logged() as lines:
        before = ask_as_victim(nginx, 0)  # its connection to the gateway is kept
        with RawClient(nginx.url) as raw:
            raw._socket.settimeout(0.5)  # some of these nginx answers, and some it waits for the rest of
            with suppress(OSError):
                raw.send(ATTACKS[name])
                raw.read_to_end()
        answers = [ask_as_victim(nginx, number) for number in range(1, 4)]
        wait_until(lambda: len([line for line in nginx.passed if "victim" in line]) == 4)
        passed = nginx.passed
        wait_until(gateway.is_idle, 10, "every line is in the log")
    for number, answer in enumerate([before, *answers]):
        assert answer.count(b"HTTP/1.1 ") == 1
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b"'api/victim-%d'" % number in answer
    served = [line for line in lines if line["message"] == "request"]
    assert len(served) == len([line for line in passed if not line.startswith("499")])


def test_two_requests_on_one_connection_are_two(nginx: Counting, gateway: LiveGateway) -> None:
    """The test above would notice: what is really a second request is passed on, and counted."""
    with logged() as lines:
        with RawClient(nginx.url) as raw:
            raw.send(GET + b"\r\n" + GET + b"Connection: close\r\n\r\n")
            raw.read_to_end()
        assert raw.received.count(b"model_not_found") == 2
        wait_until(lambda: len(nginx.passed) == 2)
        wait_until(gateway.is_idle, 10, "every line is in the log")
    assert len([line for line in lines if line["message"] == "request"]) == 2
