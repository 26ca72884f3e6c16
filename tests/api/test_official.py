"""Chats over the official API, from the client's side."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from simulator.official.app import Official
from simulator.official.server import OfficialServer
from tests.support.client import CHAT, KEY, Client, chat_body
from tests.support.dialects import DIALECTS, Dialect
from tests.support.live import LiveGateway

BOTH_WAYS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
EVERY_DIALECT = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)


@pytest.fixture
def key(official: Official) -> str:
    return official.add_key()


@pytest.fixture
def api(
    gateway: LiveGateway,
    environment: pytest.MonkeyPatch,
    official_server: OfficialServer,
    key: str,
    http: httpx.Client,
) -> Client:
    """Give the owner's client, with one key of the official API behind the key and no account."""
    environment.setenv("GLM_API_KEYS", key)
    environment.setenv("GLM_API_BASE_URL", official_server.base_url)
    environment.setenv("API_KEYS", KEY)
    return Client(http, gateway.url)


def body(prompt: str = "Hello!", model: str = "glm-4.6", **fields: Any) -> dict[str, Any]:
    return chat_body(prompt, **{"model": model, **fields})


def sent(official: Official) -> list[dict[str, Any]]:
    """The bodies of the chats that came."""
    return [call.json for call in official.calls_to("chat/completions")]


# The answer


@BOTH_WAYS
def test_an_answer_names_its_upstream_its_model_and_its_reported_usage(
    api: Client, official: Official, key: str, stream: bool
) -> None:
    answer = api.post(CHAT, body(stream=stream, stream_options={"include_usage": True}))
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-glm-upstream"] == "api"
    assert answer.headers["x-glm-model"] == "glm-4.6"
    assert answer.headers["x-glm-usage"] == "reported"
    assert "x-glm-fallback" not in answer.headers
    if stream:
        chunks = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line.startswith("data: {")]
        usage = chunks[-1]["usage"]
        text = "".join(c["delta"].get("content") or "" for chunk in chunks for c in chunk["choices"])
    else:
        usage = answer.json()["usage"]
        text = answer.json()["choices"][0]["message"]["content"]
    assert text == "You said: “Hello!”. I am the simulated glm-4.6."
    assert usage["prompt_tokens"] == len("Hello!") // 3 + 1


@EVERY_DIALECT
@BOTH_WAYS
def test_every_dialect_is_answered(api: Client, dialect: Dialect, stream: bool) -> None:
    asked = dialect.body("Hello!", stream)
    answer = api.post(dialect.path_of(is_stream=stream), asked)
    assert answer.status_code == 200, answer.text
    said = dialect.read_stream(answer.content) if stream else dialect.read(answer.json())
    assert "You said: “Hello!”" in said.text
    assert said.reason == "stop"
    assert answer.headers["x-glm-upstream"] == "api"
