from __future__ import annotations

import asyncio

import pytest

from lib.errors import AccountRefused, GatewayError, NoAccountAvailable, UpstreamError
from lib.upstreams.chatglm.check import BLOCKED, GUEST, REFUSED, check_tokens
from lib.upstreams.condition import TokenStatus
from tests.conftest import SimulatedAccount, Upstream
from tests.unit.conftest import Flow


async def check(flow: Flow, token: str) -> TokenStatus:
    [status] = await check_tokens((token,), flow.gateway)
    return status


async def test_a_live_token_is_said_to_be_live_until_when(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    status = await check(flow, account.token)
    assert (status.live, status.guest, status.blocked) == (True, False, False)
    assert status.expires_at is not None
    assert 179 * 86400 < status.expires_at - upstream.sim.now() <= 180 * 86400


async def test_a_check_asks_the_upstream_once_in_ten_minutes_and_burns_no_token(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    first = await check(flow, account.token)
    assert await check(flow, account.token) == first
    assert upstream.count("user/info") == upstream.count("user/refresh") == 1
    assert (await flow.ask([account])).reason == "stop", "the token still serves"
    assert upstream.count("user/refresh") == 1


async def test_two_checks_at_once_ask_once(flow: Flow, account: SimulatedAccount, upstream: Upstream) -> None:
    upstream.sim.fail("user/info", delay_s=0.05)
    first, second = await asyncio.gather(check(flow, account.token), check(flow, account.token))
    assert first == second
    assert upstream.count("user/info") == upstream.count("user/refresh") == 1


async def test_a_dead_token_is_not_live_and_is_asked_about_once(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    upstream.sim.revoke(account.uid)
    for _ in range(2):
        assert await check(flow, account.token) == TokenStatus(False, None, False, False, REFUSED)
    assert upstream.count("user/refresh") == 1


async def test_a_guest_is_told_and_is_not_live(flow: Flow, upstream: Upstream) -> None:
    guest = upstream.add_account(guest=True)
    assert await check(flow, guest.token) == TokenStatus(False, None, True, False, GUEST)


async def test_a_guest_that_only_its_page_tells_is_told_too(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    upstream.sim.fail("user/info", status=200, body={"status": 0, "result": {"is_guest": True}})
    status = await check(flow, account.token)
    assert (status.live, status.guest, status.reason) == (False, True, GUEST)


async def test_a_blocked_account_is_told_and_left_alone_until_it_is_in_order(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    upstream.sim.block(account.uid)
    status = await check(flow, account.token)
    assert (status.live, status.blocked, status.reason) == (False, True, BLOCKED)
    with pytest.raises(AccountRefused) as caught:
        await flow.ask([account])
    assert caught.value.code == "account_blocked"
    assert upstream.count("assistant/stream") == 0
    upstream.sim.block(account.uid, blocked=False)
    again = upstream.sim.log_in(account.uid)
    assert (await check(flow, again)).live
    assert (await flow.ask([SimulatedAccount(again, account.uid, account.label)])).reason == "stop"


async def test_an_access_token_is_not_live_and_nobody_is_asked(flow: Flow, upstream: Upstream) -> None:
    account = upstream.add_account()
    access, _ = upstream.sim.book.rotate(upstream.sim.account(account.uid))
    status = await check(flow, access)
    assert not status.live
    assert "got an access token" in str(status.reason)
    assert upstream.sim.calls == []


@pytest.mark.parametrize("token", ["令牌", "junk", "a.b.c"])
async def test_junk_is_not_live(flow: Flow, upstream: Upstream, token: str) -> None:
    status = await check(flow, token)
    assert (status.live, status.guest, status.blocked) == (False, False, False)
    assert "not a refresh token" in str(status.reason)
    assert upstream.count("user/refresh") == 0, "a key in the wrong place is not passed on"


@pytest.mark.parametrize("path", ["user/refresh", "user/info"])
@pytest.mark.parametrize(("status", "body"), [(500, b"{}"), (403, b"<html>"), (429, b"")])
async def test_where_the_upstream_does_not_tell_nothing_is_claimed(
    *, flow: Flow, account: SimulatedAccount, upstream: Upstream, path: str, status: int, body: bytes
) -> None:
    upstream.sim.fail(path, status=status, body=body)
    with pytest.raises(GatewayError) as caught:
        await check(flow, account.token)
    assert caught.value.status in (429, 502)
    assert (await check(flow, account.token)).live, "a failure is not remembered"


async def test_an_upstream_that_is_down_is_an_error(flow: Flow, account: SimulatedAccount) -> None:
    flow.configure(base_url="http://127.0.0.1:9")
    with pytest.raises(UpstreamError):
        await check(flow, account.token)


async def test_several_are_checked_in_their_order(
    flow: Flow, accounts: list[SimulatedAccount], upstream: Upstream
) -> None:
    upstream.sim.revoke(accounts[1].uid)
    checks = await check_tokens(tuple(account.token for account in accounts), flow.gateway)
    assert [check.live for check in checks] == [True, False, True]


async def test_no_token_is_the_owners_gap(flow: Flow) -> None:
    with pytest.raises(NoAccountAvailable):
        await check_tokens((), flow.gateway)
