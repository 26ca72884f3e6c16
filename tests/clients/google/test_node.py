"""Google's SDK for Node against the gateway."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from simulator.scenes import sample_text
from tests.support.client import KEY, Client

SCRIPT = Path(__file__).parent / "node" / "client.mjs"
TIMEOUT_S = 60
PROMPT = "[scene:text chars=300 think=60]"

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("CLIENTS_NODE"), reason="scripts/test-clients makes the folder of node's packages"
    ),
    pytest.mark.parametrize("version", ["v1", "v1beta"]),
]


def run(url: str, version: str, how: str, contents: Any = PROMPT, **config: Any) -> dict[str, Any]:
    request = {"model": "glm-5.3", "contents": contents} | ({"config": config} if config else {})
    command = ["node", str(SCRIPT), url, KEY, version, how, json.dumps(request)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_an_answer_is_read(client: Client, version: str) -> None:
    told = run(client.url, version, "generate", thinkingConfig={"includeThoughts": True})
    assert told["text"] == sample_text(300)
    assert [part.get("thought", False) for part in told["candidate"]["content"]["parts"]] == [True, False]


def test_a_stream_is_read(client: Client, version: str, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HEARTBEAT_S", "0.05")
    told = run(client.url, version, "stream", "[scene:slow first=0.3 gap=0.2 count=3]")
    assert (told["text"], told["finishReason"]) == ("word 0 word 1 word 2 ", "STOP")


def test_a_streamed_chat_keeps_its_history(client: Client, version: str) -> None:
    user, *model = run(client.url, version, "chat")["history"]
    assert user["parts"] == [{"text": PROMPT}]
    assert "".join(part["text"] for content in model for part in content["parts"]) == sample_text(300)


@pytest.mark.parametrize("how", ["generate", "stream"])
def test_calls_of_functions_are_read(client: Client, version: str, how: str) -> None:
    schema = {"type": "OBJECT", "properties": {"path": {"type": "STRING"}}}
    tools = [{"functionDeclarations": [{"name": "read_file", "description": "Read.", "parameters": schema}]}]
    task = "[scene:agent] [agent: read_file path=a; then answer done]"
    [call] = run(client.url, version, how, task, tools=tools)["calls"]
    assert (call["name"], call["args"]) == ("read_file", {"path": "a"})


def test_tokens_are_counted_and_models_listed(client: Client, version: str) -> None:
    assert run(client.url, version, "count")["count"] > 0
    assert "models/glm-5.3" in run(client.url, version, "list")["names"]


@pytest.mark.parametrize(
    ("scene", "status"), [("error_10040", 400), ("throttled_429", 429), ("html_403", 502)]
)
@pytest.mark.parametrize("how", ["generate", "stream"])
def test_errors_are_thrown(*, client: Client, version: str, how: str, scene: str, status: int) -> None:
    error = run(client.url, version, how, f"[scene:{scene}]")["error"]
    assert (error["name"], error["status"]) == ("ApiError", status)


def test_an_error_in_mid_stream_is_thrown(client: Client, version: str) -> None:
    told = run(client.url, version, "stream", "[scene:error_10025_late]")
    assert told["text"] == "Half of an answer, "
    assert told["error"]["name"] == "ApiError"
    assert "upstream_error" in told["error"]["message"]
