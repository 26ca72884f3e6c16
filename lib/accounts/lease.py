"""The right to one generation on one account."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from typing import Any

from lib.accounts.account import Account
from lib.accounts.shared import SharedState

MAX_LEFT_BEHIND = 1_000

log = logging.getLogger("glm_gateway")


class Tasks:
    """Small tasks that must run to their end whoever is cancelled; the event loop alone would forget them."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task


class LeaseMark:
    """The store's side of a lease: an entry of a value that only its holder has, and can remove."""

    def __init__(self, book: LeaseBook, label: str, value: str, *, is_left_behind: bool) -> None:
        self._book = book
        self._label = label
        self._value = value
        self._is_left_behind = is_left_behind

    async def set(self) -> bool:
        if self._is_left_behind:
            return await self.renew()
        return await self._book.state.add(lease_key(self._label), self._value, ttl_s=self._book.ttl_s)

    async def renew(self) -> bool:
        """Prolong it; False where another process has it, as after a pause longer than its life."""
        key, state, ttl_s = lease_key(self._label), self._book.state, self._book.ttl_s
        value = await state.get(key)
        if value is None:  # expired, or the store failed: then add() says yes
            return await state.add(key, self._value, ttl_s=ttl_s)
        if value == self._value:
            await state.put(key, self._value, ttl_s=ttl_s)
        return value == self._value

    async def remove(self) -> None:
        is_gone = await self._book.state.remove(lease_key(self._label), self._value)
        self._book.note_end(self._label, self._value, is_gone=is_gone)


class LeaseBook:
    """Makes marks, and takes up again those that a failing store did not remove: they would lock us out."""

    def __init__(self, state: SharedState, *, ttl_s: float) -> None:
        self.state = state
        self.ttl_s = ttl_s
        self._left_behind: dict[str, str] = {}

    def mark(self, label: str) -> LeaseMark:
        value = self._left_behind.get(label)
        return LeaseMark(self, label, value or secrets.token_hex(8), is_left_behind=value is not None)

    def note_end(self, label: str, value: str, *, is_gone: bool) -> None:
        if is_gone:
            self._left_behind.pop(label, None)
            return
        self._left_behind[label] = value
        if len(self._left_behind) > MAX_LEFT_BEHIND:
            del self._left_behind[next(iter(self._left_behind))]

    async def is_held(self, label: str) -> bool:
        """Whether anybody holds it, another process or this one."""
        return await self.state.get(lease_key(label)) is not None


class Lease:
    """Held until released, and renewed in the background meanwhile."""

    def __init__(
        self,
        account: Account,
        mark: LeaseMark,
        tasks: Tasks,
        *,
        renew_every_s: float,
        on_end: Callable[[], None],
    ) -> None:
        self.account = account
        self._mark = mark
        self._tasks = tasks
        self._renew_every_s = renew_every_s
        self._on_end = on_end
        self._renewal: asyncio.Task[None] | None = None
        self._giving_back: asyncio.Task[None] | None = None
        self._timer = self._start_timer()

    async def release(self) -> None:
        """Give the account back, once; it is given back even where the caller is cancelled meanwhile."""
        if self._giving_back is None:
            self._giving_back = self._tasks.start(self._give_back())
        await asyncio.shield(self._giving_back)

    async def _give_back(self) -> None:
        try:
            if self._renewal is not None:  # else it might write again what is removed next
                self._renewal.cancel()
                await asyncio.wait({self._renewal})
            self._timer.cancel()
            await self._mark.remove()
        finally:
            self._on_end()

    def _start_timer(self) -> asyncio.TimerHandle:
        """A timer and no task: most leases end before they need renewing."""
        return asyncio.get_running_loop().call_later(self._renew_every_s, self._start_renewal)

    def _start_renewal(self) -> None:
        self._renewal = self._tasks.start(self._renew())

    async def _renew(self) -> None:
        if await self._mark.renew():
            self._timer = self._start_timer()
        else:
            log.warning("account %s: its lease ran out and was taken by another process", self.account.label)


def lease_key(label: str) -> str:
    return f"lease:{label}"
