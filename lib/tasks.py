"""Tasks that outlive a cancellation or accompany a block, locks by name, threads for one kind of work.

No other module of lib starts a task outside a TaskGroup.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")
V = TypeVar("V")

_running: set[asyncio.Task[Any]] = set()
"""The running tasks. asyncio itself holds them weakly."""


def start(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Start a task that may outlive its caller. A TaskGroup does not allow that."""
    task = asyncio.create_task(work)
    _running.add(task)
    task.add_done_callback(_running.discard)
    return task


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` during the block. At the end of the block, cancel it and wait for its end."""
    task = start(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        forget_result(task)


def forget_result(task: asyncio.Task[Any]) -> None:
    """Read the result of a finished task for which no caller waits. asyncio logs errors that are not read."""
    if not task.cancelled():
        task.exception()


async def run_to_end(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end even if the caller is cancelled. Raise the cancellation afterwards.

    With `asyncio.shield` alone, the caller would go on while the work still runs, and a serverless host could
    freeze the process before the work is done. The work must limit its own time.
    """
    task = start(work)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancellation = error
    task.result()
    if cancellation is not None:
        raise cancellation


async def each(values: Iterable[V], work: Callable[[V], Awaitable[T]], *, at_once: int) -> list[T]:
    """Do the work on each, a few at once; the first failure ends the others and is raised."""
    gate = asyncio.Semaphore(at_once)

    async def one(value: V) -> T:
        async with gate:
            return await work(value)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(value)) for value in values]
    except ExceptionGroup as failed:
        failure = failed.exceptions[0]
    else:
        return [task.result() for task in tasks]
    raise failure


class Tasks:
    """The tasks of one owner. It knows if any of them still runs."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = start(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task


class Locks:
    """A lock for each name. It lives as long as a task holds it or waits for it. One event loop uses it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())


class Crowded(Exception):
    """Too much work waits for these threads already."""


class Threads:
    """Threads of their own for one kind of work: it can fill them, and nothing else waits for it.

    asyncio's own threads are for all: they resolve the upstream's name, too.
    """

    def __init__(self, name: str, *, threads: int, max_waiting: int) -> None:
        self._name = name
        self._threads = threads
        self._max_waiting = max_waiting
        self._pending = 0
        self._counting = Lock()
        self._executor: ThreadPoolExecutor | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in one of the threads. Raise `Crowded` if too many others wait.

        The work goes on if the caller is cancelled, unless it has not begun.
        """
        with self._counting:
            if self._pending >= self._threads + self._max_waiting:
                raise Crowded
            self._pending += 1
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix=self._name)
        running = self._executor.submit(work)
        running.add_done_callback(self._landed)
        return await asyncio.wrap_future(running)

    def _landed(self, _: Future[Any]) -> None:
        with self._counting:
            self._pending -= 1


STEP_CHARS = 16_384
"""The loop turns after a piece of work on so many characters."""


async def with_pauses(work: Generator[int, None, T]) -> T:
    """Do work in steps while the loop turns. Each step tells its characters; short work has no pause."""
    done = 0
    while True:
        try:
            done += next(work)
        except StopIteration as end:
            result: T = end.value
            return result
        if done >= STEP_CHARS:
            done = 0
            await asyncio.sleep(0)
