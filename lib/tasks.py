"""Tasks: those that outlive a cancellation, those that accompany a block, and locks by name.

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
"""The tasks under way. asyncio itself holds them weakly."""


def start(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Start a task that may outlive its caller, as no TaskGroup allows."""
    task = asyncio.create_task(work)
    _running.add(task)
    task.add_done_callback(_running.discard)
    return task


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` during the block; at the end of the block cancel it, and wait until it has ended."""
    task = start(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        forget_result(task)


def forget_result(task: asyncio.Task[Any]) -> None:
    """Look at the result of a finished task for which no caller waits. asyncio would complain otherwise."""
    if not task.cancelled():
        task.exception()


async def run_to_end(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end although the caller is cancelled; raise the cancellation afterwards.

    `asyncio.shield` alone would let the caller go on while the work still runs, and a serverless host
    may freeze the process right after. The work bounds its own time.
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
    """The tasks of one owner, which can tell whether any of them is under way."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = start(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task


class Locks:
    """A lock for each name, as long as a task holds it or waits for it; serves one event loop."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())
