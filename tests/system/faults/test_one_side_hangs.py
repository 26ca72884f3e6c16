"""One of the two upstreams accepts connections and says nothing: the other one's requests do not notice."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from simulator.official.app import Official
from simulator.official.audio import make_sound, wav_of
from simulator.official.server import OfficialServer
from tests.conftest import SimulatedAccount, Upstream
from tests.support.client import CHAT, KEY, Client, Streamed, chat_body
from tests.support.dialects import DIALECTS
from tests.support.live import LiveGateway
from tests.support.waiting import wait_until
from tests.support.wire import RawClient

LIMIT_S = 3.0
"""A request that waits for the other side meets its connection's 10 s, or its first content's 60 s."""
HUNG = 4
"""So many requests hang meanwhile: as many as a key of the official API has places at first."""
LISTS_S = 8.0
"""The list of the models asks both sides, and gives each of them 5 s."""
TOOLS = [{"type": "function", "function": {"name": "look", "description": "Look.", "parameters": {}}}]
WAV = wav_of(make_sound("A recording."))


class Hole:
    """A port that accepts connections, by the kernel alone, and never answers."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._accepted: list[socket.socket] = []

    def accept(self, count: int) -> None:
        """Wait for so many requests, and keep them waiting."""
        self._listener.settimeout(10.0)
        for _ in range(count):
            connection, _ = self._listener.accept()
            self._accepted.append(connection)
            assert connection.recv(65536), "a request has come"

    def close(self) -> None:
        for connection in (self._listener, *self._accepted):
            connection.close()


@pytest.fixture
def hole() -> Iterator[Hole]:
    hole = Hole()
    yield hole
    hole.close()


@pytest.fixture
def owner(
    gateway: LiveGateway,
    environment: pytest.MonkeyPatch,
    account: SimulatedAccount,
    official: Official,
    official_server: OfficialServer,
) -> Iterator[Client]:
    """Give the owner's client, with an account, a key of the official API, and short patience."""
    settings = {
        "API_KEYS": KEY,
        "CHATGLM_REFRESH_TOKENS": account.token,
        "GLM_API_BASE_URL": official_server.base_url,
        "GLM_API_KEYS": official.add_key(),
        "FALLBACK_MODEL": "glm-4.5-flash",
    }
    for name, value in settings.items():
        environment.setenv(name, value)
    with httpx.Client(timeout=LIMIT_S, trust_env=False) as http:
        yield Client(http, gateway.url)


@contextmanager
def hanging(gateway: LiveGateway, hole: Hole, path: str, body: dict[str, Any]) -> Iterator[None]:
    """Keep requests under way that wait for the silent side; their clients leave at the end."""
    with ExitStack() as stack:
        for _ in range(HUNG):
            raw = stack.enter_context(RawClient(gateway.url))
            raw.post(path, body, authorization=f"Bearer {KEY}", content_type="application/json")
        hole.accept(HUNG)
        yield
    hole.close()
    wait_until(gateway.is_idle, 10, "the requests that waited are let go of")


def ask_in_every_way(client: Client, model: str, upstream: str) -> None:
    """Chat in every dialect, streamed and not, with tools and with a schema."""
    for dialect in DIALECTS:
        for stream in (False, True):
            if dialect.stream_path:
                path = dialect.path_of(is_stream=stream).replace("glm-5.3-flash", model)
            else:
                path = dialect.path
            answer = client.post(path, {**dialect.body("Hello!", stream), "model": model})
            assert answer.status_code == 200, answer.text
            assert answer.headers["x-glm-upstream"] == upstream, dialect.name
    for fields in ({"tools": TOOLS}, {"stream": True, "tools": TOOLS}):
        answer = client.post(CHAT, chat_body("Hello!", model=model, **fields))
        assert (answer.status_code, answer.headers["x-glm-upstream"]) == (200, upstream)


def test_no_request_of_the_account_notices_that_the_official_side_hangs(
    owner: Client, gateway: LiveGateway, environment: pytest.MonkeyPatch, hole: Hole
) -> None:
    environment.setenv("GLM_API_BASE_URL", f"{hole.address}/api/paas/v4")
    # The first request of a process, too: no list of the other side's models is known yet.
    assert owner.post(CHAT, chat_body()).headers["x-glm-upstream"] == "web"
    with hanging(gateway, hole, CHAT, chat_body(model="glm-4.6", stream=True)):
        ask_in_every_way(owner, "glm-5.3-flash", "web")
        assert owner.post(CHAT, chat_body(model="gpt-4o")).headers["x-glm-upstream"] == "web"
        drawn = owner.post("/v1/images/generations", {"prompt": "a cat"})
        assert (drawn.status_code, drawn.headers["x-glm-upstream"]) == (200, "web")
        video = owner.post("/v1/videos", {"prompt": "a cat"})
        assert (video.status_code, video.headers["x-glm-upstream"]) == (200, "web")
        assert owner.get(f"/v1/videos/{video.json()['id']}").status_code == 200
        assert owner.get("/health").status_code == 200
        assert owner.get("/tokens").status_code == 200


def test_no_request_of_the_official_side_notices_that_the_account_hangs(
    owner: Client, gateway: LiveGateway, environment: pytest.MonkeyPatch, hole: Hole, upstream: Upstream
) -> None:
    tokens = ",".join(upstream.add_account().token for _ in range(HUNG))
    environment.setenv("CHATGLM_REFRESH_TOKENS", tokens)
    environment.setenv("CHATGLM_BASE_URL", f"{hole.address}/chatglm")
    assert owner.post(CHAT, chat_body(model="glm-4.6")).headers["x-glm-upstream"] == "api"
    with hanging(gateway, hole, CHAT, chat_body(model="web/glm-5.3")):
        ask_in_every_way(owner, "glm-4.6", "api")
        assert owner.post("/v1/embeddings", {"input": "a"}).status_code == 200
        assert owner.post("/v1/rerank", {"query": "a", "documents": ["a"]}).status_code == 200
        assert owner.post("/v1/audio/speech", {"input": "Hello"}).status_code == 200
        heard = owner.request("POST", "/v1/audio/transcriptions", files={"file": ("a.wav", WAV)})
        assert heard.status_code == 200
        drawn = owner.post("/v1/images/generations", {"model": "cogview-4", "prompt": "a cat"})
        assert (drawn.status_code, drawn.headers["x-glm-upstream"]) == (200, "api")
        video = owner.post("/v1/videos", {"model": "cogvideox-3", "prompt": "a cat"})
        assert (video.status_code, video.headers["x-glm-upstream"]) == (200, "api")
        assert owner.get(f"/v1/videos/{video.json()['id']}").status_code == 200
        counted = {"model": "glm-4.6", "messages": [{"role": "user", "content": "Hello!"}]}
        assert owner.post("/v1/messages/count_tokens", counted).headers["x-glm-usage"] == "reported"


def test_a_side_that_hangs_costs_the_list_of_the_models_seconds_once(
    owner: Client, environment: pytest.MonkeyPatch, hole: Hole
) -> None:
    environment.setenv("GLM_API_BASE_URL", f"{hole.address}/api/paas/v4")
    first = owner.get("/v1/models", timeout=LISTS_S)
    names = {model["id"]: model["owned_by"] for model in first.json()["data"]}
    assert (names["glm-5.3"], names["glm-4.6"]) == ("chatglm", "z-ai")
    assert owner.get("/v1/models").json() == first.json()


def test_an_official_side_that_hangs_in_mid_answer_ends_that_answer_alone(
    owner: Client, environment: pytest.MonkeyPatch, official: Official
) -> None:
    environment.setenv("IDLE_TIMEOUT_S", "0.5")
    answer = owner.post(CHAT, chat_body("[scene:stall]", model="glm-4.6", stream=True))
    streamed = Streamed(answer.status_code, answer.headers, answer.content)
    assert streamed.error is not None
    assert (streamed.error["code"], streamed.finish_reason, streamed.is_done) == (
        "upstream_timeout",
        None,
        False,
    )
    wait_until(lambda: official.active() == 0, 5, "the place at the key is given back")
    assert owner.post(CHAT, chat_body()).headers["x-glm-upstream"] == "web"
