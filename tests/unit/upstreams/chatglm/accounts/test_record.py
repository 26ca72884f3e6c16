"""An account's record: its lease and its rest change in one step, whatever another process does meanwhile."""

from __future__ import annotations

import asyncio
import logging

import pytest

from lib.errors import AccountBusy, Throttled
from lib.store import Change, Outcome
from lib.store.processes import Processes
from lib.store.shared import SharedState
from lib.upstreams.chatglm.accounts.cooldowns import RECORDS, CoolDowns, cool_place
from lib.upstreams.chatglm.accounts.lease import lease_place
from lib.upstreams.chatglm.accounts.pool import Pool
from tests.unit.upstreams.chatglm.accounts.fakes import Clock, FaultyStore, make_account, shared

pytestmark = pytest.mark.anyio

A = make_account("a")
A_AGAIN = make_account("a", login=2)


@pytest.fixture
def now() -> Clock:
    return Clock()


@pytest.fixture
def store(now: Clock) -> FaultyStore:
    return FaultyStore(now=now)


def make_pool(store: FaultyStore, now: Clock) -> Pool:
    return Pool(shared(store, now), now=now)


async def test_a_note_is_written_with_the_end_of_the_lease(store: FaultyStore, now: Clock) -> None:
    pool = make_pool(store, now)
    lease = await pool.acquire([A], wait_s=0)
    await pool.cool_downs.throttled(A, at_release=True)
    assert store.take_asked() == ["put lease"]
    await lease.release()
    assert store.take_asked() == ["put cool lease"]
    with pytest.raises(Throttled):
        await make_pool(store, now).acquire([A], wait_s=0)


async def test_a_note_is_written_also_if_the_lease_has_expired(store: FaultyStore, now: Clock) -> None:
    pool, other = make_pool(store, now), make_pool(store, now)
    lease = await pool.acquire([A], wait_s=0)
    now.time += 60
    theirs = await other.acquire([A], wait_s=0)
    await pool.cool_downs.throttled(A, at_release=True)
    await lease.release()
    assert await store.get(lease_place(A).name) == theirs.hold.mark
    await theirs.release()
    with pytest.raises(Throttled):
        await make_pool(store, now).acquire([A], wait_s=0)


async def test_a_rest_that_another_process_has_noted_costs_one_trip_and_no_lease(
    store: FaultyStore, now: Clock
) -> None:
    await make_pool(store, now).cool_downs.throttled(A)
    store.take_asked()
    pool = make_pool(store, now)
    for trips in (["put lease"], ["read cool"]):
        with pytest.raises(Throttled):
            await pool.acquire([A], wait_s=0)
        assert store.take_asked() == trips
        assert await store.get(lease_place(A).name) is None
        store.take_asked()


async def test_a_rest_that_is_over_costs_one_trip_more_once(store: FaultyStore, now: Clock) -> None:
    await make_pool(store, now).cool_downs.throttled(A)
    now.time += 31  # its strikes are kept
    store.take_asked()
    pool = make_pool(store, now)
    for trips in (2, 1):
        lease = await pool.acquire([A], wait_s=0)
        assert len(store.take_asked()) == trips
        await lease.release()
        store.take_asked()


async def test_a_rest_that_only_another_token_can_read_does_not_shut_the_account(
    store: FaultyStore, now: Clock
) -> None:
    await store.put(cool_place(A).name, "sealed by another token", ttl_s=600)
    pool = make_pool(store, now)
    await (await pool.acquire([A], wait_s=0)).release()
    assert await store.get(cool_place(A).name) == "sealed by another token"


async def test_rests_that_change_at_each_look_make_the_account_busy(now: Clock) -> None:
    class Restless(FaultyStore):
        async def alter(self, record: str, change: Change, /) -> Outcome:
            other = RECORDS.encode(CoolDowns(strikes=len(self.asked) + 1))
            await self.put(cool_place(A).name, other, ttl_s=600)
            return await super().alter(record, change)

    store = Restless(now=now)
    with pytest.raises(AccountBusy):
        await make_pool(store, now).acquire([A], wait_s=0)
    assert store.asked.count("put lease") == 3
    assert await store.get(lease_place(A).name) is None


async def test_a_store_that_takes_no_writes_still_tells_of_a_rest(now: Clock) -> None:
    class Full(FaultyStore):
        is_full = False

        async def alter(self, record: str, change: Change, /) -> Outcome:
            if self.is_full and not change.is_read_only:
                raise ConnectionError("OOM")
            return await super().alter(record, change)

    store = Full(now=now)
    await make_pool(store, now).cool_downs.throttled(A)
    store.is_full = True
    pool = make_pool(store, now)
    with pytest.raises(Throttled):
        await pool.acquire([A], wait_s=0)
    await asyncio.wait(pool._tasks._running)
    assert not pool._line._taken


class OneIsDead(Processes):
    def is_gone(self, mark: str) -> bool:
        return mark == "of a dead process"


async def test_the_lease_of_a_process_that_has_ended_is_taken_over_at_once(
    store: FaultyStore, now: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    await store.put(lease_place(A).name, "of a dead process", ttl_s=45)
    pool = Pool(SharedState(store, now=now, processes=OneIsDead()), now=now)
    with caplog.at_level(logging.WARNING):
        lease = await pool.acquire([A], wait_s=0)
    assert "has ended" in caplog.text
    assert await store.get(lease_place(A).name) == lease.hold.mark
    with pytest.raises(AccountBusy):
        await make_pool(store, now).acquire([A_AGAIN], wait_s=0)
    await lease.release()
