from __future__ import annotations

import asyncio

import pytest

from lib.tasks import Locks, run_to_end


async def test_work_is_run_to_its_end_and_the_cancellation_passed_on() -> None:
    door, done = asyncio.Event(), []

    async def work() -> None:
        await door.wait()
        done.append(True)

    task = asyncio.ensure_future(run_to_end(work()))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    door.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done


async def test_what_the_work_raises_is_raised() -> None:
    async def work() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await run_to_end(work())


async def test_locks_of_one_name_exclude_each_other_and_those_of_others_do_not() -> None:
    locks = Locks()
    async with locks.of("a"):
        assert locks.of("a").locked()
        async with locks.of("b"):
            pass
    assert not locks.of("a").locked()


async def test_a_lock_without_a_holder_is_forgotten() -> None:
    locks = Locks()
    async with locks.of("a"):
        assert len(locks._locks) == 1
    assert len(locks._locks) == 0
