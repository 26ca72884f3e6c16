"""A deadline that moves with each read, on one timer: most reads then cost no timer of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Watchdog:
    """Calls `bite` at the deadline, unless `rest` was called or the deadline was moved."""

    def __init__(self, bite: Callable[[], None]) -> None:
        self._bite = bite
        self._loop = asyncio.get_running_loop()
        self._due_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, due_at: float) -> None:
        self._due_at = due_at
        if self._timer is None:
            self._timer = self._loop.call_at(due_at, self._look)
        elif self._timer.when() > due_at:
            self._timer.cancel()
            self._timer = self._loop.call_at(due_at, self._look)

    def rest(self) -> None:
        """Forget the deadline. The timer stays for the next one."""
        self._due_at = None

    def stop(self) -> None:
        self._due_at = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._due_at is None:
            return
        if self._loop.time() < self._due_at:
            self._timer = self._loop.call_at(self._due_at, self._look)
        else:
            self._bite()
