from __future__ import annotations

import pytest

from lib.store.memory import FIRST_PURGE, MemoryStore

pytestmark = pytest.mark.anyio


async def test_expired_entries_do_not_pile_up() -> None:
    time = 0.0
    store = MemoryStore(now=lambda: time)
    for number in range(10 * FIRST_PURGE):
        time += 1
        await store.put(str(number), "value", ttl_s=5)
    assert len(store) <= FIRST_PURGE + 5


async def test_living_entries_are_kept_and_purged_the_more_seldom_the_more_they_are() -> None:
    time = 0.0
    store = MemoryStore(now=lambda: time)
    for number in range(3 * FIRST_PURGE):
        await store.put(str(number), str(number), ttl_s=5)
    assert len(store) == 3 * FIRST_PURGE
    time = 5
    for number in range(3 * FIRST_PURGE, 5 * FIRST_PURGE + 10):
        await store.put(str(number), "value", ttl_s=5)
    assert len(store) <= 2 * FIRST_PURGE + 10


async def test_a_full_store_drops_what_would_expire_first() -> None:
    store = MemoryStore(now=lambda: 0.0, max_entries=10)
    await store.put("token", "value", ttl_s=1000)
    for number in range(100):
        await store.put(str(number), "value", ttl_s=10 + number)
        assert len(store) <= 10
        assert await store.get(str(number)) == "value"
    assert await store.get("token") == "value"
    assert await store.get("95") == "value"
    assert await store.get("50") is None
