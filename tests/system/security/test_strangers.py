"""Strangers with tokens of their own: each costs the upstream, the store and the memory little."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import httpx
import msgspec
import pytest

from tests.conftest import SimulatedAccount, Upstream
from tests.support.client import CHAT, chat_body
from tests.support.live import LiveGateway
from tests.system.security.process import Process
from tests.unit.store.redis_server import NOT_INSTALLED, find_redis, running_redis
from tests.unit.store.upstash_double import UpstashDouble, running_upstash

CHECK = "/token/check"
MIB = 1024 * 1024
MAX_COMMANDS = 7
"""So many commands a new token costs the store at most: its cool-down, its record, the lock, the chain, the
end of the lock, and the refusal."""


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpstashDouble]:
    program = find_redis() or pytest.skip(NOT_INSTALLED)
    with (
        running_redis(program, tmp_path_factory.mktemp("redis")) as server,
        running_upstash(server) as double,
    ):
        yield double


@pytest.fixture
def store(shared_store: UpstashDouble, environment: pytest.MonkeyPatch) -> UpstashDouble:
    """Give a store that counts its commands, behind a gateway that is open for strangers."""
    for name, value in {
        **shared_store.environ,
        "STORE_URL": "upstash://",
        "ALLOW_PASSTHROUGH": "true",
    }.items():
        environment.setenv(name, value)
    shared_store.redis.call("FLUSHALL")
    shared_store.commands.clear()
    return shared_store


def bearer(*tokens: str) -> dict[str, str]:
    return {"authorization": f"Bearer {','.join(tokens)}"}


_numbers = count()


def junk(**claims: object) -> str:
    """Make a text of the form of a refresh token. The upstream has never seen it."""
    payload = {"type": "refresh", "exp": 4e9, "uid": f"{next(_numbers)}", **claims}
    packed = base64.urlsafe_b64encode(msgspec.json.encode(payload)).decode().rstrip("=")
    return f"eyJh.{packed}.signature"


def commands_of(
    store: UpstashDouble, gateway: LiveGateway, http: httpx.Client, path: str, *tokens: str
) -> int:
    store.commands.clear()
    body = chat_body("Hello!") if path == CHAT else {"token": ",".join(tokens)}
    http.post(gateway.url + path, json=body, headers=bearer(*tokens))
    return len(store.commands)


@pytest.mark.parametrize(("path", "again"), [(CHAT, 2), (CHECK, 1)])
def test_a_token_that_is_refused_costs_the_store_little_and_the_next_time_nearly_nothing(
    store: UpstashDouble, gateway: LiveGateway, http: httpx.Client, path: str, again: int
) -> None:
    token = junk()
    assert commands_of(store, gateway, http, path, token) <= MAX_COMMANDS
    assert commands_of(store, gateway, http, path, token) <= again


def test_many_tokens_in_one_request_cost_no_more_than_a_few(
    store: UpstashDouble, gateway: LiveGateway, http: httpx.Client, upstream: Upstream
) -> None:
    tokens = [junk() for _ in range(16)]
    assert commands_of(store, gateway, http, CHAT, *tokens) <= 4 * MAX_COMMANDS
    assert upstream.count("user/refresh") <= 4


def test_texts_that_cannot_be_refresh_tokens_cost_the_store_and_the_upstream_nothing(
    store: UpstashDouble, gateway: LiveGateway, http: httpx.Client, upstream: Upstream
) -> None:
    texts = ["a.b.c", junk(type="access"), junk(type="other"), junk(type=None)]
    for text in texts:
        assert commands_of(store, gateway, http, CHAT, text) == 0, text
        assert commands_of(store, gateway, http, CHECK, text) <= 1, text
    for path in (CHAT, CHECK):  # Another process may have its successor.
        assert commands_of(store, gateway, http, path, junk(exp=1)) <= 2
    assert upstream.sim.calls == []


@pytest.mark.parametrize("path", [CHAT, CHECK])
def test_a_known_token_costs_the_store_three_commands(
    store: UpstashDouble, gateway: LiveGateway, http: httpx.Client, account: SimulatedAccount, path: str
) -> None:
    assert commands_of(store, gateway, http, path, account.token) <= MAX_COMMANDS
    assert commands_of(store, gateway, http, path, account.token) <= 3


MAX_GROWTH = 10 * MIB
"""5,000 such tokens held 260 MB (2026-11-24). The tokens here are 11 MB."""
AT_ONCE = 64
"""So many refusals may be delayed at one time."""


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
def test_thousands_of_junk_tokens_cost_no_memory(tmp_path: Path, upstream: Upstream) -> None:
    def send(_: int) -> int:
        tokens = [junk(pad="x" * 2600) for _ in range(12)]
        answer = http.post(process.url + CHAT, json=chat_body("a"), headers=bearer(*tokens))
        return answer.status_code

    with (
        Process(tmp_path, CHATGLM_BASE_URL=upstream.base_url, ALLOW_PASSTHROUGH="true") as process,
        httpx.Client(trust_env=False, timeout=60) as http,
        ThreadPoolExecutor(AT_ONCE) as threads,
    ):
        assert set(threads.map(send, range(2 * AT_ONCE))) <= {401, 429}
        process.forget_peak()
        before = process.peak_bytes
        assert set(threads.map(send, range(4 * AT_ONCE))) <= {401, 429}
        assert process.peak_bytes - before < MAX_GROWTH, (process.peak_bytes - before) / MIB
