"""Two processes' worth of pools and token chains over one sqlite file, in real time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from time import time

import pytest

from lib.errors import AccountBusy, AccountRefused, Throttled
from lib.store import Store, open_store
from lib.store.settings import SqliteSettings
from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.chatglm.accounts.pool import Pool
from lib.upstreams.chatglm.accounts.tokens import AccessTokens, Grant
from tests.unit.upstreams.chatglm.accounts.fakes import make_account, shared

pytestmark = pytest.mark.anyio

A, B = make_account("a"), make_account("b")


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[list[Store]]:
    stores = [open_store(SqliteSettings(f"{tmp_path}/store.db")) for _ in range(2)]
    yield stores
    for store in stores:
        await store.close()


async def test_two_pools_exclude_each_other_and_share_cool_downs(stores: list[Store]) -> None:
    here, there = (Pool(shared(store, time), chance=lambda: 0.0) for store in stores)
    lease = await here.acquire([A], wait_s=0)
    with pytest.raises(AccountBusy):
        await there.acquire([A], wait_s=0)
    waiting = asyncio.create_task(there.acquire([A], wait_s=5))
    await asyncio.sleep(0.01)
    await lease.release()
    await (await waiting).release()
    await there.cool_downs.throttled(A)
    with pytest.raises(Throttled):
        await here.acquire([A], wait_s=0)
    await here.cool_downs.cleared(A)


async def test_a_lease_of_a_crashed_process_is_free_after_its_time(stores: list[Store]) -> None:
    here, there = (Pool(shared(store, time), chance=lambda: 0.0) for store in stores)
    await stores[0].put(f"lease:{A.label}", "crashed", ttl_s=60)
    with pytest.raises(AccountBusy):
        await here.acquire([A], wait_s=0)
    await stores[0].put(f"lease:{A.label}", "crashed", ttl_s=0.02)
    await (await there.acquire([A], wait_s=5)).release()


async def test_who_is_cancelled_while_sqlite_works_leaves_no_lease(stores: list[Store]) -> None:
    pool = Pool(shared(stores[0], time))
    await (await pool.acquire([A], wait_s=0)).release()
    for steps in range(12):
        task = asyncio.create_task(pool.acquire([A], wait_s=0))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        try:
            lease = await task
        except asyncio.CancelledError:
            pass
        else:
            await lease.release()
        await (await pool.acquire([A], wait_s=5)).release()
    assert await stores[1].get(f"lease:{A.label}") is None


async def test_two_processes_share_a_chain_of_refresh_tokens(stores: list[Store]) -> None:
    valid = A.refresh_token
    refreshes = 0

    async def refresh(account: Account, refresh_token: str) -> Grant:
        nonlocal valid, refreshes
        if refresh_token != valid:
            raise AccountRefused("40102")
        refreshes += 1
        valid = f"rotated {refreshes}"
        await asyncio.sleep(0.005)
        return Grant(f"access {refreshes}", valid)

    processes = [AccessTokens(shared(store, time), refresh, chance=lambda: 0.0) for store in stores]
    first = await asyncio.gather(*(tokens.get(A) for tokens in processes for _ in range(3)))
    assert set(first) == {"access 1"}
    second = await asyncio.gather(*(tokens.renew(A, "access 1") for tokens in processes))
    assert set(second) == {"access 2"}
    assert refreshes == 2
