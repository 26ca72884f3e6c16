"""An account's calls: tokens, the lease before a generation, and what refusals leave behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import time
from typing import Any, cast

import pytest

from lib.errors import (
    AccessTokenRefused,
    AccountBusy,
    AccountRefused,
    GatewayError,
    Throttled,
    UpstreamRejected,
    UpstreamUnreachable,
)
from lib.store.memory import MemoryStore
from lib.store.shared import SharedState
from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.chatglm.accounts.client import MAX_RENEWALS, AccountClient, LeasedAccount, Renewals
from lib.upstreams.chatglm.accounts.lease import lease_place
from lib.upstreams.chatglm.accounts.pool import Pool
from lib.upstreams.chatglm.accounts.tokens import AccessTokens, Grant
from lib.upstreams.chatglm.wire.client import ChatGLM, Session
from tests.unit.upstreams.chatglm.accounts.fakes import make_account, make_jwt

pytestmark = pytest.mark.anyio

A = make_account("a")


class World:
    """One process: its store, its pool, its tokens, and an upstream that gives out numbered tokens."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        state = SharedState(self.store, now=time)
        self.pool = Pool(state)
        self.tokens = AccessTokens(state, self._refresh)
        self.refreshes = 0
        self.info: dict[str, Any] | GatewayError = {"is_guest": False}
        self.upstream = cast(ChatGLM, self)

    async def _refresh(self, account: Account, refresh_token: str) -> Grant:
        self.refreshes += 1
        return Grant(make_jwt(n=self.refreshes, exp=time() + 86400), refresh_token)

    async def _call(self, *_: object) -> dict[str, Any]:
        """Answer the one call that an account makes of its own accord: for the user's info."""
        if isinstance(self.info, GatewayError):
            raise self.info
        return self.info

    @property
    def client(self) -> AccountClient:
        return AccountClient(A, self.tokens, self.upstream)

    async def leased(self) -> LeasedAccount:
        return LeasedAccount(
            await self.pool.acquire([A], wait_s=0),
            self.tokens,
            self.upstream,
            cool_downs=self.pool.cool_downs,
            renewals=Renewals(A, self.tokens),
        )

    async def cooling(self) -> str | None:
        cooling = await self.pool.cool_downs.cooling(A)
        return None if cooling is None else cooling.reason


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def leased(world: World) -> AsyncIterator[LeasedAccount]:
    leased = await world.leased()
    yield leased
    await leased.lease.release()


class Upstream:
    """An operation that refuses the first so many access tokens."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.sessions: list[Session] = []

    async def __call__(self, upstream: ChatGLM, session: Session, word: str, *, twice: bool = False) -> str:
        self.sessions.append(session)
        if len(self.sessions) <= self.refusals:
            raise AccessTokenRefused("40102", number=40102)
        return word * (1 + twice)


async def test_a_call_has_a_live_token_the_device_and_its_own_arguments(world: World) -> None:
    operation = Upstream(refusals=0)
    assert await world.client.call(operation, "a", twice=True) == "aa"
    [session] = operation.sessions
    assert (session.access_token, session.device_id) == (await world.tokens.get(A), A.device_id)


async def test_a_refused_token_is_renewed_and_the_call_repeated(world: World) -> None:
    operation = Upstream(refusals=1)
    await world.tokens.get(A)
    assert await world.client.call(operation, "a") == "a"
    first, second = operation.sessions
    assert first.access_token != second.access_token
    assert world.refreshes == 2


async def test_a_fresh_token_that_is_refused_refuses_the_account(world: World) -> None:
    operation = Upstream(refusals=9)
    with pytest.raises(AccountRefused, match="fresh access token") as caught:
        await world.client.call(operation, "a")
    assert caught.value.number == 40102
    assert len(operation.sessions) == 2


async def test_renewals_end_even_if_no_token_is_known_to_be_fresh(world: World) -> None:
    class OldTokens(AccessTokens):
        def is_from(self, account: Account, token: str, since: float) -> bool:
            return False

    async def refresh(account: Account, refresh_token: str) -> Grant:
        return await world._refresh(account, refresh_token)

    client = AccountClient(A, OldTokens(SharedState(MemoryStore(), now=time), refresh), world.upstream)
    operation = Upstream(refusals=99)
    with pytest.raises(AccountRefused):
        await client.call(operation, "a")
    assert len(operation.sessions) == MAX_RENEWALS + 1


async def test_a_generation_is_begun_only_while_the_lease_is_ours(
    world: World, leased: LeasedAccount
) -> None:
    operation = Upstream(refusals=0)
    assert await leased.begin(operation, "a") == "a"
    mark = await world.store.get(lease_place(A).name)
    assert mark is not None
    await world.store.put(lease_place(A).name, "another process", ttl_s=60)
    leased.lease.hold._proven_at = float("-inf")  # As after a pause that was longer than the lease's life.
    with pytest.raises(AccountBusy, match="held up"):
        await leased.begin(operation, "a")
    assert len(operation.sessions) == 1
    assert await leased.call(operation, "a") == "a", "the lease is of no matter to other calls"
    await world.store.put(lease_place(A).name, mark, ttl_s=60)


async def test_it_tells_how_long_a_generation_waited_for_its_token(
    world: World, leased: LeasedAccount
) -> None:
    clock = asyncio.get_running_loop().time
    assert leased.token_s == 0.0
    began_at = clock()
    told: list[float] = []

    async def operation(_upstream: ChatGLM, _session: Session) -> None:
        told.append(leased.token_s)
        await asyncio.sleep(0)

    await leased.begin(operation)
    assert 0.0 < leased.token_s < clock() - began_at
    assert told == [leased.token_s], "the call itself does not count"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (AccountBusy("busy"), "busy"),
        (Throttled("slow down"), "throttled"),
        (AccountRefused("no"), "refused"),
        (UpstreamUnreachable("gone"), None),
        (UpstreamRejected("no", retry="again"), None),
        (UpstreamRejected("no", retry="elsewhere"), None),
    ],
)
@pytest.mark.parametrize("method", ["note", "recover"])
async def test_a_refusal_is_noted_and_returned(
    world: World, leased: LeasedAccount, error: GatewayError, reason: str | None, method: str
) -> None:
    assert await getattr(leased, method)(error) is error
    assert await world.cooling() == reason


@pytest.mark.parametrize("info", [{"block_info": {"blocked": True}}, UpstreamUnreachable("gone"), {"id": 1}])
async def test_a_refusal_without_a_reason_is_asked_for_a_block(
    world: World, leased: LeasedAccount, info: dict[str, Any] | GatewayError
) -> None:
    world.info = info
    refusal = UpstreamRejected("no", retry="elsewhere", number=10025)
    error = await leased.note(refusal)
    if isinstance(info, dict) and "block_info" in info:
        assert (type(error), error.code, error.number) == (AccountRefused, "account_blocked", 10025)
        assert await world.cooling() == "blocked"
    else:
        assert error is refusal
        assert await world.cooling() is None


async def test_a_success_forgets_the_throttles_before_it(world: World, leased: LeasedAccount) -> None:
    await leased.note(Throttled("slow down"))
    await leased.note_success()
    assert await world.cooling() is None


async def test_a_token_refused_in_a_stream_is_renewed_so_that_the_account_can_be_asked_again(
    world: World, leased: LeasedAccount
) -> None:
    operation = Upstream(refusals=0)
    await leased.begin(operation, "a")
    error = await leased.recover(AccessTokenRefused("40102"))
    assert (type(error), error.retry) == (AccessTokenRefused, "again")
    await leased.begin(operation, "a")
    assert operation.sessions[0].access_token != operation.sessions[1].access_token
    assert type(await leased.recover(AccessTokenRefused("40102"))) is AccountRefused
    assert await world.cooling() == "refused"


async def test_after_content_a_refused_token_is_not_renewed(world: World, leased: LeasedAccount) -> None:
    await leased.begin(Upstream(refusals=0), "a")
    error = AccessTokenRefused("40102")
    assert await leased.note(error) is error
    assert world.refreshes == 1
