"""Requests that once cost too much: the loop goes on turning, and the upstream is asked little."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import pytest

from lib.chat.usage import estimate_tokens
from tests.conftest import SimulatedAccount, Upstream
from tests.support.client import CHAT, Client, chat_body, error_of
from tests.support.live import LiveGateway

MIB = 1024 * 1024
MAX_PAUSE_S = 2.5
"""Each of these stopped the loop for 3 to 20 s. Other tests may share the core."""


class Heart:
    """A task that beats on the gateway's loop, and knows the longest pause between two beats."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def beat(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.005)
            now = time.perf_counter()
            self.longest_s, last = max(self.longest_s, now - last), now


@contextmanager
def heart_of(gateway: LiveGateway) -> Iterator[Heart]:
    heart = Heart()
    beating = asyncio.run_coroutine_threadsafe(heart.beat(), gateway.loop)
    try:
        yield heart
    finally:
        beating.cancel()


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
    with heart_of(gateway) as heart:
        answer = client.request("POST", CHAT, content=body, timeout=60)
    assert (answer.status_code, error_of(answer)["code"]) == (status, code)
    assert heart.longest_s < MAX_PAUSE_S
    assert upstream.sim.calls == []


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
