from __future__ import annotations

import asyncio
import threading

from lib.chat.caller import Caller
from lib.errors import AccountRefused
from lib.flows.gateway import Gateway, close_gateways, gateway_of
from tests.conftest import SimulatedAccount, Upstream
from tests.lib.flows.conftest import Flow


async def test_the_same_settings_in_one_loop_share_one_gateway(flow: Flow) -> None:
    first = flow.gateway
    assert gateway_of(flow.settings) is first
    flow.configure(heartbeat_s=1.0)
    assert flow.gateway is not first


async def test_another_loop_has_another_gateway_and_closes_its_own(flow: Flow) -> None:
    found: list[Gateway] = []

    async def elsewhere() -> None:
        found.append(gateway_of(flow.settings))
        await close_gateways()

    thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
    thread.start()
    await asyncio.to_thread(thread.join)
    assert found[0] is not flow.gateway
    assert found[0].upstream._http.is_closed
    assert not flow.gateway.upstream._http.is_closed


async def test_a_gateway_is_closed_once_and_made_anew_when_it_is_needed_again(
    flow: Flow, account: SimulatedAccount
) -> None:
    await flow.ask([account])
    await close_gateways()
    await close_gateways()


async def test_many_requests_at_a_cold_start_refresh_once(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    accounts = flow.gateway.accounts_of(_caller(account))

    async def info() -> None:
        await flow.gateway.authorized(accounts[0], flow.gateway.upstream.user_info)

    await asyncio.gather(*(info() for _ in range(10)))
    assert upstream.count("user/refresh") == 1


async def test_a_refused_refresh_is_told_to_all_who_wait(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    upstream.sim.revoke(account.uid)
    accounts = flow.gateway.accounts_of(_caller(account))
    got = await asyncio.gather(
        *(flow.gateway.tokens.get(accounts[0]) for _ in range(5)), return_exceptions=True
    )
    assert all(isinstance(error, AccountRefused) for error in got), "an error is never taken for a token"
    assert upstream.count("user/refresh") == 1


def _caller(*accounts: SimulatedAccount) -> Caller:
    return Caller(tuple(account.token for account in accounts), is_owner=False)
