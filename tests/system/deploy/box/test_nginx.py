"""nginx in front, as Debian configures it and with nothing but proxy_pass: what streams, streams."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from simulator.steps import Cue, Pause, Script, Step
from tests.conftest import SimulatedAccount, Upstream
from tests.support.client import CHAT, KEY, Client, chat_body, error_of
from tests.support.live import LiveGateway
from tests.support.waiting import wait_until
from tests.support.wire import RawClient
from tests.system.deploy.box.nginx import Nginx

READ_TIMEOUT_S = 2
"""In place of nginx's 60 s, and HEARTBEAT_S 0.5 in place of 15: the same proportion, without the wait."""
SILENCE_S = 2.5 * READ_TIMEOUT_S
HELD_AT_MOST_S = 20.0
POLL_S = 0.005


class Gate:
    """A scene that says something, and says the rest once the gate is opened."""

    def __init__(self) -> None:
        self._opened = threading.Event()

    def open(self) -> None:
        self._opened.set()

    def __call__(self, cue: Cue) -> Iterator[Step]:
        script = Script(cue)
        yield script.opening()
        yield from script.increments("text", ["one ", "two "], logic_id="a")
        for _ in range(round(HELD_AT_MOST_S / POLL_S)):
            if self._opened.is_set():
                break
            yield Pause(POLL_S)
        yield from script.increments("text", ["three ", "four"], logic_id="a")
        yield script.finish_part("a", {"type": "text", "text": cue.answer})
        yield script.finish()


@pytest.fixture
def nginx(tools: Path, tmp_path: Path, gateway: LiveGateway) -> Iterator[Nginx]:
    with Nginx(tools / "nginx", tmp_path, gateway.url) as nginx:
        yield nginx


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
def owner(
    nginx: Nginx, account: SimulatedAccount, environment: pytest.MonkeyPatch, http: httpx.Client
) -> Client:
    """The owner's client, through nginx."""
    environment.setenv("CHATGLM_REFRESH_TOKENS", account.token)
    environment.setenv("API_KEYS", KEY)
    return Client(http, nginx.url)


def test_a_stream_arrives_while_it_is_being_made(owner: Client, upstream: Upstream) -> None:
    gate = Gate()
    upstream.sim.play(gate)
    with RawClient(owner.url) as client:
        client.post(CHAT, chat_body(stream=True), authorization=f"Bearer {KEY}")
        assert b"server: nginx" in client.read_until(b"\r\n\r\n").lower()
        # Seen while the upstream is still held: nobody on the way keeps anything back.
        client.read_until(b"two ")
        assert upstream.sim.active_generations() == 1
        assert b"three" not in client.received
        gate.open()
        assert b"data: [DONE]" in client.read_until(b"[DONE]")
    assert b"three " in client.received


@pytest.fixture
def impatient(
    tools: Path, tmp_path_factory: pytest.TempPathFactory, gateway: LiveGateway, owner: Client
) -> Iterator[Nginx]:
    """An nginx that waits for less; the owner's client goes through it."""
    folder = tmp_path_factory.mktemp("impatient")
    with Nginx(tools / "nginx", folder, gateway.url, f"proxy_read_timeout {READ_TIMEOUT_S}s") as nginx:
        owner.url = nginx.url
        yield nginx


@pytest.mark.parametrize("scene", ["silence", "stall"])
def test_a_long_silence_outlives_the_proxys_patience(
    impatient: Nginx, owner: Client, upstream: Upstream, environment: pytest.MonkeyPatch, scene: str
) -> None:
    environment.setenv("HEARTBEAT_S", "0.5")
    upstream.sim.play(f"{scene} s={SILENCE_S:g}")
    streamed = owner.stream()
    assert streamed.status == 200
    assert streamed.heartbeats >= SILENCE_S / 0.5 - 3
    if scene == "silence":  # which ends without an answer: another try had one, in the same stream
        assert streamed.is_done
    else:  # which had begun one: the error is ours, told in the stream
        assert streamed.error is not None
        assert streamed.error["code"] == "upstream_error"
    assert "timed out" not in impatient.complaints


def test_without_heartbeats_the_proxy_would_have_given_up(
    impatient: Nginx, owner: Client, upstream: Upstream, environment: pytest.MonkeyPatch
) -> None:
    """The test above would notice: the same silence, and no beat in time."""
    environment.setenv("HEARTBEAT_S", "60")
    upstream.sim.play(f"stall s={SILENCE_S:g}")
    with pytest.raises(httpx.RemoteProtocolError):
        owner.stream()
    assert "timed out" in impatient.complaints


def test_errors_keep_their_status_and_their_words(owner: Client, upstream: Upstream) -> None:
    answer = owner.chat(n=2)
    assert (answer.status_code, error_of(answer)["code"]) == (400, "unsupported_parameter")
    answer = owner.get("/v1/models", headers={"authorization": "Bearer nobody"})
    assert (answer.status_code, error_of(answer)["code"]) == (401, "invalid_api_key")
    assert answer.headers["www-authenticate"] == "Bearer"
    answer = owner.get("/v1/nothing")
    assert (answer.status_code, error_of(answer)["code"]) == (404, "not_found")
    answer = owner.get(CHAT)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    upstream.sim.play("early_close", times=2)
    answer = owner.chat()
    assert (answer.status_code, error_of(answer)["code"]) == (502, "upstream_error")


def test_a_client_that_leaves_is_noticed_through_the_proxy(owner: Client, upstream: Upstream) -> None:
    upstream.sim.play("stall s=60")
    client = RawClient(owner.url)
    client.post(CHAT, chat_body(stream=True), authorization=f"Bearer {KEY}")
    client.read_until(b"and then")
    client.leave()
    wait_until(lambda: upstream.sim.active_generations() == 0)
    wait_until(lambda: not upstream.sim.live_conversations())


def test_a_body_of_more_than_a_megabyte_is_nginxs_own_413(owner: Client) -> None:
    """What docs/deploy-box.md says of client_max_body_size."""
    assert owner.chat("x" * 900_000).status_code == 200
    answer = owner.chat("x" * 1_200_000)
    assert answer.status_code == 413
    assert "nginx" in answer.text
