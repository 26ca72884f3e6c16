"""Time limits on what others do, which our own hold-ups must not count against.

A process that was stopped, frozen by its host or starved finds the time over and the answer there, both at
once. To throw the answer away would be wrong: a refresh's is the account's only new token, and a store that
seems to fail lets every process act alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LAST_LOOK_S = 0.5
"""After the time is over: to read what has come meanwhile, or to ask once more on a new connection."""


@asynccontextmanager
async def patience(seconds: float) -> AsyncIterator[None]:
    """Raise TimeoutError when the time is over and a last look has found nothing."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as bound:
        due = loop.call_later(seconds, lambda: bound.reschedule(loop.time() + LAST_LOOK_S))
        try:
            yield
        finally:
            due.cancel()
