"""Requests that once cost too much: the loop goes on turning, and the upstream is asked little."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec
import pytest

from lib.chat.usage import estimate_tokens
from tests.conftest import SimulatedAccount, Upstream
from tests.support.client import CHAT, Client, chat_body, error_of
from tests.support.live import LiveGateway
from tests.system.security.test_strangers import junk

MIB = 1024 * 1024
MAX_PAUSE_UNITS = 8
"""Each of these once stopped the loop for 2 to 20 s, that is 40 units and more."""


def unit_s() -> float:
    """Measure a work that takes 50 ms on an idle machine of 2026, and longer if others share the core."""
    began_at = time.perf_counter()
    assert sum(number % 7 for number in range(1_000_000)) == 2_999_997
    return time.perf_counter() - began_at


class Heart:
    """A task that beats on the gateway's loop, and knows the longest pause between two beats."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def beat(self, has_begun: threading.Event) -> None:
        last = time.perf_counter()
        try:
            while True:
                has_begun.set()
                await asyncio.sleep(0.005)
                now = time.perf_counter()
                self.longest_s, last = max(self.longest_s, now - last), now
        finally:
            self.longest_s = max(self.longest_s, time.perf_counter() - last)


@contextmanager
def heart_of(gateway: LiveGateway) -> Iterator[Heart]:
    heart, has_begun = Heart(), threading.Event()
    beating = asyncio.run_coroutine_threadsafe(heart.beat(has_begun), gateway.loop)
    assert has_begun.wait(30)
    try:
        yield heart
    finally:
        beating.cancel()
        # The loop runs this after the end of the beat: a pause that went on until now is counted.
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.001), gateway.loop).result(60)


def asked(client: Client, gateway: LiveGateway, body: bytes, **more: Any) -> httpx.Response:
    """Send a chat, and hold the loop's longest pause to its limit.

    A busy machine causes pauses, too. A freeze of ours is there in each of three tries.
    """
    pauses = []
    for _ in range(3):
        before = unit_s()
        with heart_of(gateway) as heart:
            answer = client.request("POST", CHAT, content=body, timeout=60, **more)
        pauses.append(heart.longest_s / max(before, unit_s()))
        if pauses[-1] < MAX_PAUSE_UNITS:
            return answer
    pytest.fail(f"The loop's pauses had {pauses} units.")


def said(content: str) -> bytes:
    return msgspec.json.encode(chat_body(content))


COSTLY: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "30 MB of stop sequences": (
        lambda: msgspec.json.encode(chat_body("a", stop=["a" * 7 * MIB] * 4)),
        400,
        "invalid_value",
    ),
    "a text of 31 MB": (lambda: said("Hello, world. " * (31 * MIB // 14)), 400, "context_length_exceeded"),
    "31 MB of markers": (lambda: said("<|user:7|>" * (31 * MIB // 10)), 400, "context_length_exceeded"),
    "7 MB of small messages": (
        lambda: msgspec.json.encode({"messages": [{"role": "user", "content": "a"}] * 220_000}),
        413,
        "request_too_large",
    ),
    "66,000 messages": (
        lambda: msgspec.json.encode({"messages": [{"role": "user", "content": "a"}] * 66_000}),
        400,
        "invalid_value",
    ),
}


@pytest.mark.parametrize("name", COSTLY)
def test_a_costly_request_is_refused_while_the_loop_turns(
    client: Client, gateway: LiveGateway, upstream: Upstream, name: str
) -> None:
    make, status, code = COSTLY[name]
    body = make()
    answer = asked(client, gateway, body)
    assert (answer.status_code, error_of(answer)["code"]) == (status, code)
    assert upstream.sim.calls == []


def replayed(*turns: tuple[list[str], str]) -> bytes:
    """Make a chat of turns: each has the ids of its calls, which have these arguments, and their results."""
    messages: list[dict[str, object]] = [{"role": "user", "content": "[scene:text chars=9]"}]
    for ids, arguments in turns:
        function = {"name": "now", "arguments": arguments}
        calls = [{"id": known, "type": "function", "function": function} for known in ids]
        messages.append({"role": "assistant", "content": None, "tool_calls": calls})
        messages += [{"role": "tool", "tool_call_id": known, "content": "x"} for known in ids]
    messages.append({"role": "user", "content": "[scene:text chars=9]"})
    return msgspec.json.encode({"model": "glm-5.3-flash", "messages": messages, "tools": NOW})


SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}}
NOW = [{"type": "function", "function": {"name": "now", "parameters": SCHEMA}}]
SAME, DIFFERENT = ["a"] * 500, [f"a{number}" for number in range(500)]
OPENERS = msgspec.json.encode({"text": "<" * 1_000_000}).decode()
PARTS = msgspec.json.encode({"text": "<" * 950}).decode()
HISTORIES: dict[str, tuple[Callable[[], bytes], int]] = {
    "2,000 calls with one id": (lambda: replayed((["a"] * 2_000, "{}")), 400),
    "6,000 calls": (lambda: replayed(([f"a{number}" for number in range(6_000)], "{}")), 400),
    "turns of 500 calls with one id": (lambda: replayed(*[(SAME, "{}")] * 11), 200),
    "turns of 500 calls": (lambda: replayed(*[(DIFFERENT, "{}")] * 11), 200),
    "1 MB of < in one argument": (lambda: replayed((["a"], OPENERS)), 400),
    "1 MB of < in many arguments": (lambda: replayed((SAME, PARTS), (SAME, PARTS)), 200),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_a_costly_history_of_tools_is_taken_while_the_loop_turns(
    client: Client, gateway: LiveGateway, name: str
) -> None:
    make, status = HISTORIES[name]
    body = make()
    answer = asked(client, gateway, body)
    assert answer.status_code == status, answer.text[:300]
    assert len(answer.content) < 10_000


@pytest.mark.parametrize("name", HISTORIES)
def test_a_costly_history_of_a_stranger_is_not_written(
    client: Client, gateway: LiveGateway, upstream: Upstream, environment: pytest.MonkeyPatch, name: str
) -> None:
    environment.setenv("ALLOW_PASSTHROUGH", "true")
    make, status = HISTORIES[name]
    body = make()
    headers = {"authorization": f"Bearer {junk()}"}
    answer = asked(client, gateway, body, headers=headers)
    is_many = "000 calls" in name
    assert answer.status_code == (status if is_many else 401), answer.text[:300]
    assert upstream.count("user/refresh") == len(upstream.sim.calls) <= 1


def test_the_longest_prompt_is_answered_while_the_loop_turns(client: Client, gateway: LiveGateway) -> None:
    prompt = "[scene:text chars=9] " + "你好世界，" * 790_000
    with heart_of(gateway) as heart:
        answer = client.request("POST", CHAT, content=said(prompt), timeout=60)
    assert answer.status_code == 200, answer.text[:300]
    assert answer.json()["usage"]["prompt_tokens"] > 2_000_000
    began_at = time.perf_counter()
    estimate_tokens(prompt)
    assert heart.longest_s < time.perf_counter() - began_at, "it is not counted in one go"


def test_strangers_tokens_cost_the_upstream_a_bounded_number_of_calls(
    client: Client, upstream: Upstream, environment: pytest.MonkeyPatch, account: SimulatedAccount
) -> None:
    environment.delenv("API_KEYS")
    environment.delenv("CHATGLM_REFRESH_TOKENS")
    environment.setenv("ALLOW_PASSTHROUGH", "true")
    strangers = [upstream.add_account() for _ in range(48)]
    for stranger in strangers:
        upstream.sim.revoke(stranger.uid)
    statuses = set()
    for first in range(0, 48, 16):
        tokens = ",".join(stranger.token for stranger in strangers[first : first + 16])
        statuses.add(client._http.post(f"{client.url}/token/check", json={"token": tokens}).status_code)
    assert upstream.count("user/refresh") < 36
    assert 429 in statuses
