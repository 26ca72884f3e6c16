"""Leases of accounts: the upstream allows one generation per account at a time."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Literal

import msgspec

from lib.errors import AccountBusy, AccountRefused, GatewayError, NoAccountAvailable, Throttled
from lib.store import Change
from lib.store.hold import Hold
from lib.store.seal import Place
from lib.store.shared import Altered, SharedState
from lib.tasks import Tasks
from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.chatglm.accounts.cooldowns import CoolDownBook, Cooling, Link, cool_place, no_link
from lib.upstreams.chatglm.accounts.lease import Lease, lease_place
from lib.upstreams.chatglm.accounts.line import Line, Waiter

LEASE_TTL_S = 45.0
"""An account is free again this long after its holder crashed. The holder renews every third of it."""
MAX_WAITING = 20
"""So many requests may wait for each account. The last of more would wait longer than any client does."""
MAX_LEFT_BEHIND = 1_000
"""So many marks that a failing store did not remove are remembered."""
MAX_LOOKS = 3
"""So often in a row the cool-downs may have changed. Then the account counts as busy."""
MIN_POLL_S = 0.1
MAX_POLL_S = 1.0
BUSY_RETRY_AFTER_S = 5.0
"""A request that found every account leased is asked to return after this time: the end of a generation is
not known."""
BUSY_ADVICE = (
    "An account makes one answer at a time, for all clients and the browser. Lower the client's concurrency, "
    "raise ACCOUNT_WAIT_S, or add another account of your own."
)


class AccountStatus(msgspec.Struct, frozen=True):
    state: Literal["free", "leased", "cooling"]
    until: float | None = None
    reason: str | None = None


class Pool:
    """Leases accounts out, one request at a time for each; serves one event loop.

    Within this process two requests never share an account, even if the store fails. Between processes that
    holds as long as the store works. Only the holder of an account's lease reports its cool-downs.
    """

    def __init__(
        self,
        state: SharedState,
        *,
        now: Callable[[], float] = time.time,
        lease_ttl_s: float = LEASE_TTL_S,
        chance: Callable[[], float] = random.random,
        link: Link = no_link,
        reads: Callable[[Account], Sequence[Place]] = lambda _: (),
        learn: Callable[[Account, Altered], None] = lambda _account, _altered: None,
    ) -> None:
        """`reads`, `learn`: the fields that the step of a lease reads too, and their taker."""
        self.cool_downs = CoolDownBook(state, now=now, link=link)
        self._state = state
        self._reads = reads
        self._learn = learn
        self._lease_ttl_s = lease_ttl_s
        self._line = Line()
        self._tasks = Tasks()
        self._left_behind: dict[str, str] = {}
        """By label: the marks that a failing store did not remove. They would lock this process out."""
        self._now = now
        self._chance = chance

    async def acquire(
        self, accounts: Sequence[Account], *, wait_s: float, excluded: AbstractSet[str] = frozenset()
    ) -> Lease:
        """Lease one of the accounts whose label is not excluded; wait for it if that can help.

        Raise AccountBusy when the wait is over, or at once if too many requests wait already. If a wait is of
        no use, raise at once: Throttled, AccountRefused (every account is refused or blocked) or
        NoAccountAvailable (every account is excluded).
        """
        waiter = Waiter(tuple(account for account in accounts if account.label not in excluded))
        if not waiter.accounts:
            raise NoAccountAvailable("expected an account to try, got none that is not excluded")
        if self._line.load(waiter.accounts) >= MAX_WAITING:
            raise AccountBusy(
                f"Too many requests wait for these accounts already. {BUSY_ADVICE}",
                retry_after_s=BUSY_RETRY_AFTER_S,
            )
        waiter.resting = {each.label for each in waiter.accounts if self.cool_downs.is_known(each)}
        self._line.join(waiter)
        try:
            return await self._attend(waiter, wait_s)
        finally:
            self._line.leave(waiter, self._now())

    async def status(self, account: Account) -> AccountStatus:
        cooling = await self.cool_downs.cooling(account)
        if cooling is not None:
            return AccountStatus("cooling", cooling.until, cooling.reason)
        if self._line.is_taken(account.label) or await self._state.holds(lease_place(account)):
            return AccountStatus("leased")
        return AccountStatus("free")

    async def _attend(self, waiter: Waiter, wait_s: float) -> Lease:
        clock = asyncio.get_running_loop().time
        give_up_at = clock() + wait_s
        poll_s = MIN_POLL_S
        while (lease := await self._try_each(waiter)) is None:
            # Nothing awaits between the last refused take in there and the sleep: no hand-over can be missed.
            remaining_s = give_up_at - clock()
            ends = self._ends_of_cooling(waiter, remaining_s)
            delay_s = MIN_POLL_S + (poll_s - MIN_POLL_S) * self._chance()
            await self._idle(waiter, min(delay_s, remaining_s, *ends))
            poll_s = min(2 * poll_s, MAX_POLL_S)
        return lease

    async def _try_each(self, waiter: Waiter) -> Lease | None:
        tried: set[str] = set()
        while (account := self._line.take(waiter, tried, self._now())) is not None:
            tried.add(account.label)
            if (lease := await self._claim(waiter, account)) is not None:
                return lease
        return None

    async def _claim(self, waiter: Waiter, account: Account) -> Lease | None:
        """Make an account ours among all processes."""
        label = account.label
        lease = self._new_lease(account)
        try:
            is_ours, cooling = await self._take(lease)
        except BaseException:  # Cancelled: the store may hold the mark.
            lease.give_back()
            raise
        if cooling is None and is_ours:
            lease.begin()
            return lease
        if cooling is None:
            self._line.put_back(label)
            return None
        waiter.cooling[label] = cooling
        if is_ours:  # The store fails, and may hold the mark all the same.
            lease.give_back()
        else:
            self._line.hand_on(label, self._now())  # A request with another token of the account may have it.
        return None

    async def _take(self, lease: Lease) -> tuple[bool, Cooling | None]:
        """Take an account that does not rest, and read its state; as a rule in one trip to the store.

        The step says which cool-downs it expects: the account that rests must not look busy meanwhile.
        """
        account, place = lease.account, cool_place(lease.account)
        if self.cool_downs.is_known(account):
            change = Change(reads=(place.name,))
            cooling = self.cool_downs.found(account, await self._state.alter(place.record, change))
            if cooling is not None:
                return False, cooling
        version = self._state.version(place)
        for _ in range(MAX_LOOKS):
            taken = await lease.take({place.name: (version,)}, (place, *self._reads(account)))
            self._learn(account, taken)
            cooling = self.cool_downs.found(account, taken)
            if taken.is_done or cooling is not None or lease.hold.is_anothers(taken):
                return taken.is_done, cooling
            assert taken.found is not None
            version = taken.found[place.name]
        return False, None

    def _new_lease(self, account: Account) -> Lease:
        left = self._left_behind.get(account.label)
        hold = Hold(self._state, lease_place(account), ttl_s=self._lease_ttl_s, now=self._now, mark=left)
        return Lease(account, hold, self._tasks, saves=(cool_place(account),), on_end=self._end)

    def _end(self, lease: Lease, is_gone: bool) -> None:
        label = lease.account.label
        self._left_behind.pop(label, None)
        if not is_gone:
            self._left_behind[label] = lease.hold.mark
            if len(self._left_behind) > MAX_LEFT_BEHIND:
                del self._left_behind[next(iter(self._left_behind))]
        if lease.was_taken:
            self._line.note_use(label)
        self._line.hand_on(label, self._now())

    def _ends_of_cooling(self, waiter: Waiter, remaining_s: float) -> list[float]:
        """Return in how many seconds each cool-down ends. Raise if the wait would be of no use.

        The end of a generation elsewhere is worth a wait of seconds. A throttle or a refusal is said at
        once: a client that waited for its end would not know the reason.
        """
        now = self._now()
        found = [(account, waiter.cooling.get(account.label)) for account in waiter.accounts]
        cooling = [(account, cause) for account, cause in found if cause is not None and cause.until > now]
        is_all = len(cooling) == len(found)
        busy = [cause.until - now for _, cause in cooling if cause.reason == "busy"]
        if (min(busy, default=math.inf) if is_all else 0.0) >= remaining_s:
            raise _refusal(cooling, now, is_all=is_all)
        return [cause.until - now for _, cause in cooling]

    async def _idle(self, waiter: Waiter, delay_s: float) -> None:
        """Sleep until an account is handed over, or for the delay."""
        waiter.wake = asyncio.get_running_loop().create_future()
        waiter.is_idle = True
        await asyncio.wait({waiter.wake}, timeout=delay_s)
        waiter.is_idle = False  # If this is cancelled, leave() does it, and hands on a granted account.


def _refusal(cooling: list[tuple[Account, Cooling]], now: float, *, is_all: bool) -> GatewayError:
    """Say why there is no account. A reason that passes by itself comes before one that the owner mends."""
    busy = [cause.until - now for _, cause in cooling if cause.reason == "busy"]
    throttled = [cause.until - now for _, cause in cooling if cause.reason == "throttled"]
    if busy or not is_all:
        leased = [] if is_all else [BUSY_RETRY_AFTER_S]
        return AccountBusy(
            f"Every account is busy. {BUSY_ADVICE}", retry_after_s=min(busy + throttled + leased)
        )
    if throttled:
        wait_s = min(throttled)
        return Throttled(
            f"every account is throttled, the first one for {wait_s:.0f} s", retry_after_s=wait_s
        )
    account, cause = cooling[0]
    state = "is blocked by the upstream" if cause.reason == "blocked" else "was just refused by the upstream"
    return AccountRefused(f"account {account.label} {state}", code=cause.code)
