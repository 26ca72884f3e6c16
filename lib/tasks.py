"""Small tools for tasks: work that outlives a cancellation, and locks by name."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any
from weakref import WeakValueDictionary


async def run_to_end(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end although the caller is cancelled; raise the cancellation afterwards.

    `asyncio.shield` alone would let the caller go on while the work still runs, and a serverless host
    may freeze the process right after. The work bounds its own time.
    """
    task = asyncio.ensure_future(work)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancellation = error
    task.result()
    if cancellation is not None:
        raise cancellation


class Locks:
    """A lock for each name, as long as a task holds it or waits for it; serves one event loop."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())
