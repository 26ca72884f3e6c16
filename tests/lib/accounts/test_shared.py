from __future__ import annotations

import logging

import pytest

from lib.accounts.shared import RETRY_EVERY_S, SharedState
from tests.lib.accounts.fakes import Clock, FaultyStore

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> FaultyStore:
    return FaultyStore(now=clock)


@pytest.fixture
def state(store: FaultyStore, clock: Clock) -> SharedState:
    return SharedState(store, now=clock)


async def test_the_stores_word_counts_while_it_works(state: SharedState, store: FaultyStore) -> None:
    await state.keep("key", "ours", ttl_s=60)
    assert await state.recall("key") == "ours"
    await store.put("key", "theirs", ttl_s=60)
    assert await state.recall("key") == "theirs"
    await store.remove("key", "theirs")
    assert await state.recall("key") is None
    assert state.copy("key") is None


async def test_what_was_read_or_written_is_known_without_the_store(
    state: SharedState, store: FaultyStore
) -> None:
    await store.put("read", "one", ttl_s=60)
    await state.recall("read")
    await state.keep("written", "two", ttl_s=60)
    store.is_lost = True
    assert await state.recall("read") == "one"
    assert await state.recall("written") == "two"
    assert await state.recall("unknown") is None
    assert state.problem == "ConnectionError"


async def test_what_the_store_could_not_take_is_given_to_it_later_and_counts_until_then(
    state: SharedState, store: FaultyStore, clock: Clock
) -> None:
    await store.put("key", "old", ttl_s=600)
    store.is_lost = True
    await state.keep("key", "new", ttl_s=60)
    store.is_lost = False
    clock.time += 10
    assert await state.recall("key") == "new"
    assert await store.get("key") == "new"
    assert state.problem is None
    clock.time += 50
    assert await store.get("key") is None  # with the time to live that it had


async def test_what_expired_before_the_store_came_back_is_not_given_to_it(
    state: SharedState, store: FaultyStore, clock: Clock
) -> None:
    store.is_lost = True
    await state.keep("key", "value", ttl_s=60)
    store.is_lost = False
    clock.time += 60
    assert await state.recall("key") is None
    assert "put key" not in store.asked[1:]


async def test_a_write_without_hurry_is_offered_again_after_a_while(
    state: SharedState, store: FaultyStore, clock: Clock
) -> None:
    assert not state.wants_saving("key")
    store.is_lost = True
    await state.keep("key", "value", ttl_s=600)
    assert not state.wants_saving("key")
    clock.time += RETRY_EVERY_S
    assert state.wants_saving("key")
    await state.recall("key")
    assert not state.wants_saving("key")
    store.is_lost = False
    clock.time += RETRY_EVERY_S
    await state.recall("key")
    clock.time += RETRY_EVERY_S
    assert not state.wants_saving("key")


async def test_what_a_store_has_forgotten_is_restored_where_that_is_asked_for(
    state: SharedState, store: FaultyStore
) -> None:
    await state.keep("key", "value", ttl_s=60)
    await store.remove("key", "value")
    assert await state.recall("key", restore_ttl_s=60) == "value"
    assert await store.get("key") == "value"
    assert await state.recall("unknown", restore_ttl_s=60) is None


async def test_a_write_overtaken_by_another_is_not_taken_for_saved(clock: Clock) -> None:
    states: list[SharedState] = []

    class Overtaking(FaultyStore):
        async def put(self, key: str, value: str, *, ttl_s: float) -> None:
            await super().put(key, value, ttl_s=ttl_s)
            if value == "first":
                self.is_lost = True
                await states[0].keep("key", "second", ttl_s=60)

    state = SharedState(Overtaking(now=clock), now=clock)
    states.append(state)
    await state.keep("key", "first", ttl_s=60)
    assert state.copy("key") == "second"
    clock.time += RETRY_EVERY_S
    assert state.wants_saving("key")


async def test_drop_removes_only_what_this_process_knew(state: SharedState, store: FaultyStore) -> None:
    await state.keep("key", "ours", ttl_s=60)
    await store.put("key", "theirs", ttl_s=60)
    await state.drop("key")
    assert await store.get("key") == "theirs"
    await state.recall("key")
    await state.drop("key")
    assert await store.get("key") is None
    store.take_asked()
    await state.drop("key")
    assert store.asked == []


async def test_a_lost_store_holds_nothing_and_grants_everything(
    state: SharedState, store: FaultyStore
) -> None:
    assert await state.add("key", "one", ttl_s=60) is True
    assert await state.add("key", "two", ttl_s=60) is False
    assert await state.get("key") == "one"
    store.is_lost = True
    assert await state.add("key", "two", ttl_s=60) is True
    assert await state.get("key") is None
    await state.put("key", "three", ttl_s=60)
    await state.remove("key", "one")
    store.is_lost = False
    assert await state.get("key") == "one"
    await state.put("key", "three", ttl_s=60)
    await state.remove("key", "one")
    assert await state.get("key") == "three"
    await state.remove("key", "three")
    assert await state.get("key") is None


async def test_of_many_copies_the_one_not_touched_for_longest_goes(store: FaultyStore, clock: Clock) -> None:
    state = SharedState(store, now=clock, max_copies=2)
    await state.keep("a", "1", ttl_s=60)
    await state.keep("b", "2", ttl_s=60)
    await state.recall("a")
    await state.keep("c", "3", ttl_s=60)
    assert [state.copy(key) for key in "abc"] == ["1", None, "3"]


async def test_a_loss_is_logged_once_and_without_what_the_error_says(
    state: SharedState, store: FaultyStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.is_lost = True
    with caplog.at_level(logging.WARNING):
        await state.get("key")
        await state.get("key")
    assert [record.getMessage() for record in caplog.records] == [
        "the store fails (ConnectionError); going on within this process"
    ]
