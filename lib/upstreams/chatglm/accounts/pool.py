"""Who generates on which account: the upstream allows one generation per account at a time."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Literal

import msgspec

from lib.errors import AccountBusy, AccountRefused, GatewayError, NoAccountAvailable, Throttled
from lib.store.shared import SharedState
from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.chatglm.accounts.cooldowns import CoolDownBook, Cooling
from lib.upstreams.chatglm.accounts.lease import Lease, LeaseBook, LeaseMark, Tasks
from lib.upstreams.chatglm.accounts.line import Line, Waiter

LEASE_TTL_S = 45.0
"""After a crash an account is free again this much later; renewed every third of it."""
MOST_WAITING = 20
"""For each account that could serve them. Of more, the last would wait for longer than any client does."""
POLL_FIRST_S = 0.1
POLL_LONGEST_S = 1.0
BUSY_RETRY_AFTER_S = 5.0
"""Told to who found everything leased: nobody knows when a generation ends."""


class AccountStatus(msgspec.Struct, frozen=True):
    state: Literal["free", "leased", "cooling"]
    until: float | None = None
    reason: str | None = None


class Pool:
    """Leases accounts out and remembers which to leave alone; serves one event loop.

    That two generations never share an account holds within this process whatever the store does, and between
    processes as far as the store works. Cool-downs are meant to be reported by whoever holds the lease.
    """

    def __init__(
        self,
        state: SharedState,
        *,
        now: Callable[[], float] = time.time,
        lease_ttl_s: float = LEASE_TTL_S,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._cool_downs = CoolDownBook(state, now=now)
        self._leases = LeaseBook(state, ttl_s=lease_ttl_s, now=now)
        self._line = Line()
        self._tasks = Tasks()
        self._now = now
        self._chance = chance

    async def acquire(
        self, accounts: Sequence[Account], *, wait_s: float, excluded: AbstractSet[str] = frozenset()
    ) -> Lease:
        """Lease one of the accounts whose label is not excluded; wait for it where that can help.

        Raise AccountBusy when the wait is over, or at once where too many wait already, and before it, when
        waiting is of no use: Throttled, AccountRefused (every account is refused or blocked),
        NoAccountAvailable (none was left to try).
        """
        waiter = Waiter(tuple(account for account in accounts if account.label not in excluded))
        if not waiter.accounts:
            raise NoAccountAvailable("expected an account to try, got none that is not excluded")
        if self._line.load(waiter.accounts) >= MOST_WAITING:
            raise AccountBusy(
                "Too many requests wait for these accounts already.", retry_after_s=BUSY_RETRY_AFTER_S
            )
        self._line.join(waiter)
        try:
            return await self._attend(waiter, wait_s)
        finally:
            self._line.leave(waiter, self._now())

    async def throttled(self, account: Account, retry_after_s: float | None = None) -> None:
        """The upstream wants fewer requests: 30 s, doubling until one succeeds, or as long as it says."""
        await self._cool_downs.throttled(account, retry_after_s)

    async def busy_elsewhere(self, account: Account) -> None:
        """A generation that is not ours runs on the account, the owner's browser's perhaps: 3 s."""
        await self._cool_downs.busy_elsewhere(account)

    async def refused(self, account: Account, code: str) -> None:
        """The token is not accepted: 10 min. A new token of the same account is not meant."""
        await self._cool_downs.refused(account, code)

    async def blocked(self, account: Account) -> None:
        """The upstream blocked the account: until cleared."""
        await self._cool_downs.blocked(account)

    async def cleared(self, account: Account) -> None:
        """A check found it in order: neither blocked, nor the token refused."""
        await self._cool_downs.cleared(account)

    async def succeeded(self, account: Account) -> None:
        """A request succeeded, so the next throttle is the first again; costs nothing when none was."""
        await self._cool_downs.succeeded(account)

    async def cooling(self, account: Account) -> Cooling | None:
        """Why to leave the account alone, and until when."""
        return await self._cool_downs.cooling(account)

    async def status(self, account: Account) -> AccountStatus:
        cooling = await self._cool_downs.cooling(account)
        if cooling is not None:
            return AccountStatus("cooling", cooling.until, cooling.reason)
        if self._line.is_taken(account.label) or await self._leases.is_held(account):
            return AccountStatus("leased")
        return AccountStatus("free")

    async def _attend(self, waiter: Waiter, wait_s: float) -> Lease:
        clock = asyncio.get_running_loop().time
        give_up_at = clock() + wait_s
        poll_s = POLL_FIRST_S
        while (lease := await self._try_each(waiter)) is None:
            # From the last refused take in there to the sleep nothing awaits, so no hand-over can be missed.
            remaining_s = give_up_at - clock()
            ends = self._ends_of_cooling(waiter, remaining_s)
            delay_s = POLL_FIRST_S + (poll_s - POLL_FIRST_S) * self._chance()
            await self._idle(waiter, min(delay_s, remaining_s, *ends))
            poll_s = min(2 * poll_s, POLL_LONGEST_S)
        return lease

    async def _try_each(self, waiter: Waiter) -> Lease | None:
        tried: set[str] = set()
        while (account := self._line.take(waiter, tried, self._now())) is not None:
            tried.add(account.label)
            if (lease := await self._claim(waiter, account)) is not None:
                return lease
        return None

    async def _claim(self, waiter: Waiter, account: Account) -> Lease | None:
        """Make what is ours in this process ours among all; costs two round trips to the store."""
        label = account.label
        mark = self._leases.mark(account)
        try:
            cooling = await self._cool_downs.cooling(account)
            is_ours = cooling is None and await mark.set()
        except BaseException:  # cancelled: whether the mark was set, nobody can say
            self._tasks.start(self._undo(label, mark))
            raise
        if is_ours:
            renew_every_s = self._leases.ttl_s / 3
            return Lease(
                account, mark, self._tasks, renew_every_s=renew_every_s, on_end=lambda: self._end(label)
            )
        if cooling is None:
            self._line.put_back(label)
        else:
            waiter.cooling[label] = cooling
            self._line.hand_on(label, self._now())  # who comes with another token may have it
        return None

    async def _undo(self, label: str, mark: LeaseMark) -> None:
        try:
            await mark.remove()
        finally:
            self._line.hand_on(label, self._now())

    def _end(self, label: str) -> None:
        self._line.note_use(label)
        self._line.hand_on(label, self._now())

    def _ends_of_cooling(self, waiter: Waiter, remaining_s: float) -> list[float]:
        """In how many seconds the cool-downs end; raise where waiting as long as remains is of no use."""
        now = self._now()
        found = [(account, waiter.cooling.get(account.label)) for account in waiter.accounts]
        cooling = [(account, cause) for account, cause in found if cause is not None and cause.until > now]
        ends = [cause.until - now for _, cause in cooling]
        is_all = len(cooling) == len(found)
        if (min(ends) if is_all else 0.0) >= remaining_s:
            raise _refusal(cooling, now, is_all=is_all)
        return ends

    async def _idle(self, waiter: Waiter, delay_s: float) -> None:
        """Sleep until an account is handed over, or for the delay."""
        waiter.wake = asyncio.get_running_loop().create_future()
        waiter.is_idle = True
        await asyncio.wait({waiter.wake}, timeout=delay_s)
        waiter.is_idle = False  # where it was cancelled, leave() sees to that and to what was handed over


def _refusal(cooling: list[tuple[Account, Cooling]], now: float, *, is_all: bool) -> GatewayError:
    """Say why there is no account: what passes by itself before what the owner must mend."""
    busy = [cause.until - now for _, cause in cooling if cause.reason == "busy"]
    throttled = [cause.until - now for _, cause in cooling if cause.reason == "throttled"]
    if busy or not is_all:
        leased = [] if is_all else [BUSY_RETRY_AFTER_S]
        return AccountBusy("every account is busy", retry_after_s=min(busy + throttled + leased))
    if throttled:
        wait_s = min(throttled)
        return Throttled(
            f"every account is throttled, the first one for {wait_s:.0f} s", retry_after_s=wait_s
        )
    account, cause = cooling[0]
    what = "is blocked by the upstream" if cause.reason == "blocked" else "was just refused by the upstream"
    return AccountRefused(f"account {account.label} {what}", code=cause.code)
