"""A watchdog bites at its last deadline, once, and needs no new timer for a later one."""

from __future__ import annotations

import asyncio

from lib.transport.watchdog import Watchdog


class Bites:
    def __init__(self) -> None:
        self.count = 0
        self.bitten = asyncio.Event()

    def __call__(self) -> None:
        self.count += 1
        self.bitten.set()


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_it_bites_at_the_deadline() -> None:
    bites = Bites()
    due_at = now() + 0.01
    Watchdog(bites).watch(due_at)
    await asyncio.wait_for(bites.bitten.wait(), 5)
    assert now() >= due_at
    assert bites.count == 1


async def test_a_later_deadline_keeps_the_timer_and_an_earlier_one_replaces_it() -> None:
    bites = Bites()
    watchdog = Watchdog(bites)
    watchdog.watch(now() + 60)
    timer = watchdog._timer
    watchdog.watch(now() + 90)
    assert watchdog._timer is timer
    due_at = now() + 0.01
    watchdog.watch(due_at)
    assert watchdog._timer is not timer
    await asyncio.wait_for(bites.bitten.wait(), 5)
    assert now() >= due_at


async def test_a_moved_deadline_counts_and_not_the_first_one() -> None:
    bites = Bites()
    watchdog = Watchdog(bites)
    watchdog.watch(now() + 0.005)
    due_at = now() + 0.03
    watchdog.watch(due_at)
    await asyncio.wait_for(bites.bitten.wait(), 5)
    assert now() >= due_at
    assert bites.count == 1


async def test_a_watchdog_at_rest_does_not_bite_and_watches_again() -> None:
    bites, others = Bites(), Bites()
    resting, stopped = Watchdog(bites), Watchdog(bites)
    resting.watch(now() + 0.005)
    resting.rest()
    stopped.watch(now() + 0.005)
    stopped.stop()
    Watchdog(others).watch(now() + 0.02)
    await asyncio.wait_for(others.bitten.wait(), 5)
    assert bites.count == 0
    resting.watch(now() + 0.005)
    await asyncio.wait_for(bites.bitten.wait(), 5)
    assert bites.count == 1
