"""OpenAI's SDK for JavaScript and the AI SDK against the gateway: loops, objects, images, errors."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from simulator.scenes import sample_text
from tests.clients.samples import CALLED, CITY, LOOK, LOOP, PNG_BASE64, PNG_SEEN, SAID, describe
from tests.conftest import Upstream
from tests.support.client import KEY, Client

SCRIPTS = Path(__file__).parent / "node"
TIMEOUT_S = 60
WAYS = [
    ("openai", "chat"),
    ("openai", "responses"),
    ("ai", "chat"),
    ("ai", "compatible"),
    ("ai", "responses"),
    ("ai", "messages"),
    ("ai", "gemini"),
]
NO_REASONING = [(("openai", "chat"), True), (("ai", "chat"), False), (("ai", "chat"), True)]
"""Chat completions have no reasoning. OpenAI's SDK joins no unknown fields in a stream."""

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("CLIENTS_NODE"), reason="scripts/test-clients makes the folder of node's packages"
    ),
    pytest.mark.parametrize("way", WAYS, ids=":".join),
]


def node() -> str:
    """Return the node of the packages: they want 22 or later, and a machine may have an older one."""
    found = Path(os.environ["CLIENTS_NODE"], "node_modules").glob("node-*/bin/node")
    return str(next(found, "node"))


def run(
    client: Client,
    way: tuple[str, str],
    task: str,
    prompt: str,
    *,
    is_stream: bool = False,
    key: str = KEY,
    image: str = "",
) -> Any:
    script, api = way
    words = [client.url, key, api, task, prompt, json.dumps(is_stream), image]
    command = [node(), str(SCRIPTS / f"{script}.mjs"), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
def test_a_text_is_read(client: Client, way: tuple[str, str], *, is_stream: bool) -> None:
    told = run(client, way, "text", "[scene:text chars=300 think=60]", is_stream=is_stream)
    assert told.get("error") is None
    assert told["answer"] == sample_text(300)
    if (way, is_stream) not in NO_REASONING:
        assert told["reasoning"] == sample_text(60, 2)


def test_an_image_goes_in(client: Client, way: tuple[str, str]) -> None:
    told = run(client, way, "text", LOOK, image=PNG_BASE64)
    assert told.get("error") is None
    assert PNG_SEEN in told["answer"]


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
def test_a_loop_of_a_dozen_steps_comes_to_its_end(
    client: Client, way: tuple[str, str], *, is_stream: bool
) -> None:
    told = run(client, way, "loop", LOOP, is_stream=is_stream)
    assert told.get("error") is None
    assert [tuple(call) for call in told["called"]] == CALLED
    assert told["answer"] == SAID


@pytest.mark.parametrize("is_repaired", [False, True], ids=["right", "repaired"])
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
def test_structured_output_is_read(
    *, client: Client, upstream: Upstream, way: tuple[str, str], is_repaired: bool, is_stream: bool
) -> None:
    by_tool = way == (
        "ai",
        "messages",
    )  # For a model that it does not know, it forces a call of a tool `json`.
    mistake = "missing" if by_tool else "invalid_json"
    prompt = describe(mistake if is_repaired else "", tool="json" if by_tool else "")
    told = run(client, way, "object", prompt, is_stream=is_stream)
    if is_repaired and is_stream and not by_tool:
        assert "name is missing" in told["error"]["message"], "a stream cannot take back a wrong value"
        return
    assert told.get("error") is None
    assert told["answer"] == CITY
    assert upstream.count("assistant/stream") == (2 if is_repaired else 1)


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("key", "prompt", "status", "name"),
    [
        ("sk-wrong", "Hello!", 401, "AuthenticationError"),
        (KEY, "[scene:throttled_429]", 429, "RateLimitError"),
    ],
)
def test_errors_are_thrown(
    *, client: Client, way: tuple[str, str], key: str, prompt: str, status: int, name: str, is_stream: bool
) -> None:
    error = run(client, way, "text", prompt, is_stream=is_stream, key=key)["error"]
    assert error["status"] == status
    assert error["name"] == (name if way[0] == "openai" else "AI_APICallError")


def test_an_error_in_mid_stream_is_thrown(client: Client, way: tuple[str, str]) -> None:
    error = run(client, way, "text", "[scene:error_10025_late]", is_stream=True)["error"]
    assert "10025" in error["message"]
