"""Which account a request asks next, and what it is told in the end; over a loop whose time jumps."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from lib.chat.caller import Caller
from lib.errors import (
    AccountBusy,
    AccountRefused,
    GatewayError,
    NoAccountAvailable,
    Throttled,
    UpstreamProtocolError,
    UpstreamRejected,
    UpstreamUnreachable,
)
from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.chatglm.accounts.pool import Pool
from lib.upstreams.chatglm.accounts.rotation import RETRY_PAUSE_S, Rotation
from lib.upstreams.chatglm.accounts.tokens import AccessTokens, Grant
from lib.upstreams.chatglm.wire.client import ChatGLM
from tests.unit.upstreams.chatglm.accounts.fakes import (
    FaultyStore,
    JumpingLoop,
    loop_time,
    make_account,
    shared,
)

pytestmark = pytest.mark.anyio

A, B = make_account("a"), make_account("b")
STRANGER, OWNER = Caller(("t",), is_owner=False), Caller(("t",), is_owner=True)
AGAIN, ELSEWHERE, NEVER = UpstreamProtocolError("?"), Throttled("slow down"), UpstreamRejected("no")

UNREACHED = UpstreamUnreachable("It broke.")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": JumpingLoop}


@pytest.fixture
def pool() -> Pool:
    return Pool(shared(FaultyStore(), loop_time), now=loop_time, chance=lambda: 1.0)


def make_rotation(
    pool: Pool,
    *accounts: Account,
    caller: Caller = STRANGER,
    wait_s: float = 30.0,
    tries: int = 2,
    news: Any = None,
) -> Rotation:
    async def refresh(account: Account, refresh_token: str) -> Grant:
        raise NotImplementedError

    return Rotation(
        accounts,
        caller,
        pool,
        AccessTokens(shared(FaultyStore(), loop_time), refresh),
        cast(ChatGLM, None),
        until=asyncio.get_running_loop().time() + wait_s,
        tries=tries,
        news=news,
    )


class SlowNews:
    """The list of the owner's accounts is being read, and does not arrive."""

    is_coming = False

    def begin(self) -> None:
        raise NotImplementedError

    async def arrived(self) -> tuple[Account, ...]:
        await asyncio.sleep(3600)
        raise NotImplementedError


async def walk(rotation: Rotation, refusal: GatewayError) -> tuple[str, GatewayError]:
    """Refuse everything; return the accounts in the order in which they were asked, and the end."""
    names = {A.label: "A", B.label: "B"}
    asked = ""
    while True:
        try:
            leased = await rotation.lease()
            asked += names[leased.account.label]
            await leased.lease.release()
            await rotation.go_on(leased.account, refusal)
        except GatewayError as error:
            return asked, error


@pytest.mark.parametrize(
    ("accounts", "refusal", "tries", "asked"),
    [
        ((A,), NEVER, 2, "A"),
        ((A, B), NEVER, 2, "A"),
        ((A,), ELSEWHERE, 2, "A"),
        ((A, B), ELSEWHERE, 2, "AB"),
        ((A,), AGAIN, 2, "AA"),
        ((A, B), AGAIN, 2, "ABAB"),
        ((A, B), AGAIN, 1, "AB"),
        ((A, B), UNREACHED, 2, "AB"),
        ((A,), UNREACHED, 2, "AA"),
    ],
)
async def test_a_refusal_says_which_account_is_asked_next(
    pool: Pool, accounts: tuple[Account, ...], refusal: GatewayError, tries: int, asked: str
) -> None:
    assert await walk(make_rotation(pool, *accounts, tries=tries), refusal) == (asked, refusal)


async def test_before_the_only_account_is_asked_again_there_is_a_pause(pool: Pool) -> None:
    clock = asyncio.get_running_loop().time
    for accounts, tries, pauses in [((A,), 2, 1), ((A, B), 2, 1), ((A, B), 1, 0), ((A,), 1, 0)]:
        began_at = clock()
        await walk(make_rotation(pool, *accounts, tries=tries), AGAIN)
        assert pauses * RETRY_PAUSE_S[0] <= clock() - began_at <= pauses * RETRY_PAUSE_S[1]


async def test_the_owners_refused_accounts_are_not_the_callers_fault(pool: Pool) -> None:
    refused = AccountRefused("expired", number=7)
    assert await walk(make_rotation(pool, A), refused) == ("A", refused)
    asked, error = await walk(make_rotation(pool, A, caller=OWNER), refused)
    assert (asked, type(error), error.number) == ("A", NoAccountAvailable, 7)
    await pool.cool_downs.refused(A, "guest_account")
    asked, error = await walk(make_rotation(pool, A, caller=OWNER), refused)
    assert (asked, type(error)) == ("", NoAccountAvailable)
    assert "just refused" in error.message


async def test_all_its_waits_together_end_at_one_time(pool: Pool) -> None:
    clock = asyncio.get_running_loop().time
    rotation = make_rotation(pool, A, B, wait_s=10.0)
    holder = await pool.acquire([B], wait_s=0)
    leased = await rotation.lease()
    await asyncio.sleep(8)
    await leased.lease.release()
    await rotation.go_on(A, ELSEWHERE)
    began_at = clock()
    with pytest.raises(Throttled) as caught:
        await rotation.lease()
    assert caught.value is ELSEWHERE, "the refusal says more than that the other account is busy"
    assert clock() - began_at == pytest.approx(2.0)
    await holder.release()


async def test_without_a_refusal_the_reason_is_the_pools(pool: Pool) -> None:
    holder = await pool.acquire([A], wait_s=0)
    with pytest.raises(AccountBusy, match=r"Every account is busy.*one answer at a time.*ACCOUNT_WAIT_S"):
        await make_rotation(pool, A, wait_s=0.0).lease()
    await holder.release()


async def test_a_caller_that_leaves_while_the_list_is_read_gives_the_account_back(pool: Pool) -> None:
    leaving = asyncio.create_task(make_rotation(pool, A, news=SlowNews()).lease())
    await asyncio.sleep(1)
    with pytest.raises(AccountBusy):
        await pool.acquire([A], wait_s=0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    lease = await pool.acquire([A], wait_s=0)
    await lease.release()
