"""Who may have which account next, within one process. No I/O, no clock: `now` is an argument."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import takewhile

from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.chatglm.accounts.cooldowns import Cooling

MAX_REMEMBERED = 4_000
"""Labels whose last use is known; one that was forgotten counts as never used."""
NOBODY = 1e-6
"""Less than anybody's part of the load: what rounding leaves."""


class Waiter:
    """One request for any of some accounts, from its start until it has one or gives up."""

    __slots__ = ("accounts", "cooling", "granted", "is_idle", "wake")

    def __init__(self, accounts: tuple[Account, ...]) -> None:
        self.accounts = accounts
        self.cooling: dict[str, Cooling] = {}
        """By label: what was found when it last asked the store."""
        self.granted: Account | None = None
        """Handed over while it waited; taken in its name until it says otherwise."""
        self.is_idle = False
        """Waits, and would take what is handed to it; otherwise it is busy asking the store."""
        self.wake: asyncio.Future[None] | None = None

    def wants(self, label: str, now: float) -> Account | None:
        """Its account of this label, unless that is cooling down as far as it knows."""
        cooling = self.cooling.get(label)
        if cooling is not None and cooling.until > now:
            return None
        return next((account for account in self.accounts if account.label == label), None)


class Line:
    """First come, first served, among those who can use what is free; least recently used is served first."""

    def __init__(self) -> None:
        self._waiters: dict[Waiter, None] = {}  # a set that keeps its order
        self._taken: set[str] = set()
        self._last_used: dict[str, int] = {}
        self._uses = 0
        self._load: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._waiters)

    def is_taken(self, label: str) -> bool:
        return label in self._taken

    def load(self, accounts: Sequence[Account]) -> float:
        """How many wait for the least wanted of these; who can have several counts in part for each."""
        return min(self._load.get(account.label, 0.0) for account in accounts)

    def join(self, waiter: Waiter) -> None:
        self._waiters[waiter] = None
        for account in waiter.accounts:
            self._load[account.label] = self._load.get(account.label, 0.0) + 1 / len(waiter.accounts)

    def leave(self, waiter: Waiter, now: float) -> None:
        """Forget the waiter; what it was handed and did not take goes to the next."""
        del self._waiters[waiter]
        for account in waiter.accounts:
            self._load[account.label] -= 1 / len(waiter.accounts)
            if self._load[account.label] < NOBODY:
                del self._load[account.label]
        granted, waiter.granted, waiter.is_idle = waiter.granted, None, False
        if granted is not None:
            self.hand_on(granted.label, now)

    def take(self, waiter: Waiter, tried: AbstractSet[str], now: float) -> Account | None:
        """Take what the waiter was handed, else the account it may have that was not used for longest."""
        if waiter.granted is not None:
            granted, waiter.granted = waiter.granted, None
            return granted
        free = [account for account in waiter.accounts if self._may_take(waiter, account, tried, now)]
        if not free:
            return None
        account = min(free, key=lambda account: self._last_used.get(account.label, 0))
        self._taken.add(account.label)
        return account

    def hand_on(self, label: str, now: float) -> None:
        """Give a taken account to the first who waits for it, else let it be free."""
        for waiter in self._waiters:
            if waiter.is_idle and not waiter.granted and (account := waiter.wants(label, now)):
                waiter.granted = account
                if waiter.wake is not None and not waiter.wake.done():
                    waiter.wake.set_result(None)
                return
        self._taken.discard(label)

    def put_back(self, label: str) -> None:
        """Let it be free and wake nobody: another process has it, and who waits asks again in time."""
        self._taken.discard(label)

    def note_use(self, label: str) -> None:
        self._uses += 1
        self._last_used.pop(label, None)
        self._last_used[label] = self._uses
        if len(self._last_used) > MAX_REMEMBERED:
            del self._last_used[next(iter(self._last_used))]

    def _may_take(self, waiter: Waiter, account: Account, tried: AbstractSet[str], now: float) -> bool:
        label = account.label
        if label in self._taken or label in tried or waiter.wants(label, now) is None:
            return False
        # Who waits although it is free found another process holding it, and is to have it when that ends.
        before = takewhile(lambda other: other is not waiter, self._waiters)
        return not any(other.is_idle and not other.granted and other.wants(label, now) for other in before)
