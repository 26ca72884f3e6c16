"""Keys of the official API go in at every place for them; then every output is searched for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from simulator.official.app import Official
from simulator.official.scenes import SCENES
from simulator.official.server import OfficialServer
from tests.conftest import Upstream
from tests.support.client import CHAT
from tests.support.live import LiveGateway
from tests.support.waiting import wait_until
from tests.system.security.watch import Watch, WatchedClient, private, secret, watched

KEY = secret("KEY")
PROMPT = private("PROMPT")


@pytest.fixture
def watch() -> Iterator[Watch]:
    with watched() as watch:
        yield watch


@pytest.fixture
def keys(official: Official) -> list[str]:
    """Return a good key, and one of each kind that is refused."""
    good = official.add_key()
    return [official.add_key(refused="1003"), official.add_key(refused="1121"), good]


@pytest.fixture
def owner(
    gateway: LiveGateway,
    environment: pytest.MonkeyPatch,
    official_server: OfficialServer,
    http: httpx.Client,
    watch: Watch,
) -> WatchedClient:
    settings = {
        "GLM_API_BASE_URL": official_server.base_url,
        "API_KEYS": KEY,
        "LOG_LEVEL": "DEBUG",
        "FIRST_CONTENT_TIMEOUT_S": "0.3",
        "IDLE_TIMEOUT_S": "0.3",
        "HEARTBEAT_S": "0.1",
    }
    for name, text in settings.items():
        environment.setenv(name, text)
    return WatchedClient(http, gateway.url, KEY, watch)


@pytest.fixture(autouse=True)
def _nothing_leaks(
    watch: Watch, keys: list[str], gateway: LiveGateway, capfd: pytest.CaptureFixture[str]
) -> Iterator[None]:
    yield
    wait_until(gateway.is_idle, 10, "all is said")
    watch.look_at_values()
    assert watch.answers, "nothing was asked"
    assert watch.log.getvalue(), "nothing was logged"
    parts = {part for key in keys for part in key.split(".")}
    assert watch.leaks(parts, *capfd.readouterr()) == []


def chat(text: str = "", model: str = "glm-4.6", **fields: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": PROMPT}, {"role": "user", "content": f"{text}{PROMPT}"}]
    return {"model": model, "messages": messages, "user": private("USER"), **fields}


@pytest.mark.parametrize("place", [0, 1, 2])
def test_every_answer_of_every_key(
    owner: WatchedClient, environment: pytest.MonkeyPatch, keys: list[str], place: int
) -> None:
    environment.setenv("GLM_API_KEYS", keys[place])
    for is_stream in (False, True):
        owner.post(CHAT, chat(stream=is_stream))
    owner.post("/v1/messages", {**chat(), "max_tokens": 9})
    for path in ("/v1/models", "/v1/models/api/glm-4.6", "/health", "/health?deep=1"):
        assert owner.get(path).status_code == 200


def test_every_way_in_which_the_api_misbehaves(
    owner: WatchedClient, environment: pytest.MonkeyPatch, keys: list[str], watch: Watch
) -> None:
    environment.setenv("GLM_API_KEYS", keys[2])
    for name in sorted(SCENES):
        for args in ("", " first=1"):
            owner.post(CHAT, chat(f"[scene:{name}{args} s=0.1]", stream=args == "", model="api/glm-4.5"))
        watch.look_at_values()


def test_an_api_that_says_the_key_again(
    owner: WatchedClient, environment: pytest.MonkeyPatch, keys: list[str], official: Official
) -> None:
    environment.setenv("GLM_API_KEYS", keys[2])
    said = {"error": {"code": "1002", "message": f"The key {keys[2]} is wrong"}}
    for path in ("chat/completions", "models"):
        official.fail(path, status=401, body=said)
    assert owner.post(CHAT, chat()).status_code == 401
    assert owner.get("/health?deep=1").status_code == 200


def test_a_key_that_a_caller_brings(
    owner: WatchedClient, environment: pytest.MonkeyPatch, keys: list[str], upstream: Upstream
) -> None:
    environment.delenv("API_KEYS")
    for credential in (*keys, ",".join(keys), f"{upstream.add_account().token},{keys[2]}", f"{keys[2]}x.y"):
        owner.credential = credential
        owner.post(CHAT, chat())
        owner.get("/v1/models")
        owner.post(CHAT, chat("word " * 300_000, model="glm-4.6", max_tokens=1))
