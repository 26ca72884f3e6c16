"""The trips to the store that the list of added accounts costs, before the first content."""

from __future__ import annotations

import pytest

from lib.store.settings import SqliteSettings
from lib.upstreams.chatglm.accounts.account import parse_account
from tests.conftest import SimulatedAccount, Upstream
from tests.unit.conftest import Flow
from tests.unit.store.test_round_trips import Process, Stand, stand

__all__ = ["stand"]
pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _lasting(flow: Flow) -> None:
    flow.configure(api_keys=("sk",), store=SqliteSettings("unused"))


async def in_order(process: Process, *accounts: SimulatedAccount) -> list[str]:
    """Return the trips of one answer until its end."""
    before = len(process.store.trips)
    await process.ask(*accounts)
    await process.gateway.roster.settle()
    return process.store.trips[before:]


async def test_a_new_process_with_accounts_asks_for_them_first_and_a_warm_one_reads_no_list(
    stand: Stand, account: SimulatedAccount
) -> None:
    await in_order(stand.process(), account)
    process = stand.process()
    trips = await in_order(process, account)
    assert trips[0].startswith("alter lease:"), trips
    assert trips.count("get accounts") == 1
    assert "get accounts" not in await in_order(process, account)


async def test_a_new_process_without_accounts_reads_the_list_and_then_the_account(
    stand: Stand, upstream: Upstream
) -> None:
    first = stand.process()
    await first.gateway.roster.add(parse_account(upstream.add_account().token))
    await first.ask()
    process = stand.process()
    spent = await process.ask()
    assert (spent.trips, process.store.trips[0]) == (2, "get accounts")
    assert process.store.trips[1].startswith("alter lease:")
