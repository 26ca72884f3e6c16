"""The right to one generation on one account."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from lib.errors import AccountBusy
from lib.store.hold import Hold
from lib.store.seal import Place
from lib.store.shared import SharedState
from lib.upstreams.chatglm.accounts.account import Account, place_by_label

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
    """The store's side of a lease."""

    def __init__(self, book: LeaseBook, account: Account, hold: Hold, *, is_left_behind: bool) -> None:
        self._book = book
        self._label = account.label
        self._hold = hold
        self._is_left_behind = is_left_behind

    async def set(self) -> bool:
        return await self.renew() if self._is_left_behind else await self._hold.take()

    async def renew(self) -> bool:
        """Prolong it; False where another process has it, as after a pause longer than its life."""
        return await self._hold.prolong() or await self._hold.take()  # expired, and nobody wanted it

    async def confirm(self) -> bool:
        """Make sure that it is ours; while it is renewed in time, without asking the store."""
        return await self._hold.confirm(for_s=self._book.ttl_s / 2) or await self._hold.take()

    async def remove(self) -> None:
        self._book.note_end(self._label, self._hold.mark, is_gone=await self._hold.give_up())


class LeaseBook:
    """Makes marks, and takes up again those that a failing store did not remove: they would lock us out."""

    def __init__(self, state: SharedState, *, ttl_s: float, now: Callable[[], float]) -> None:
        self.ttl_s = ttl_s
        self._state = state
        self._now = now
        self._left_behind: dict[str, str] = {}

    def mark(self, account: Account) -> LeaseMark:
        left = self._left_behind.get(account.label)
        hold = Hold(self._state, lease_place(account), ttl_s=self.ttl_s, now=self._now, mark=left)
        return LeaseMark(self, account, hold, is_left_behind=left is not None)

    def note_end(self, label: str, mark: str, *, is_gone: bool) -> None:
        if is_gone:
            self._left_behind.pop(label, None)
            return
        self._left_behind[label] = mark
        if len(self._left_behind) > MAX_LEFT_BEHIND:
            del self._left_behind[next(iter(self._left_behind))]

    async def is_held(self, account: Account) -> bool:
        """Whether anybody holds it, another process or this one."""
        return await self._state.holds(lease_place(account))


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
        self._is_ended = False
        self._timer = self._start_timer()

    async def confirm(self) -> bool:
        """Make sure that the account is still ours, right before the upstream is asked for something.

        A process can be held up for longer than a lease lives: stopped, frozen by its host, out of memory.
        """
        return await self._mark.confirm()

    async def require(self) -> None:
        """`confirm`, or raise AccountBusy."""
        if not await self.confirm():
            raise AccountBusy("This process was held up, and another one uses the account by now.")

    async def release(self) -> None:
        """Give the account back, once; it is given back even where the caller is cancelled meanwhile."""
        if self._giving_back is None:
            self._giving_back = self._tasks.start(self._give_back())
        await asyncio.shield(self._giving_back)

    async def _give_back(self) -> None:
        try:
            self._is_ended = True
            self._timer.cancel()
            if self._renewal is not None:  # else it might write again what is removed next
                self._renewal.cancel()
                await asyncio.wait({self._renewal})
            await self._mark.remove()
        finally:
            self._on_end()

    def _start_timer(self) -> asyncio.TimerHandle:
        """A timer and no task: most leases end before they need renewing."""
        return asyncio.get_running_loop().call_later(self._renew_every_s, self._start_renewal)

    def _start_renewal(self) -> None:
        if self._is_ended:  # due in the very moment of the end: nobody would stop it
            return
        self._renewal = self._tasks.start(self._renew())

    async def _renew(self) -> None:
        if await self._mark.renew():
            if not self._is_ended:
                self._timer = self._start_timer()
        else:
            log.warning("account %s: its lease ran out and was taken by another process", self.account.label)


def lease_place(account: Account) -> Place:
    return place_by_label("lease", account)
