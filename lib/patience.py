"""Time limits on other servers that do not count our own delays against them.

After a freeze, the timeout and the answer can arrive in the same loop iteration. Read once more before giving
up: the answer may hold the account's only new token, and if a store seems to fail, every process acts alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LAST_LOOK_S = 0.5
"""After the time limit, this much time is left to read an answer, or to ask once more on a new connection."""


@asynccontextmanager
async def patience(seconds: float) -> AsyncIterator[None]:
    """Raise TimeoutError if no answer comes within the time and the last look."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as bound:
        due = loop.call_later(seconds, lambda: bound.reschedule(loop.time() + LAST_LOOK_S))
        try:
            yield
        finally:
            due.cancel()
