"""What every store promises, run over each backend that needs no server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from lib.store import Store, open_store
from lib.store.upstash import UpstashStore
from tests.lib.store.upstash_double import TOKEN, UpstashDouble

pytestmark = pytest.mark.anyio

ODD = [
    "",
    " ",
    "lease:0a1b",
    "a'b\"c;--%_?*[x]",
    "line\nbreak\r\n\ttab",
    "nul\0inside",
    "智谱清言 🙂 é e\u0301",
    "\ud800 a lone surrogate",
    "k" * 5000,
]


class Clock:
    def __init__(self) -> None:
        self.time = 1_790_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite", "upstash"])
async def store(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path) -> AsyncIterator[Store]:
    store: Store
    if request.param == "upstash":
        transport = httpx.ASGITransport(UpstashDouble(clock).app)
        store = UpstashStore(f"upstash://:{TOKEN}@kv.example", transport=transport)
    else:
        url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/store.db"
        store = open_store(url, now=clock)
    yield store
    await store.close()


async def test_what_was_never_written_is_absent(store: Store) -> None:
    assert await store.get("key") is None


async def test_put_writes_and_overwrites(store: Store) -> None:
    await store.put("key", "one", ttl_s=60)
    await store.put("key", "two", ttl_s=60)
    await store.put("other", "three", ttl_s=60)

    assert await store.get("key") == "two"
    assert await store.get("other") == "three"


async def test_an_entry_is_gone_from_the_moment_its_time_is_over(store: Store, clock: Clock) -> None:
    await store.put("key", "value", ttl_s=60)
    clock.time += 59.9
    assert await store.get("key") == "value"
    clock.time += 0.1
    assert await store.get("key") is None


async def test_put_sets_the_time_to_live_anew(store: Store, clock: Clock) -> None:
    await store.put("key", "value", ttl_s=60)
    clock.time += 50
    await store.put("key", "value", ttl_s=60)
    clock.time += 50
    assert await store.get("key") == "value"
    await store.put("key", "value", ttl_s=5)
    clock.time += 6
    assert await store.get("key") is None


async def test_add_writes_only_where_nothing_is(store: Store) -> None:
    assert await store.add("key", "one", ttl_s=60) is True
    assert await store.add("key", "two", ttl_s=60) is False
    assert await store.add("key", "one", ttl_s=60) is False
    assert await store.get("key") == "one"


async def test_a_refused_add_does_not_prolong_what_is_there(store: Store, clock: Clock) -> None:
    await store.add("key", "one", ttl_s=60)
    clock.time += 50
    await store.add("key", "two", ttl_s=60)
    clock.time += 11
    assert await store.get("key") is None


async def test_add_takes_over_what_has_expired(store: Store, clock: Clock) -> None:
    await store.put("key", "one", ttl_s=60)
    clock.time += 60
    assert await store.add("key", "two", ttl_s=60) is True
    assert await store.get("key") == "two"
    clock.time += 59
    assert await store.add("key", "three", ttl_s=60) is False


async def test_remove_takes_away_only_the_value_it_was_told(store: Store) -> None:
    await store.put("key", "one", ttl_s=60)
    assert await store.remove("key", "two") is False
    assert await store.get("key") == "one"
    assert await store.remove("key", "one") is True
    assert await store.get("key") is None
    assert await store.remove("key", "one") is False


async def test_remove_of_an_expired_entry_removes_nothing(store: Store, clock: Clock) -> None:
    await store.put("key", "one", ttl_s=60)
    clock.time += 60
    assert await store.remove("key", "one") is False


@pytest.mark.parametrize("value", ODD)
async def test_any_text_comes_back_as_it_was(store: Store, value: str) -> None:
    await store.put("key", value, ttl_s=60)
    assert await store.get("key") == value
    assert await store.remove("key", value) is True
    assert await store.add("key", value, ttl_s=60) is True
    assert await store.get("key") == value


async def test_any_text_is_a_key_and_they_are_kept_apart(store: Store) -> None:
    for key in ODD:
        assert await store.add(key, f"value of {key}", ttl_s=60) is True
    for key in ODD:
        assert await store.get(key) == f"value of {key}"
        assert await store.remove(key, f"value of {key}") is True
        assert await store.get(key) is None


async def test_of_many_tasks_that_add_one_wins(store: Store) -> None:
    won = await asyncio.gather(*(store.add("key", str(number), ttl_s=60) for number in range(50)))
    assert won.count(True) == 1
    assert await store.get("key") == str(won.index(True))


async def test_of_many_tasks_that_remove_one_wins(store: Store) -> None:
    await store.put("key", "value", ttl_s=60)
    won = await asyncio.gather(*(store.remove("key", "value") for _ in range(50)))
    assert won.count(True) == 1


async def test_close_may_be_called_twice(store: Store) -> None:
    await store.put("key", "value", ttl_s=60)
    await store.close()
    await store.close()


@pytest.mark.parametrize("scheme", ["memory", "sqlite"])
def test_one_store_serves_several_event_loops_one_after_the_other(scheme: str, tmp_path: Path) -> None:
    store = open_store("memory://" if scheme == "memory" else f"sqlite:///{tmp_path}/store.db")
    asyncio.run(store.put("key", "value", ttl_s=60))
    assert asyncio.run(store.add("key", "other", ttl_s=60)) is False
    assert asyncio.run(store.get("key")) == "value"
    asyncio.run(store.close())
