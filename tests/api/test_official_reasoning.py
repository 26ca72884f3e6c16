"""The reasoning of a turn with calls goes back to the official API, from every dialect that can carry it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from simulator.official.app import Official
from simulator.official.server import OfficialServer
from tests.support.client import CHAT, KEY, Client
from tests.support.live import LiveGateway

TASK = "[agent: look word=needle; then answer found]"
PARAMETERS: dict[str, Any] = {"type": "object", "properties": {"word": {"type": "string"}}}


@pytest.fixture
def api(
    gateway: LiveGateway,
    environment: pytest.MonkeyPatch,
    official_server: OfficialServer,
    official: Official,
    http: httpx.Client,
) -> Client:
    environment.setenv("GLM_API_KEYS", official.add_key())
    environment.setenv("GLM_API_BASE_URL", official_server.base_url)
    environment.setenv("API_KEYS", KEY)
    return Client(http, gateway.url)


def asked(client: Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(path, body)
    assert answer.status_code == 200, answer.text
    whole: dict[str, Any] = answer.json()
    return whole


def by_chat(client: Client) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": PARAMETERS}}
    body = {"model": "glm-4.6", "tools": [tool], "messages": [{"role": "user", "content": TASK}]}
    message = asked(client, CHAT, body)["choices"][0]["message"]
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "here"}
    asked(client, CHAT, {**body, "messages": [*body["messages"], message, result]})


def by_messages(client: Client) -> None:
    tool = {"name": "look", "input_schema": PARAMETERS}
    thinking = {"type": "enabled", "budget_tokens": 2048}
    body = {"model": "glm-4.6", "max_tokens": 4096, "tools": [tool], "thinking": thinking}
    messages: list[dict[str, Any]] = [{"role": "user", "content": TASK}]
    content = asked(client, "/v1/messages", {**body, "messages": messages})["content"]
    [call] = [block for block in content if block["type"] == "tool_use"]
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "here"}
    messages += [{"role": "assistant", "content": content}, {"role": "user", "content": [result]}]
    asked(client, "/v1/messages", {**body, "messages": messages})


def by_responses(client: Client) -> None:
    tool = {"type": "function", "name": "look", "parameters": PARAMETERS}
    body = {"model": "glm-4.6", "tools": [tool], "reasoning": {"summary": "auto"}}
    first = {"role": "user", "content": TASK}
    output = asked(client, "/v1/responses", {**body, "input": [first]})["output"]
    [call] = [item for item in output if item["type"] == "function_call"]
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "here"}
    asked(client, "/v1/responses", {**body, "input": [first, *output, result]})


@pytest.mark.parametrize("ask", [by_chat, by_messages, by_responses])
def test_the_reasoning_comes_back_with_the_result(api: Client, official: Official, ask: Any) -> None:
    ask(api)
    _, again = [call.json for call in official.calls_to("chat/completions")]
    said = next(message for message in again["messages"] if message["role"] == "assistant")
    assert said["tool_calls"]
    assert said["reasoning_content"] == next(iter(official.reasonings.values()))
