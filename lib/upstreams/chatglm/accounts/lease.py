"""The right to one generation on one account."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from lib.errors import AccountBusy
from lib.store.hold import Hold
from lib.store.seal import Place
from lib.store.shared import Altered
from lib.tasks import Tasks
from lib.upstreams.chatglm.accounts.account import Account, field_by_label

log = logging.getLogger("glm_gateway")

When = Mapping[str, tuple[str | None, ...]]
EndOfLease = Callable[["Lease", bool], None]
"""Called once at the end of a lease; the flag says that the store certainly no longer holds its mark."""


class Lease:
    """An account that this process alone uses, from `take` to `release`; renewed in the background."""

    def __init__(
        self, account: Account, hold: Hold, tasks: Tasks, *, saves: Sequence[Place], on_end: EndOfLease
    ) -> None:
        """`saves`: the fields whose changes are written at the end of the lease."""
        self.account = account
        self.hold = hold
        self._tasks = tasks
        self._saves = saves
        self._on_end = on_end
        self._timer: asyncio.TimerHandle | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._giving_back: asyncio.Task[None] | None = None

    async def take(self, when: When, reads: Sequence[Place]) -> Altered:
        """Try to become the holder, and read other fields; a mark that a failing store kept is still ours."""
        taken = await self.hold.take(when=when, reads=reads)
        if not taken.is_done and self.hold.can_take_over:
            log.warning("account %s: the process that leased it has ended", self.account.label)
            taken = await self.hold.take(when=when, reads=reads)
        return taken

    def begin(self) -> None:
        """The account is ours, and will be used: renew the lease from now on."""
        self._start_timer()

    async def confirm(self) -> bool:
        """Make sure that the account is still ours, right before a request to the upstream.

        A process can be held up for longer than a lease lives: stopped, frozen by its host, out of memory.
        While the lease is renewed in time, this does not ask the store.
        """
        return self.hold.is_sure(for_s=self.hold.ttl_s / 2) or await self.hold.retake()

    async def require(self) -> None:
        """`confirm`, or raise AccountBusy."""
        if not await self.confirm():
            raise AccountBusy("This process was held up, and another one uses the account by now.")

    @property
    def was_taken(self) -> bool:
        return self._timer is not None

    async def release(self) -> None:
        """Give the account back, once; a cancellation of the caller does not stop that."""
        await asyncio.shield(self.give_back())

    def give_back(self) -> asyncio.Task[None]:
        """Begin to give the account back; after a cancelled `take` too, since the store may hold the mark."""
        if self._giving_back is None:
            self._giving_back = self._tasks.start(self._give_back())
        return self._giving_back

    def _start_timer(self) -> None:
        # A timer and no task: most leases end before they need a renewal.
        self._timer = asyncio.get_running_loop().call_later(self.hold.ttl_s / 3, self._start_renewal)

    def _start_renewal(self) -> None:
        if (
            self._giving_back is None
        ):  # Else it is due in the very moment of the end, and nothing would stop it.
            self._renewal = self._tasks.start(self._renew())

    async def _renew(self) -> None:
        if not await self.hold.retake():
            log.warning("account %s: its lease ran out and was taken by another process", self.account.label)
        elif self._giving_back is None:
            self._start_timer()

    async def _give_back(self) -> None:
        is_gone = False
        try:
            if self._timer is not None:
                self._timer.cancel()
            if self._renewal is not None:  # A renewal could write again after the removal.
                self._renewal.cancel()
                await asyncio.wait({self._renewal})
            is_gone = await self.hold.give_up(saves=self._saves)
        finally:
            self._on_end(self, is_gone)


def lease_place(account: Account) -> Place:
    return field_by_label("lease", account)
