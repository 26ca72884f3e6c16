from __future__ import annotations

import asyncio
from threading import Event

import pytest

from lib.tasks import Crowded, Locks, Threads, run_to_end


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


async def test_threads_do_one_work_after_the_other_and_refuse_what_would_wait_too_long() -> None:
    threads, gate, order = Threads("test", threads=1, max_waiting=1), Event(), list[int]()

    def work(number: int) -> int:
        gate.wait(10)
        order.append(number)
        return number

    async with asyncio.TaskGroup() as group:
        first = group.create_task(threads.run(lambda: work(1)))
        second = group.create_task(threads.run(lambda: work(2)))
        await asyncio.sleep(0)
        with pytest.raises(Crowded):
            await threads.run(lambda: work(3))
        gate.set()
    assert (first.result(), second.result(), order) == (1, 2, [1, 2])
    assert await threads.run(lambda: work(4)) == 4


async def test_work_that_waits_for_a_thread_is_dropped_with_its_caller() -> None:
    threads, gate, done = Threads("test", threads=1, max_waiting=1), Event(), list[str]()
    first = asyncio.ensure_future(threads.run(lambda: gate.wait(10)))
    second = asyncio.ensure_future(threads.run(lambda: done.append("second")))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait({second})
    gate.set()
    assert await first
    await threads.run(lambda: done.append("third"))
    assert done == ["third"]
