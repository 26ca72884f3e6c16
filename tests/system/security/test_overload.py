"""More than one process takes, over the whole way: refused at once, and counted down in every ending."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lib.upstreams.chatglm import turn as turn_module
from lib.web.overload import LIMITS, LOAD, LoadLimits
from tests.conftest import Upstream
from tests.support.client import CHAT, KEY, Client, chat_body, error_of
from tests.support.live import LiveGateway
from tests.support.waiting import wait_until
from tests.support.wire import RawClient, head
from tests.system.security.conftest import Answers

OWNER = {"authorization": f"Bearer {KEY}"}
ENDLESS = "[scene:slow first=0 gap=0.02 count=9000]"


def streaming(gateway: LiveGateway) -> RawClient:
    raw = RawClient(gateway.url)
    raw.post(CHAT, chat_body(ENDLESS, stream=True), **OWNER)
    raw.read_until(b"word 1")
    return raw


@pytest.fixture
def full(client: Client, gateway: LiveGateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[RawClient]:
    """Give a gateway that takes one request, and has it: a stream without an end."""
    with streaming(gateway) as raw:
        monkeypatch.setattr(LOAD, "limits", LoadLimits(max_requests=LOAD.requests))
        yield raw
    wait_until(lambda: LOAD.requests == 0)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", CHAT), ("GET", "/v1/models"), ("POST", "/v1/videos"), ("GET", "/nothing")]
)
def test_beyond_what_is_taken_the_answer_is_a_503_at_once(
    full: RawClient, client: Client, method: str, path: str
) -> None:
    answer = client.request(method, path, headers={"origin": "https://app.example"})
    assert (answer.status_code, error_of(answer)["code"]) == (503, "overloaded")
    assert int(answer.headers["retry-after"]) >= 5
    assert answer.headers["x-request-id"]
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "x-should-retry" not in answer.headers, "nothing was begun: it may be asked again"


def test_nothing_of_a_refused_body_is_read(full: RawClient, gateway: LiveGateway) -> None:
    with RawClient(gateway.url) as raw:
        announced = {"content-length": "1000", "expect": "100-continue"} | OWNER
        raw.send(head("POST", CHAT, announced))
        assert raw.read_until(b"overloaded").startswith(b"HTTP/1.1 503")


def test_whether_it_lives_is_answered_all_the_same(full: RawClient, client: Client) -> None:
    assert client.get("/ping").text == "pong"
    assert client.get("/health").status_code == 200
    asked = {"origin": "https://app.example", "access-control-request-method": "POST"}
    assert client.request("OPTIONS", CHAT, headers=asked).status_code == 200


def test_the_next_is_taken_as_soon_as_one_has_left(full: RawClient, client: Client) -> None:
    assert client.get("/v1/models").status_code == 503
    full.leave()
    wait_until(lambda: LOAD.requests == 0)
    assert client.get("/v1/models").status_code == 200


# Endings


def leave_in_mid_body(client: Client, gateway: LiveGateway) -> None:
    raw = RawClient(gateway.url)
    raw.send(head("POST", CHAT, {"content-length": "1000", **OWNER}) + b"{")
    wait_until(lambda: LOAD.body_bytes == 1)
    raw.leave()


def leave_in_mid_stream(client: Client, gateway: LiveGateway) -> None:
    raw = streaming(gateway)
    assert LOAD.body_bytes == len(json.dumps(chat_body(ENDLESS, stream=True)))
    raw.leave()


def be_refused(client: Client, gateway: LiveGateway) -> None:
    assert client.chat(n=2).status_code == 400
    assert client.request("POST", CHAT, content=b"{").status_code == 400
    assert client.get("/nothing").status_code == 404
    assert client.request("POST", CHAT, headers={"authorization": "Bearer x"}).status_code == 401


def be_answered(client: Client, gateway: LiveGateway) -> None:
    assert client.text("[scene:text chars=9]")
    assert client.stream("[scene:text chars=9]").is_done


def order_a_video(client: Client, gateway: LiveGateway) -> None:
    files = {"input_reference": ("a.png", b"\x89PNG\r\n", "image/png")}
    answer = client.request("POST", "/v1/videos", data={"prompt": "[scene:video]"}, files=files)
    assert answer.status_code in {200, 400}


@pytest.mark.parametrize(
    "end", [leave_in_mid_body, leave_in_mid_stream, be_refused, be_answered, order_a_video]
)
def test_every_ending_gives_its_room_back(client: Client, gateway: LiveGateway, end: object) -> None:
    assert callable(end)
    end(client, gateway)
    wait_until(lambda: (LOAD.requests, LOAD.body_bytes) == (0, 0))


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_fault_of_ours_gives_its_room_back(
    client: Client, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, *, is_stream: bool
) -> None:
    async def fail(turn: turn_module.Turn) -> object:
        raise LookupError("a fault of ours")

    monkeypatch.setattr(turn_module.Turn, "_read_upstream", fail)
    assert client.chat(stream=is_stream).status_code == 500
    wait_until(lambda: (LOAD.requests, LOAD.body_bytes) == (0, 0))


# Bodies


@pytest.mark.parametrize("path", [CHAT, "/v1/videos"])
def test_bodies_that_do_not_fit_are_refused_and_not_read(
    client: Client, either: LiveGateway, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(LOAD, "limits", LoadLimits(max_body_bytes=1000, small_body_bytes=100))
    monkeypatch.setenv("MAX_BODY_BYTES", "1000")
    with RawClient(either.url) as first, RawClient(either.url) as second:
        first.send(head("POST", CHAT, {"content-length": "1000", **OWNER}) + b"{" * 900)
        wait_until(lambda: LOAD.body_bytes == 900)
        second.send(head("POST", path, {"content-length": "200", "connection": "close", **OWNER}))
        second.read_to_end()
        [(status, headers, body)] = Answers(second.received).all
        assert (status, json.loads(body)["error"]["code"]) == (503, "overloaded")
        assert "retry-after" in headers
        assert "x-should-retry" not in headers
        first.leave()
    wait_until(lambda: (LOAD.requests, LOAD.body_bytes) == (0, 0))
    client.url = either.url
    assert client.text("[scene:text chars=9]")


def test_silent_bodies_keep_nobody_out(
    client: Client, either: LiveGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LOAD, "limits", LoadLimits(max_body_bytes=1000, small_body_bytes=0))
    monkeypatch.setenv("MAX_BODY_BYTES", "1000")
    client.url = either.url
    with RawClient(either.url) as silent:
        silent.send(head("POST", CHAT, {"content-length": "1000", **OWNER}))
        wait_until(lambda: LOAD.requests == 1)
        assert client.text("[scene:text chars=9]")
        silent.leave()
    wait_until(lambda: (LOAD.requests, LOAD.body_bytes) == (0, 0))


def test_strangers_who_send_nothing_do_not_lock_the_owner_out(
    client: Client, either: LiveGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LOAD, "limits", LoadLimits(max_requests=3, kept_for_keys=1))
    client.url = either.url
    with ExitStack() as stack:
        silent = [stack.enter_context(RawClient(either.url)) for _ in range(4)]
        for raw in silent[:2]:
            raw.send(head("POST", "/token/check", {"content-length": "9"}))
        wait_until(lambda: LOAD.requests == 2)
        for raw in silent[2:]:
            raw.send(head("POST", "/token/check", {"content-length": "9"}))
            assert raw.read_until(b"overloaded").startswith(b"HTTP/1.1 503")
        assert client.get("/v1/models", headers={"authorization": "Bearer x"}).status_code == 503
        assert client.text("[scene:text chars=9]")
        for raw in silent:
            raw.leave()
    wait_until(lambda: LOAD.requests == 0)


def test_a_wrong_credential_at_the_token_check_is_refused_before_its_body(either: LiveGateway) -> None:
    with RawClient(either.url) as raw:
        raw.send(head("POST", "/token/check", {"content-length": "9", "authorization": "Bearer x"}))
        assert raw.read_until(b"authentication").startswith(b"HTTP/1.1 401")


def test_five_hundred_streams_are_none_too_many() -> None:
    assert LIMITS.max_requests >= 2 * 500
    assert LIMITS.max_body_bytes >= 500 * 500_000, "half a megabyte each"
