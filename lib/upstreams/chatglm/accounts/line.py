"""The line of requests that wait for accounts, within one process. No I/O, no clock: `now` is an argument."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import takewhile

from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.chatglm.accounts.cooldowns import Cooling

MAX_REMEMBERED = 4_000
"""So many labels' last uses are known; a label that was forgotten counts as never used."""
NO_LOAD = 1e-6
"""Less than one request's part of the load: a remainder of rounding."""


class Waiter:
    """One request for any of some accounts, from its start until it has one or gives up."""

    __slots__ = ("accounts", "cooling", "granted", "is_idle", "resting", "wake")

    def __init__(self, accounts: tuple[Account, ...]) -> None:
        self.accounts = accounts
        self.cooling: dict[str, Cooling] = {}
        """By label: the cool-down that it found when it last asked the store."""
        self.resting: AbstractSet[str] = frozenset()
        """The labels that rest as far as this process knows. They are tried after the others."""
        self.granted: Account | None = None
        """Handed over while it waited; taken in its name until it says otherwise."""
        self.is_idle = False
        """It waits, and would take an account that is handed to it; otherwise it is asking the store."""
        self.wake: asyncio.Future[None] | None = None

    def wants(self, label: str, now: float) -> Account | None:
        """Its account of this label, unless that is cooling down as far as it knows."""
        cooling = self.cooling.get(label)
        if cooling is not None and cooling.until > now:
            return None
        return next((account for account in self.accounts if account.label == label), None)


class Line:
    """First come, first served, among the requests that can use a free account: the least recently used."""

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
        """Count the waiters for the least wanted of these; a request for several counts in part for each."""
        return min(self._load.get(account.label, 0.0) for account in accounts)

    def join(self, waiter: Waiter) -> None:
        self._waiters[waiter] = None
        for account in waiter.accounts:
            self._load[account.label] = self._load.get(account.label, 0.0) + 1 / len(waiter.accounts)

    def leave(self, waiter: Waiter, now: float) -> None:
        """Forget the waiter; an account that it was handed and did not take goes to the next."""
        del self._waiters[waiter]
        for account in waiter.accounts:
            self._load[account.label] -= 1 / len(waiter.accounts)
            if self._load[account.label] < NO_LOAD:
                del self._load[account.label]
        granted, waiter.granted, waiter.is_idle = waiter.granted, None, False
        if granted is not None:
            self.hand_on(granted.label, now)

    def take(self, waiter: Waiter, tried: AbstractSet[str], now: float) -> Account | None:
        """Take the account that the waiter was handed, or else the least recently used that it may have.

        An account that seems to rest comes last.
        """
        if waiter.granted is not None:
            granted, waiter.granted = waiter.granted, None
            return granted
        free = [account for account in waiter.accounts if self._may_take(waiter, account, tried, now)]
        if not free:
            return None
        account = min(
            free, key=lambda each: (each.label in waiter.resting, self._last_used.get(each.label, 0))
        )
        self._taken.add(account.label)
        return account

    def hand_on(self, label: str, now: float) -> None:
        """Give a taken account to the first waiter for it, or else let it be free."""
        for waiter in self._waiters:
            if waiter.is_idle and not waiter.granted and (account := waiter.wants(label, now)):
                waiter.granted = account
                if waiter.wake is not None and not waiter.wake.done():
                    waiter.wake.set_result(None)
                return
        self._taken.discard(label)

    def put_back(self, label: str) -> None:
        """Let it be free and wake no waiter: another process has it, and the waiters ask again in time."""
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
        # If a request waits for a free account, another process held the account; that request comes first.
        before = takewhile(lambda other: other is not waiter, self._waiters)
        return not any(other.is_idle and not other.granted and other.wants(label, now) for other in before)
