"""Four processes, three accounts, 500 requests, kills and stops, a strict upstream: over each store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from lib.upstreams.chatglm.accounts.pool import LEASE_TTL_S
from tests.system.processes.chaos import REQUESTS, Report, simulate
from tests.system.processes.stores import STORES

A_MINUTE_S = 60.0
SLACK_S = 20.0
"""For a new process to start and to ask on each account, on a busy machine."""


@dataclass(frozen=True)
class Simulation:
    """The story of one store."""

    store: str

    @property
    def __name__(self) -> str:
        return f"simulation-{self.store}"

    async def __call__(self, folder: Path) -> Report:
        with STORES[self.store](folder) as environ:
            return await simulate(environ, folder, seed=self.store)


over_each_store = pytest.mark.parametrize(
    "told", [Simulation(store) for store in STORES], ids=list(STORES), indirect=True
)


def unless_the_store_was_too_slow(told: Report) -> None:
    """Skip what a starved machine has spoilt: a store that takes seconds counts as failed, by design."""
    is_fine = told.has_no_overlap and not told.unexplained and told.answering == told.labels
    if told.slow_store and not (is_fine and not told.violations):
        pytest.skip(f"THE SIMULATION IS NOT JUDGED: too slow a machine. {told.slow_store[0]}")


@over_each_store
def test_no_account_ever_has_two_generations_at_once(told: Report) -> None:
    unless_the_store_was_too_slow(told)
    assert told.has_no_overlap, told.overlaps


@over_each_store
def test_a_request_is_lost_only_with_its_own_process(told: Report) -> None:
    unless_the_store_was_too_slow(told)
    assert told.unexplained == []
    assert told.answered + len(told.lost) == REQUESTS
    assert 1 <= len(told.lost) <= 20
    assert told.asked_twice == {}


@over_each_store
def test_no_token_is_lost_and_none_is_used_after_its_rotation(told: Report) -> None:
    unless_the_store_was_too_slow(told)
    assert told.answering == told.labels
    assert told.rotations >= 10
    assert told.violations == []


@over_each_store
def test_after_the_end_of_all_processes_the_accounts_are_free_within_a_minute(told: Report) -> None:
    unless_the_store_was_too_slow(told)
    assert LEASE_TTL_S <= A_MINUTE_S
    assert told.free_after_s <= A_MINUTE_S + SLACK_S
    assert told.exit_status == 0


@over_each_store
def test_everything_that_was_to_be_done_to_the_processes_was_done(told: Report) -> None:
    assert told.done == {
        "killed in mid-refresh": 1,
        "killed in mid-answer": 2,
        "killed at the end": 4,
        "long pause": 1,
        "short pause": 4,
    }
    assert told.complaints == []
