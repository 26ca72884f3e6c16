"""Doing what must be done although the request that owes it is being cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def run_to_end(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end, whatever happens to the caller; a cancellation is passed on afterwards.

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
