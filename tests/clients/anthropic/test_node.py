"""Anthropic's SDK for Node against the gateway."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from simulator.scenes import sample_text
from tests.clients.anthropic.canned import serving, url_of
from tests.clients.anthropic.test_python import CALLS, PROMPT, asked
from tests.support.client import KEY, Client

SCRIPT = Path(__file__).parent / "node" / "client.mjs"
TIMEOUT_S = 60

pytestmark = pytest.mark.skipif(
    not os.environ.get("CLIENTS_NODE"), reason="scripts/test-clients makes the folder of node's packages"
)


def run(url: str, how: str, request: Any) -> dict[str, Any]:
    command = ["node", str(SCRIPT), url, KEY, how, json.dumps(request)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_message_is_read(client: Client) -> None:
    message = run(client.url, "create", asked(PROMPT))["message"]
    assert [block["type"] for block in message["content"]] == ["thinking", "text"]
    assert message["content"][1]["text"] == sample_text(300)
    assert message["stop_reason"] == "end_turn"


def test_a_stream_is_read(client: Client) -> None:
    told = run(client.url, "stream", asked(PROMPT))
    assert told["text"] == sample_text(300)
    assert told["message"]["stop_reason"] == "end_turn"
    assert told["message"]["usage"]["output_tokens"] > 50


def test_the_events_of_a_raw_stream_are_read(client: Client, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HEARTBEAT_S", "0.05")
    types = run(client.url, "raw", asked("[scene:slow first=0.3 gap=0.2 count=2]"))["types"]
    assert (types[0], types[-1]) == ("message_start", "message_stop")
    assert types.count("content_block_delta") == 2


def test_images_go_in(client: Client) -> None:
    png = b"\x89PNG\r\n\x1a\n" + bytes(99)
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(png).decode()}
    blocks = [{"type": "image", "source": source}, {"type": "text", "text": "[scene:files] What?"}]
    [text] = run(client.url, "create", asked(blocks))["message"]["content"]
    assert sha256(png).hexdigest() in text["text"]


@pytest.mark.parametrize("how", ["create", "stream"])
def test_calls_of_tools_are_read(how: str) -> None:
    with serving(CALLS) as server:
        message = run(url_of(server), how, asked("x"))["message"]
    calls = [block for block in message["content"] if block["type"] == "tool_use"]
    assert [(call["name"], call["input"]) for call in calls] == [("add", {"a": 1}), ("now", {})]
    assert message["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    ("scene", "name", "status", "kind"),
    [
        ("error_10040", "BadRequestError", 400, "invalid_request_error"),
        ("throttled_429", "RateLimitError", 429, "rate_limit_error"),
        ("html_403", "InternalServerError", 502, "api_error"),
    ],
)
@pytest.mark.parametrize("how", ["create", "stream", "raw"])
def test_errors_are_thrown(
    *, client: Client, how: str, scene: str, name: str, status: int, kind: str
) -> None:
    error = run(client.url, how, asked(f"[scene:{scene}]"))["error"]
    assert (error["name"], error["status"]) == (name, status)
    assert error["body"]["error"]["type"] == kind
    assert error["body"]["request_id"]


def test_an_error_in_mid_stream_is_thrown(client: Client) -> None:
    told = run(client.url, "stream", asked("[scene:error_10025_late]"))
    assert told["text"] == "Half of an answer, "
    assert told["error"]["body"]["error"]["type"] == "api_error"
