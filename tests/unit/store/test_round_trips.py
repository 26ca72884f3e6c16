"""The trips to the store and the calls of the upstream before the first content, over each store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import time
from typing import NamedTuple

import pytest

from lib.chat.caller import Caller
from lib.store import Change, Outcome, Store
from lib.transport.pool import Transport
from lib.upstreams.chatglm.accounts.account import parse_account
from lib.upstreams.chatglm.accounts.chain import CHAIN_TTL_S, CHAINS, Chain, chain_place
from lib.upstreams.chatglm.gateway import Gateway
from lib.upstreams.chatglm.reply import open_reply
from tests.conftest import SimulatedAccount, Upstream
from tests.support.waiting import eventually
from tests.unit.conftest import Flow, make_request
from tests.unit.store.backends import BACKENDS, Backend

pytestmark = pytest.mark.anyio


class Counted:
    """A store whose trips are counted."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.trips: list[str] = []
        self.holds_back = asyncio.Event()
        self.holds_back.set()
        self.leases = asyncio.Event()
        self.leases.set()

    async def get(self, key: str) -> str | None:
        self.trips.append(f"get {key}")
        return await self._store.get(key)

    async def put(self, key: str, value: str, *, ttl_s: float, instead_of: str | None = None) -> bool:
        self.trips.append(f"put {key}")
        return await self._store.put(key, value, ttl_s=ttl_s, instead_of=instead_of)

    async def add(self, key: str, value: str, *, ttl_s: float) -> bool:
        self.trips.append(f"add {key}")
        return await self._store.add(key, value, ttl_s=ttl_s)

    async def remove(self, key: str, value: str) -> bool:
        self.trips.append(f"remove {key}")
        return await self._store.remove(key, value)

    async def alter(self, record: str, change: Change, /) -> Outcome:
        self.trips.append(f"alter {' '.join((*change.puts, *change.drops)) or 'nothing'}")
        if any(name.startswith("lease:") for name in change.drops):
            await self.holds_back.wait()
        if any(name.startswith("lease:") for name in change.puts):
            await self.leases.wait()
        return await self._store.alter(record, change)

    async def close(self) -> None:
        await self._store.close()


class Spent(NamedTuple):
    trips: int
    calls: int


class Process:
    """A gateway over the store, as a new process has it."""

    def __init__(self, gateway: Gateway, store: Counted, flow: Flow) -> None:
        self.gateway = gateway
        self.store = store
        self._flow = flow

    async def ask(
        self, *accounts: SimulatedAccount, model: str = "glm-5.3-flash", is_owner: bool = True
    ) -> Spent:
        """Return what was spent before the first content, and read the answer to its end."""
        sim = self._flow.upstream.sim
        trips, calls = len(self.store.trips), len(sim.calls)
        caller = Caller(tuple(account.token for account in accounts), is_owner=is_owner)
        call = self._flow.calling(caller)
        async with open_reply(self.gateway, make_request(model=model), call) as reply:
            spent = Spent(len(self.store.trips) - trips, len(sim.calls) - calls)
            async for _ in reply:
                pass
        return spent


class Stand:
    """One store, and processes over it."""

    def __init__(self, backend: Backend, flow: Flow) -> None:
        self._backend = backend
        self._flow = flow
        self._open: list[Gateway] = []

    def process(self) -> Process:
        store = Counted(self._backend.open())
        gateway = Gateway(self._flow.settings, store=store)
        self._open.append(gateway)
        return Process(gateway, store, self._flow)

    async def close(self) -> None:
        for gateway in self._open:
            await gateway.aclose()


@pytest.fixture(params=BACKENDS)
async def stand(request: pytest.FixtureRequest, flow: Flow) -> AsyncIterator[Stand]:
    stand = Stand(BACKENDS[request.param](request), flow)
    yield stand
    await stand.close()


async def make_old(process: Process, account: SimulatedAccount, *, left_s: float) -> None:
    """Leave its access token so much life."""
    place = chain_place(parse_account(account.token))
    chain = CHAINS.decode(process.gateway.memory.copy(place))
    assert chain is not None
    old = Chain(chain.refresh_token, chain.access_token, time() + left_s, made_at=time() - 86400)
    await process.gateway.memory.keep(place, CHAINS.encode(old), ttl_s=CHAIN_TTL_S)


async def test_the_first_request_ever(stand: Stand, account: SimulatedAccount) -> None:
    assert await stand.process().ask(account) == Spent(3, 2)


async def test_a_warm_process(stand: Stand, account: SimulatedAccount) -> None:
    process = stand.process()
    await process.ask(account)
    for _ in range(2):
        assert await process.ask(account) == Spent(1, 1)


@pytest.mark.parametrize("model", ["glm-5.3-flash", "glm-4", "gpt-4o"])
async def test_a_new_process(stand: Stand, account: SimulatedAccount, model: str) -> None:
    await stand.process().ask(account, model=model)
    assert await stand.process().ask(account, model=model) == Spent(1, 1)


async def test_a_refresh_that_is_needed(stand: Stand, account: SimulatedAccount) -> None:
    process = stand.process()
    await process.ask(account)
    await make_old(process, account, left_s=60)
    assert await process.ask(account) == Spent(3, 2)
    await make_old(process, account, left_s=60)
    assert await stand.process().ask(account) == Spent(3, 2)


async def test_an_access_token_that_is_refused(
    stand: Stand, account: SimulatedAccount, upstream: Upstream
) -> None:
    process = stand.process()
    await process.ask(account)
    upstream.sim.expire_access_tokens(account.uid)
    assert await process.ask(account) == Spent(3, 3)


async def test_another_account_after_a_refusal(
    stand: Stand, accounts: list[SimulatedAccount], upstream: Upstream
) -> None:
    first = stand.process()
    for account in accounts:
        await first.ask(account)
    upstream.sim.play("throttled_429", times=1)
    spent = await stand.process().ask(*accounts)
    assert 2 <= spent.trips <= 3
    assert spent.calls == 2
    assert await stand.process().ask(*accounts[1:]) == Spent(1, 1)


async def test_the_next_account_is_asked_while_the_last_one_is_cleaned_up(
    stand: Stand, accounts: list[SimulatedAccount], upstream: Upstream
) -> None:
    process = stand.process()
    for account in accounts:
        await process.ask(account)
    process.store.holds_back.clear()
    upstream.sim.play("throttled_429", times=1)
    asking = asyncio.create_task(process.ask(*accounts))
    await eventually(lambda: len(upstream.chats()) == 5, what="the next account is asked")
    assert process.gateway.memory.problem is None  # The trip that is held back has not ended by a time limit.
    process.store.holds_back.set()
    await asking


async def test_the_connection_to_the_upstream_is_opened_while_the_store_is_asked(
    stand: Stand, account: SimulatedAccount, upstream: Upstream
) -> None:
    await stand.process().ask(account)
    process, calls = stand.process(), len(upstream.sim.calls)
    http = process.gateway.upstream._http._transport
    assert isinstance(http, Transport)
    process.store.leases.clear()
    asking = asyncio.create_task(process.ask(account))
    await eventually(lambda: len(http.idle) == 1, what="a connection waits")
    assert len(upstream.sim.calls) == calls
    process.store.leases.set()
    assert await asking == Spent(1, 1)


async def test_accounts_that_rest_cost_a_warm_process_nothing(
    stand: Stand, accounts: list[SimulatedAccount], upstream: Upstream
) -> None:
    process = stand.process()
    for account in accounts:
        await process.ask(account)
    for account in accounts[:2]:
        await process.gateway.pool.cool_downs.throttled(parse_account(account.token))
    for _ in range(3):
        assert await process.ask(*accounts) == Spent(1, 1)


async def test_the_lease_is_given_back_while_the_conversation_is_deleted(
    stand: Stand, account: SimulatedAccount, upstream: Upstream
) -> None:
    process = stand.process()
    await process.ask(account)
    trips = len(process.store.trips)
    process.store.holds_back.clear()
    asking = asyncio.create_task(process.ask(account))
    await eventually(lambda: upstream.count("bulk_delete") == 2, what="the deletion is asked for")
    assert not asking.done()
    process.store.holds_back.set()
    await asking
    assert len(process.store.trips) - trips == 2


async def test_a_token_with_little_life_left_is_replaced_after_the_last_word(
    stand: Stand, account: SimulatedAccount, upstream: Upstream
) -> None:
    process = stand.process()
    await process.ask(account)
    await make_old(process, account, left_s=900)
    assert await process.ask(account) == Spent(1, 1)
    assert upstream.count("user/refresh") == 2
    assert await process.ask(account) == Spent(1, 1)


async def test_a_new_token_of_a_stranger_costs_a_handful(stand: Stand, account: SimulatedAccount) -> None:
    process = stand.process()
    spent = await process.ask(account, is_owner=False)
    assert (spent.trips <= 5, spent.calls) == (True, 2), process.store.trips
    assert await process.ask(account, is_owner=False) == Spent(1, 1)
    assert await stand.process().ask(account, is_owner=False) == Spent(2, 1)
