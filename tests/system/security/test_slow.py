"""Bodies that come slowly, over the whole way and under both parsers."""

from __future__ import annotations

import json

import pytest

from lib.web.overload import LOAD, LoadLimits
from tests.support.client import CHAT, KEY
from tests.support.live import LiveGateway
from tests.support.waiting import wait_until
from tests.support.wire import RawClient, head
from tests.system.security.conftest import Answers

OWNER = {"authorization": f"Bearer {KEY}"}
FORM = {"content-type": "multipart/form-data; boundary=b"}
PART = b'--b\r\nContent-Disposition: form-data; name="x"; filename="y"\r\n\r\n'


@pytest.mark.parametrize(
    ("path", "headers", "begin"),
    [
        (CHAT, {"content-length": "1000"}, b""),
        (CHAT, {"content-length": "1000"}, b'{"messages":'),
        (CHAT, {"transfer-encoding": "chunked"}, b"5\r\n{    \r\n"),
        ("/v1/videos", {"content-length": "1000", **FORM}, PART),
        ("/token/check", {"content-length": "1000"}, b"{"),
    ],
    ids=["nothing", "a beginning", "a chunk", "a form", "without a key"],
)
def test_a_body_that_stops_is_answered_and_its_connection_ended(
    either: LiveGateway, monkeypatch: pytest.MonkeyPatch, path: str, headers: dict[str, str], begin: bytes
) -> None:
    monkeypatch.setattr(LOAD, "limits", LoadLimits(body_idle_s=0.2))
    with RawClient(either.url) as raw:
        raw.send(head("POST", path, headers | ({} if path == "/token/check" else OWNER)) + begin)
        raw.read_to_end()  # it is ended: the client's own timeout would be an error
    [(status, answered, body)] = Answers(raw.received).all
    assert (status, json.loads(body)["error"]["code"]) == (408, "request_timeout")
    assert [value.lower() for value in answered["connection"]] == ["close"]
    wait_until(lambda: (LOAD.requests, LOAD.body_bytes) == (0, 0))


def test_a_client_that_drips_is_answered_though_it_never_stops(
    either: LiveGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LOAD, "limits", LoadLimits(body_grace_s=0.2))
    with RawClient(either.url) as raw:
        raw.send(head("POST", CHAT, {"content-length": "100000", **OWNER}))
        raw._socket.settimeout(0.02)
        for _ in range(500):
            raw.send(b" ")
            try:
                if raw.read_some():
                    break
            except TimeoutError:
                continue
        assert raw.received.startswith(b"HTTP/1.1 408 ")
