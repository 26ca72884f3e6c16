"""The first signal to end: heard once, beside the handler that is there."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator

import pytest

from hosts.box.ending import on_end

pytestmark = pytest.mark.anyio


@pytest.fixture
def handled() -> Iterator[list[int]]:
    """Collect the signals that reach the handler before."""
    numbers: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: numbers.append(number))
    yield numbers
    signal.signal(signal.SIGTERM, before)


async def test_the_first_signal_is_acted_on_and_passed_on_and_the_second_ends_the_answers(
    handled: list[int],
) -> None:
    acted = asyncio.Queue[str]()
    with on_end(lambda: acted.put_nowait("first"), lambda: acted.put_nowait("again")):
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
        assert [await asyncio.wait_for(acted.get(), 10) for _ in range(2)] == ["first", "again"]
    assert acted.empty()
    assert handled == [signal.SIGTERM] * 2, "the first, and the third, which wants the end at once"


async def test_a_terminal_and_a_supervisor_are_one_wish(handled: list[int]) -> None:
    acted = asyncio.Queue[str]()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell starts a program in the background
    try:
        with on_end(lambda: acted.put_nowait("first"), lambda: acted.put_nowait("again"), is_worker=True):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            assert await asyncio.wait_for(acted.get(), 10) == "first"
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert acted.empty()
    assert handled == []


async def test_a_ctrl_c_after_another_signal_is_the_second_one(handled: list[int]) -> None:
    acted = asyncio.Queue[str]()
    with on_end(lambda: acted.put_nowait("first"), lambda: acted.put_nowait("again")):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert [await asyncio.wait_for(acted.get(), 10) for _ in range(2)] == ["first", "again"]
    assert handled == [signal.SIGTERM]


async def test_afterwards_the_handler_is_the_one_before(handled: list[int]) -> None:
    acted: list[None] = []
    with on_end(lambda: acted.append(None)):
        pass
    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(0)
    assert (acted, handled) == ([], [signal.SIGTERM])
