"""The store as accounts use it: if it fails, this process goes on by itself."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from lib.patience import patience
from lib.store import Store
from lib.store.seal import Place, Seal, Unsealed
from lib.tasks import start

MAX_COPIES = 4_000
"""So many records of some 2 kB are 8 MB. Beyond it the copy that was not touched for longest goes."""
RETRY_EVERY_S = 30.0
"""A copy that the store could not take is offered again so often, by requests that need not wait for it."""
OPERATION_TIMEOUT_S = 2.5
"""A store answers within milliseconds; each of a request's five or so operations keeps a client waiting."""
REST_S = 10.0
"""A store that failed is left alone for so long, then one operation tries it, and no other waits for that."""
OFFER_EVERY_S = 180.0
"""The store gets the ranked values again so often: it may have been emptied or replaced meanwhile."""
MAX_OFFERED = 200
"""So many values, the last used ones, are offered at a time. A person has fewer accounts."""
OVERTAKEN_TIMES = 3
"""A write that was overtaken so often is made in any case: something is odd."""
PROBE = "probe"

T = TypeVar("T")
log = logging.getLogger("glm_gateway")


Rank = Callable[[str], float]
"""Ranks the values of one entry: the higher rank is newer, in any order of the writes."""


class _Copy(msgspec.Struct, frozen=True):
    place: Place
    value: str
    expires_at: float | None = None
    """The end is known if this process wrote the value itself."""
    refused_at: float | None = None
    """The time of the store's last failure to take it. None: the store has it."""
    rank: Rank | None = None
    ttl_s: float | None = None
    """The life of a ranked value, counted from each time that it is offered to the store."""

    def __repr__(self) -> str:
        return f"_Copy({self.place!r})"

    @property
    def is_nowhere_else(self) -> bool:
        return self.rank is not None and self.refused_at is not None


class Seen(msgspec.Struct, frozen=True):
    """An entry as the store had it when it was read."""

    answered: bool
    """False: the store failed, and nothing is known."""
    value: str | None = None
    """None: there is no entry, or no seal of ours opens it."""
    sealed: str | None = None

    def __repr__(self) -> str:
        return f"Seen(answered={self.answered}, is_there={self.sealed is not None})"


class SharedState:
    """A store that cannot fail: this process keeps a copy of each entry that it wrote or read.

    If the store is lost, the process misses the news of other processes, but nothing that it knows itself.
    Every value that leaves the process is sealed.
    """

    def __init__(
        self,
        store: Store,
        *,
        now: Callable[[], float],
        seal: Seal | None = None,
        max_copies: int = MAX_COPIES,
    ) -> None:
        self._store = store
        self._now = now
        self._seal = seal or Unsealed()
        self._max_copies = max_copies
        self._copies: dict[str, _Copy] = {}
        # Apart, since a full store, or a replica, can still be read.
        self._reads = _Circuit("cannot be read", now)
        self._writes = _Circuit("takes no writes", now)
        self._probed_at = float("-inf")
        self._probing: asyncio.Task[str | None] | None = None
        self._offered_at: float | None = None
        self._recoveries = 0

    @property
    def has_worked(self) -> bool:
        """The store has taken a write of this process, so that it can keep a value."""
        return self._writes.has_worked

    @property
    def problem(self) -> str | None:
        """The error of the store's last write, else of its last read. None means that both worked."""
        return self._writes.problem or self._reads.problem

    async def probe(self) -> str | None:
        """Return the store's problem; write and read to find it, unless that was done just now."""
        if self.problem is not None or not 0 <= self._now() - self._probed_at < REST_S:
            self._probed_at = self._now()
            await self._writes.attempt(self._store.put, PROBE, secrets.token_hex(8), ttl_s=60.0)
            await self._reads.attempt(self._store.get, PROBE)
        return self.problem

    async def problem_within(self, timeout_s: float) -> str | None:
        """Probe, and wait no longer than `timeout_s`; a probe under way is not begun a second time."""
        if self._probing is None or self._probing.done():
            # In no TaskGroup: it comes to its own end, and remembers the result, although the caller goes on.
            self._probing = start(self.probe())
        probing = self._probing
        done, _ = await asyncio.wait({probing}, timeout=timeout_s)
        return probing.result() if done else "does not answer"

    async def recall(
        self, place: Place, *, rank: Rank | None = None, ttl_s: float | None = None
    ) -> str | None:
        """Ask the store; if it fails, or has not taken our last value yet, answer from the copy.

        With `rank` the newer of copy and store counts. A store that has no value, or an older one, gets
        the copy again, for `ttl_s`.
        """
        copy = self._copies.get(place.name)
        if rank is None and copy is not None and copy.refused_at is not None and not self._is_over(copy):
            assert copy.expires_at is not None
            await self.keep(place, copy.value, ttl_s=copy.expires_at - self._now())
            return copy.value
        worked, sealed = await self._reads.attempt(self._store.get, place.name)
        latest = self._copies.get(place.name)
        if latest is not copy:  # Written meanwhile, and newer than the value that was read.
            return None if latest is None else latest.value
        if not worked:
            return None if copy is None or self._is_over(copy) else copy.value
        value = self._opened(place, sealed)
        if copy is not None and rank and (value is None or rank(copy.value) > rank(value)):
            await self.keep(place, copy.value, ttl_s=ttl_s or REST_S, rank=rank)
            return self.copy(place)
        self._remember(place, None if value is None else _Copy(place, value, rank=rank, ttl_s=ttl_s))
        return value

    async def keep(
        self, place: Place, value: str, *, ttl_s: float, rank: Rank | None = None, is_vital: bool = False
    ) -> None:
        """Write to the copy first, so that no failure or cancellation loses it, then to the store.

        With `rank` a newer value stays in the store, and becomes the copy. A vital value is offered even to a
        store that rests from a failure.
        """
        now = self._now()
        unsaved = _Copy(place, value, now + ttl_s, refused_at=now, rank=rank, ttl_s=ttl_s)
        self._remember(place, unsaved)
        if rank is None:
            sealed = self._seal.close(place, value)
            worked, _ = await self._writes.attempt(self._store.put, place.name, sealed, ttl_s=ttl_s)
            newest = value
        else:
            worked, newest = await self._keep_newest(place, value, rank, ttl_s=ttl_s, is_vital=is_vital)
        if worked and self._copies.get(place.name) is unsaved:
            ends_at = now + ttl_s if newest == value else None
            self._remember(place, _Copy(place, newest, ends_at, rank=rank, ttl_s=ttl_s))

    async def _keep_newest(
        self, place: Place, value: str, rank: Rank, *, ttl_s: float, is_vital: bool, may_be_old: bool = False
    ) -> tuple[bool, str]:
        """Write over the value that was read and no other; return if that worked, and the value there now.

        With `may_be_old` nothing is written to a store that cannot be read.
        """
        sealed = self._seal.close(place, value)
        for _ in range(OVERTAKEN_TIMES):
            worked, there = await self._reads.attempt(self._store.get, place.name, is_vital=is_vital)
            if not worked:
                break
            other = self._opened(place, there)
            if other is not None and (other == value or rank(other) > rank(value)):
                return True, other
            operation, more = (
                (self._store.add, {}) if there is None else (self._store.put, {"instead_of": there})
            )
            worked, written = await self._writes.attempt(
                operation, place.name, sealed, ttl_s=ttl_s, is_vital=is_vital, **more
            )
            if not worked or written:
                return worked, value
        if may_be_old:
            return False, value
        # A store that cannot be read may take it all the same.
        worked, _ = await self._writes.attempt(
            self._store.put, place.name, sealed, ttl_s=ttl_s, is_vital=is_vital
        )
        return worked, value

    async def offer(self) -> None:
        """Offer the ranked values again, every few minutes and after the store has come back.

        A store that was emptied or replaced works, and lacks the values that cannot be made again.
        """
        recoveries = self._reads.recoveries + self._writes.recoveries
        if self._offered_at is None:
            self._offered_at = self._now()
        is_due = not 0 <= self._now() - self._offered_at < OFFER_EVERY_S
        if (is_due or recoveries != self._recoveries) and self.problem is None:
            self._offered_at, self._recoveries = self._now(), recoveries
            await self._offer_all(is_vital=False)

    async def flush(self) -> None:
        """Offer the store once more every value that it may lack, before this process ends."""
        await self._offer_all(is_vital=True)

    async def _offer_all(self, *, is_vital: bool) -> None:
        ranked = [copy for copy in self._copies.values() if copy.rank is not None]
        others = [copy for copy in ranked if not copy.is_nowhere_else][-MAX_OFFERED:]
        for copy in [copy for copy in ranked if copy.is_nowhere_else] + others:
            if not self._is_over(copy) and self._copies.get(copy.place.name) is copy:
                if copy.is_nowhere_else:
                    ttl_s = copy.ttl_s or REST_S
                    await self.keep(copy.place, copy.value, ttl_s=ttl_s, rank=copy.rank, is_vital=is_vital)
                else:
                    await self._give_again(copy, is_vital=is_vital)

    async def _give_again(self, copy: _Copy, *, is_vital: bool) -> None:
        """Offer a value that the store once had. Another process may have replaced it by a newer one."""
        assert copy.rank is not None
        ttl_s = copy.ttl_s or REST_S
        worked, newest = await self._keep_newest(
            copy.place, copy.value, copy.rank, ttl_s=ttl_s, is_vital=is_vital, may_be_old=True
        )
        if worked and newest != copy.value and self._copies.get(copy.place.name) is copy:
            self._remember(copy.place, _Copy(copy.place, newest, rank=copy.rank, ttl_s=ttl_s))

    async def close(self) -> None:
        await self.flush()
        await self._store.close()

    async def drop(self, place: Place) -> None:
        """Remove the copy's value, unless another process has written another one since."""
        copy = self._copies.pop(place.name, None)
        if copy is not None:
            await self.remove(place, copy.value)

    def copy(self, place: Place) -> str | None:
        """Return this process's own copy, without asking the store."""
        copy = self._copies.get(place.name)
        return None if copy is None else copy.value

    def wants_saving(self, place: Place) -> bool:
        """The store could not save the copy, and it is time to try again."""
        copy = self._copies.get(place.name)
        refused_at = None if copy is None else copy.refused_at
        return refused_at is not None and self._now() - refused_at >= RETRY_EVERY_S

    async def read(self, place: Place) -> Seen:
        """Ask the store alone. This process keeps no copy."""
        answered, sealed = await self._reads.attempt(self._store.get, place.name)
        return Seen(True, self._opened(place, sealed), sealed) if answered else Seen(False)

    async def replace(self, place: Place, value: str, *, seen: Seen, ttl_s: float) -> bool | None:
        """Write if the entry is still as it was seen. Return if it was written; None: the store failed."""
        sealed = self._seal.close(place, value)
        if seen.sealed is None:
            worked, written = await self._writes.attempt(self._store.add, place.name, sealed, ttl_s=ttl_s)
        else:
            worked, written = await self._writes.attempt(
                self._store.put, place.name, sealed, ttl_s=ttl_s, instead_of=seen.sealed
            )
        return bool(written) if worked else None

    async def holds(self, place: Place) -> bool:
        """Tell if there is an entry, even under another seal; a failing store holds nothing."""
        _, sealed = await self._reads.attempt(self._store.get, place.name)
        return sealed is not None

    async def add(self, place: Place, value: str, *, ttl_s: float) -> bool:
        """Write if there is no entry. With a failing store this process is alone, and there never is one."""
        worked, added = await self._writes.attempt(
            self._store.add, place.name, self._seal.close(place, value), ttl_s=ttl_s
        )
        return not worked or added is True

    async def prolong(self, place: Place, value: str, *, ttl_s: float) -> bool:
        """Prolong the entry while it holds this value. With a failing store no other process replaces it."""
        sealed = self._seal.close(place, value)
        worked, written = await self._writes.attempt(
            self._store.put, place.name, sealed, ttl_s=ttl_s, instead_of=sealed
        )
        return not worked or written is True

    async def remove(self, place: Place, value: str) -> bool:
        """Say whether it is certain that the entry does not hold the value any more."""
        worked, _ = await self._writes.attempt(self._store.remove, place.name, self._seal.close(place, value))
        return worked

    def _opened(self, place: Place, sealed: str | None) -> str | None:
        return None if sealed is None else self._seal.open(place, sealed)

    def _remember(self, place: Place, copy: _Copy | None) -> None:
        self._copies.pop(place.name, None)
        if copy is None:
            return
        self._copies[place.name] = copy  # the last of the dict: touched last
        if len(self._copies) > self._max_copies:
            others = (name for name, copy in self._copies.items() if not copy.is_nowhere_else)
            del self._copies[next(others, next(iter(self._copies)))]

    def _is_over(self, copy: _Copy) -> bool:
        return copy.expires_at is not None and copy.expires_at <= self._now()


class _Circuit:
    """One kind of operation: in time or not at all, and not at all for a while after a failure."""

    def __init__(self, what_fails: str, now: Callable[[], float]) -> None:
        self.problem: str | None = None
        self.has_worked = False
        self.recoveries = 0
        self._what_fails = what_fails
        self._now = now
        self._tried_at = 0.0

    async def attempt(
        self,
        operation: Callable[..., Awaitable[T]],
        *args: object,
        is_vital: bool = False,
        **options: object,
    ) -> tuple[bool, T | None]:
        """Return if it worked, and its result."""
        if self.problem is not None and not is_vital:
            if 0 <= self._now() - self._tried_at < REST_S:
                return False, None
            self._tried_at = self._now()  # one tries whether it works again; the others do without meanwhile
        try:
            async with patience(OPERATION_TIMEOUT_S):
                result = await operation(*args, **options)
        except Exception as error:  # noqa: BLE001 - a backend has errors of its own, and no error may spoil an answer
            self._note_failure(type(error).__name__)
            return False, None
        self.has_worked = True
        if self.problem is not None:
            self.problem = None
            self.recoveries += 1
            log.info("the store works again")
        return True, result

    def _note_failure(self, name: str) -> None:
        if self.problem is None:
            log.warning("the store %s (%s); going on within this process", self._what_fails, name)
        self.problem = f"{self._what_fails} ({name})"
        self._tried_at = self._now()
