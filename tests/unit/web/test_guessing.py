"""Wrong credentials: how long each waits, and that nobody else does."""

from __future__ import annotations

import asyncio

import pytest

from lib.errors import GatewayError, Throttled
from lib.web.guessing import LIMITS, PREFIX_CHARS, PREFIXES, Guesses, GuessLimits, WrongCredential


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def prefix_of(credential: str) -> int:
    return WrongCredential("…", credential).prefix


def unlike(credential: str) -> str:
    """Find one that begins otherwise, and is not counted in the same place by chance."""
    others = (f"{number:04}" for number in range(9999))
    return next(other for other in others if prefix_of(other) != prefix_of(credential))


def test_the_first_mistakes_wait_for_nothing_and_the_next_ones_ever_longer(clock: Clock) -> None:
    guesses = Guesses(now=clock)
    delays = [guesses.note(7) for _ in range(12)]
    free = LIMITS.free_failures
    assert delays[:free] == [0.0] * free
    assert delays[free:] == [0.1, 0.2, 0.4, 0.8, 1.6, *[LIMITS.max_delay_s] * 4]


def test_what_begins_alike_is_counted_together_and_nothing_else(clock: Clock) -> None:
    guesses = Guesses(now=clock)
    begin = "sk-1"
    assert len(begin) == PREFIX_CHARS
    for number in range(LIMITS.free_failures):
        assert guesses.note(prefix_of(f"{begin}{number}")) == 0.0
    assert guesses.note(prefix_of(unlike(begin))) == 0.0
    assert guesses.note(prefix_of(begin)) > 0.0


def test_it_is_forgotten_after_a_while(clock: Clock) -> None:
    guesses = Guesses(now=clock)
    for _ in range(1000):
        guesses.note(7)
    clock.now += LIMITS.half_life_s
    assert guesses.note(7) == LIMITS.max_delay_s
    clock.now += 4 * LIMITS.half_life_s
    assert guesses.note(7) == 0.0
    for _ in range(9):
        guesses.note(7)
    guesses.failures.clear()
    assert guesses.note(7) == 0.0


def test_of_a_credential_nothing_is_kept_but_a_number_of_few() -> None:
    error = WrongCredential("No.", "sk-secret")
    assert vars(error).keys() >= {"prefix"}
    assert not any("sk" in str(value) for value in vars(error).values())
    assert "sk" not in repr(error)
    assert {prefix_of(f"{number:04}") for number in range(9999)} <= set(range(PREFIXES))


def test_any_text_may_be_a_wrong_credential() -> None:
    assert prefix_of("\udcff\udfff") != prefix_of(unlike("\udcff\udfff"))
    assert isinstance(prefix_of(""), int)


@pytest.fixture
def waiting() -> Guesses:
    """Give guesses whose next failures of the prefix 7 wait for ever."""
    guesses = Guesses(GuessLimits(first_delay_s=3600.0, max_delay_s=3600.0, max_waiting=2))
    for _ in range(LIMITS.free_failures):
        guesses.note(wrong().prefix)
    return guesses


def wrong() -> WrongCredential:
    return WrongCredential("No.", "x")


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_more_than_a_few_answers_are_not_held_back(waiting: Guesses) -> None:
    held = [asyncio.ensure_future(waiting.slow_down(wrong())) for _ in range(2)]
    await turns()
    assert not any(task.done() for task in held)
    async with asyncio.timeout(10):
        refusal: GatewayError = await waiting.slow_down(wrong())
    assert isinstance(refusal, Throttled)
    assert (refusal.status, refusal.code, refusal.retry_after_s) == (429, "too_many_attempts", 3600.0)
    for task in held:  # their clients leave
        task.cancel()
    await asyncio.wait(held)
    again = asyncio.ensure_future(waiting.slow_down(wrong()))
    await turns()
    assert not again.done(), "there is room once more"
    again.cancel()
    await asyncio.wait({again})


async def test_the_refusal_comes_after_its_delay() -> None:
    guesses, clock = Guesses(GuessLimits(first_delay_s=0.02, max_waiting=1)), asyncio.get_running_loop().time
    for _ in range(LIMITS.free_failures):
        error = wrong()
        assert await guesses.slow_down(error) is error
    for _ in range(2):  # the place of the one that waited is free for the next
        began_at = clock()
        error = wrong()
        assert await guesses.slow_down(error) is error
        assert clock() - began_at >= 0.019


def test_a_copy_of_a_wrong_credential_counts_as_the_same() -> None:
    assert wrong().at("key").prefix == wrong().prefix
