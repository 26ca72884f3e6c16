"""Tasks that outlive a cancellation, tasks that accompany a block, and locks by name.

No other module of lib starts a task outside a TaskGroup.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")

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
