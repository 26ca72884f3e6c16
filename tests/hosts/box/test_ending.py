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


async def test_the_first_signal_is_acted_on_and_each_is_passed_on(handled: list[int]) -> None:
    acted = asyncio.Queue[None]()
    with on_end(lambda: acted.put_nowait(None)):
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(acted.get(), 10)
    assert acted.empty()
    assert handled == [signal.SIGTERM] * 2


async def test_afterwards_the_handler_is_the_one_before(handled: list[int]) -> None:
    acted: list[None] = []
    with on_end(lambda: acted.append(None)):
        pass
    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(0)
    assert (acted, handled) == ([], [signal.SIGTERM])
