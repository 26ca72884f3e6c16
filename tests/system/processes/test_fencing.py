"""A process that lost its account while it was held up leaves it to whoever has it now; over sqlite."""

from __future__ import annotations

import pytest

from tests.system.processes import fencing
from tests.system.processes.fencing import Told

SECONDS_S = 15.0
"""Much less than a lease or a lock lives, on a busy machine too."""


def story(told: fencing.Story) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("told", [told], ids=[told.__name__], indirect=True)


def all_are_right(told: Told) -> None:
    assert [name for name, answer in told.answers.items() if not answer.ended_well] == []
    assert set(told.overlaps.values()) == {1}, told.overlaps
    assert told.violations == []


@story(fencing.held_up_before_asking)
def test_a_process_that_lost_its_lease_before_asking_does_not_ask(told: Told) -> None:
    all_are_right(told)


@story(fencing.held_up_in_mid_answer)
def test_a_process_that_lost_its_lease_in_mid_answer_leaves_the_successors_alone(told: Told) -> None:
    all_are_right(told)


@story(fencing.killed_in_mid_answer)
def test_an_account_is_free_at_once_after_its_process_was_killed_on_the_same_machine(told: Told) -> None:
    all_are_right(told)
    assert told.seconds <= SECONDS_S


@story(fencing.stopped_in_mid_store_call)
def test_a_process_does_not_take_its_own_stop_for_a_failing_store(told: Told) -> None:
    all_are_right(told)


@story(fencing.stopped_in_mid_refresh)
def test_a_process_that_was_stopped_in_mid_refresh_keeps_what_the_upstream_answered(told: Told) -> None:
    all_are_right(told)


@story(fencing.tokens_ended_meanwhile)
def test_a_process_that_knows_only_dead_tokens_makes_a_new_one(told: Told) -> None:
    all_are_right(told)


@story(fencing.killed_after_the_rotation)
def test_a_rotation_that_a_killed_process_did_not_hear_of_is_told_as_what_it_is(told: Told) -> None:
    refused = told.answers["of the lost account"]
    assert refused.status == 503
    assert told.seconds <= SECONDS_S
    error = refused.json["error"]
    assert error["code"] == "no_account_available"
    assert "Log in at chatglm.cn again" in error["message"]
    assert "was cut off before its new token could be kept" in error["message"]


@story(fencing.killed_after_the_rotation)
def test_other_accounts_go_on_and_a_new_login_brings_the_lost_one_back(told: Told) -> None:
    assert told.answers["of both accounts"].ended_well
    assert told.answers["after a new login"].ended_well
    # The old token is tried again: nobody can know that it is dead, and a held-up process may still tell.
    assert 1 <= len(told.violations) <= 3
    assert all("rotated refresh token" in violation for violation in told.violations)
