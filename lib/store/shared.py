"""The store as accounts use it: if it fails, this process goes on by itself."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec

from lib.store import Change, Store
from lib.store.circuit import REST_S, Circuit
from lib.store.copies import MAX_COPIES, Copies, Copy, Rank
from lib.store.processes import Processes
from lib.store.seal import Place, Seal, Unsealed
from lib.store.seen import Seen
from lib.tasks import start

OFFER_EVERY_S = 180.0
"""The store gets the ranked values again so often: it may have been emptied or replaced meanwhile."""
OFFER_S = 5.0
"""The end of a request, and `/health`, wait so long for that."""
FLUSH_S = 8.0
"""The end of a process waits so long for it."""
OVERTAKEN_TIMES = 3
"""A write that was overtaken so often is made in any case: something is odd."""
PROBE = "probe"


class Altered(msgspec.Struct, frozen=True):
    """The answer to one step on a record. If the store fails, this process is alone, and a step is made."""

    worked: bool
    is_done: bool
    found: Mapping[str, str | None] | None
    """The sealed values. None: the store cannot be read either."""
    known: Mapping[str, Copy | None]
    """The copies at the time of the question."""


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
        processes: Processes | None = None,
        max_copies: int = MAX_COPIES,
    ) -> None:
        self.processes = processes or Processes()
        self._store = store
        self._now = now
        self._seal = seal or Unsealed()
        self._copies = Copies(now, max_copies)
        # Apart, since a full store, or a replica, can still be read.
        self._reads = Circuit("cannot be read", now)
        self._writes = Circuit("takes no writes", now)
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
        if not done:
            return "does not answer"
        await self.offer()
        return probing.result()

    async def recall(
        self, place: Place, *, rank: Rank | None = None, ttl_s: float | None = None
    ) -> str | None:
        """Ask the store; if it fails, or has not taken our last value yet, answer from the copy.

        With `rank` the newer of copy and store counts. A store that has no value, or an older one, gets
        the copy again, for `ttl_s`.
        """
        place = self._seal.without_secret(place)
        copy = self._copies.get(place.name)
        unsaved = self._copies.unsaved(place.name)
        if rank is None and unsaved is not None:
            await self.keep(place, unsaved.value, ttl_s=self._copies.remaining_s(unsaved))
            return unsaved.value
        worked, sealed = await self._reads.attempt(self._get, place)
        latest = self._copies.get(place.name)
        if latest is not copy:  # Written meanwhile, and newer than the value that was read.
            return None if latest is None else latest.value
        if not worked:
            return None if copy is None or self._copies.is_over(copy) else copy.value
        value = self._opened(place, sealed)
        if copy is not None and rank and (value is None or rank(copy.value) > rank(value)):
            await self.keep(place, copy.value, ttl_s=ttl_s or REST_S, rank=rank)
            return self.copy(place)
        self._note_read(place, value, rank, ttl_s)
        return value

    async def keep(
        self, place: Place, value: str, *, ttl_s: float, rank: Rank | None = None, is_vital: bool = False
    ) -> None:
        """Write to the copy first, so that no failure or cancellation loses it, then to the store.

        With `rank` a newer value stays in the store, and becomes the copy. A vital value is offered even to a
        store that rests from a failure.
        """
        now, place = self._now(), self._seal.without_secret(place)
        unsaved = Copy(place, value, now + ttl_s, refused_at=now, rank=rank, ttl_s=ttl_s)
        self._copies.remember(unsaved)
        if rank is None:
            sealed = self._seal.close(place, value)
            worked, _ = await self._writes.attempt(self._put, place, sealed, ttl_s=ttl_s)
            newest = value
        else:
            worked, newest = await self._keep_newest(place, value, rank, ttl_s=ttl_s, is_vital=is_vital)
        if worked and self._copies.get(place.name) is unsaved:
            ends_at = now + ttl_s if newest == value else None
            self._copies.remember(Copy(place, newest, ends_at, rank=rank, ttl_s=ttl_s))

    async def _keep_newest(
        self, place: Place, value: str, rank: Rank, *, ttl_s: float, is_vital: bool, may_be_old: bool = False
    ) -> tuple[bool, str]:
        """Write over the value that was read and no other; return if that worked, and the value there now.

        With `may_be_old` nothing is written to a store that cannot be read.
        """
        sealed = self._seal.close(place, value)
        for _ in range(OVERTAKEN_TIMES):
            worked, there = await self._reads.attempt(self._get, place, is_vital=is_vital)
            if not worked:
                break
            other = self._opened(place, there)
            if other is not None and (other == value or rank(other) > rank(value)):
                return True, other
            worked, written = await self._writes.attempt(
                self._put, place, sealed, ttl_s=ttl_s, is_vital=is_vital, when=(there,)
            )
            if not worked or written:
                return worked, value
        if may_be_old:
            return False, value
        # A store that cannot be read may take it all the same.
        worked, _ = await self._writes.attempt(self._put, place, sealed, ttl_s=ttl_s, is_vital=is_vital)
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
            await self._offer_all(is_vital=False, within_s=OFFER_S)

    def doubt(self) -> None:
        """Offer the ranked values at the next `offer`: the store may have lost them."""
        self._offered_at = float("-inf")

    async def flush(self) -> None:
        """Offer the store once more every value that it may lack, before this process ends."""
        await self._offer_all(is_vital=True, within_s=FLUSH_S)

    async def _offer_all(self, *, is_vital: bool, within_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._offer_each(is_vital=is_vital)

    async def _offer_each(self, *, is_vital: bool) -> None:
        for copy in self._copies.to_offer():
            if self._copies.living(copy.place.name) is not copy:
                continue  # Replaced meanwhile, or over.
            if copy.is_nowhere_else:
                ttl_s = copy.ttl_s or REST_S
                await self.keep(copy.place, copy.value, ttl_s=ttl_s, rank=copy.rank, is_vital=is_vital)
            else:
                await self._give_again(copy, is_vital=is_vital)

    async def _give_again(self, copy: Copy, *, is_vital: bool) -> None:
        """Offer a value that the store once had. Another process may have replaced it by a newer one."""
        assert copy.rank is not None
        ttl_s = copy.ttl_s or REST_S
        worked, newest = await self._keep_newest(
            copy.place, copy.value, copy.rank, ttl_s=ttl_s, is_vital=is_vital, may_be_old=True
        )
        if worked and newest != copy.value and self._copies.get(copy.place.name) is copy:
            self._copies.remember(Copy(copy.place, newest, rank=copy.rank, ttl_s=ttl_s))

    async def close(self) -> None:
        await self.flush()
        await self._store.close()

    async def drop(self, place: Place) -> None:
        """Remove the copy's value, unless another process has written another one since."""
        copy = self._copies.forget(place.name)
        if copy is not None:
            await self.remove(place, copy.value)

    def copy(self, place: Place) -> str | None:
        """Return this process's own copy, without asking the store."""
        copy = self._copies.get(place.name)
        return None if copy is None else copy.value

    def wants_saving(self, place: Place) -> bool:
        """The store could not save the copy, and it is time to try again."""
        return self._copies.wants_saving(place.name)

    async def read(self, place: Place) -> Seen:
        """Ask the store alone. This process keeps no copy."""
        answered, sealed = await self._reads.attempt(self._get, place)
        return Seen(answered, self._opened(place, sealed), sealed)

    async def replace(self, place: Place, value: str, *, seen: Seen, ttl_s: float) -> bool | None:
        """Write if the entry is still as it was seen. Return if it was written; None: the store failed."""
        sealed, when = self._seal.close(place, value), (seen.sealed,)
        return (await self._writes.attempt(self._put, place, sealed, ttl_s=ttl_s, when=when))[1]

    async def holds(self, place: Place) -> bool:
        """Tell if there is an entry, even under another seal; a failing store holds nothing."""
        return (await self.read(place)).sealed is not None

    async def add(self, place: Place, value: str, *, ttl_s: float) -> bool:
        """Write if there is no entry. With a failing store this process is alone, and there never is one."""
        sealed = self._seal.close(place, value)
        worked, added = await self._writes.attempt(self._store.add, place.name, sealed, ttl_s=ttl_s)
        return not worked or added is True

    async def remove(self, place: Place, value: str) -> bool:
        """Say whether it is certain that the entry does not hold the value any more."""
        worked, _ = await self._writes.attempt(self._remove, place, self._seal.close(place, value))
        return worked

    async def alter(self, record: str, change: Change) -> Altered:
        """Make one step on a record. Names and sealed values are the caller's; see `sealed` and `learn`."""
        known = {name: self._copies.get(name) for name in change.reads}
        _, outcome = await self._writes.attempt(self._store.alter, record, change)
        if outcome is not None:
            self._reads.note_success()
            return Altered(True, outcome.is_done, outcome.found, known)
        if change.reads:  # A full store, or a replica, can still be read.
            _, outcome = await self._reads.attempt(self._store.alter, record, Change(reads=change.reads))
        return Altered(False, True, None if outcome is None else outcome.found, known)

    def learn(
        self, altered: Altered, place: Place, *, rank: Rank | None = None, ttl_s: float | None = None
    ) -> str | None:
        """Return the value of a field that a step has read, and keep a copy, as `recall` does.

        A copy that the store lacks counts, and the store gets it again after the last word.
        """
        place = self._seal.without_secret(place)
        copy = self._copies.get(place.name)
        if copy is not altered.known[place.name]:  # Written meanwhile, and newer.
            return None if copy is None else copy.value
        unsaved = self._copies.unsaved(place.name)
        if rank is None and unsaved is not None:
            return unsaved.value
        if altered.found is None:
            return None if copy is None or self._copies.is_over(copy) else copy.value
        value = self._opened(place, altered.found[place.name])
        if copy is not None and rank and (value is None or rank(copy.value) > rank(value)):
            self.doubt()  # The store was emptied, or is older: it gets the value after the last word.
            return copy.value
        self._note_read(place, value, rank, ttl_s)
        return value

    def sealed(self, place: Place, value: str) -> str:
        return self._seal.close(place, value)

    def version(self, place: Place) -> str | None:
        """Return the sealed value that the store has, as far as this process knows."""
        copy = self._copies.get(place.name)
        return None if copy is None or copy.refused_at is not None else self._seal.close(place, copy.value)

    def opened(self, altered: Altered, place: Place) -> str | None:
        """Return the value of a field that a step has read, and keep no copy."""
        return None if altered.found is None else self._opened(place, altered.found[place.name])

    def hold_back(self, place: Place, value: str, *, ttl_s: float) -> None:
        """Keep a copy alone for now. A later step writes it: see `held_back` and `note_saved`."""
        now, place = self._now(), self._seal.without_secret(place)
        self._copies.remember(Copy(place, value, now + ttl_s, refused_at=now))

    def held_back(self, place: Place) -> dict[str, tuple[str, float]]:
        """Return what a step must put, if the store has not got this copy."""
        unsaved = self._copies.unsaved(place.name)
        if unsaved is None:
            return {}
        return {place.name: (self._seal.close(place, unsaved.value), self._copies.remaining_s(unsaved))}

    def note_saved(self, place: Place, puts: Mapping[str, tuple[str, float]]) -> None:
        """A step has written this, unless the copy was changed since."""
        copy = self._copies.get(place.name)
        if copy is not None and place.name in puts and puts[place.name][0] == self.sealed(place, copy.value):
            self._copies.note_saved(copy)

    async def save(self, place: Place) -> None:
        """Write a copy that was held back, by itself."""
        copy = self._copies.get(place.name)
        if copy is not None and copy.refused_at is not None:
            await self.keep(place, copy.value, ttl_s=self._copies.remaining_s(copy))

    async def keep_along(self, place: Place, value: str, *, ttl_s: float, rank: Rank, change: Change) -> bool:
        """Keep a vital value in one step with other fields. If that fails, keep it by itself.

        Return True if the whole step was made.
        """
        now, place = self._now(), self._seal.without_secret(place)
        self._copies.remember(Copy(place, value, now + ttl_s, refused_at=now, rank=rank, ttl_s=ttl_s))
        puts = {place.name: (self._seal.close(place, value), ttl_s)}
        step = Change(when=change.when, puts=puts, drops=change.drops)
        _, outcome = await self._writes.attempt(self._store.alter, place.record, step, is_vital=True)
        if outcome is not None and outcome.is_done:
            self.note_saved(place, puts)
            return True
        await self.keep(place, value, ttl_s=ttl_s, rank=rank, is_vital=True)
        return False

    async def _get(self, place: Place) -> str | None:
        if not place.record:
            return await self._store.get(place.name)
        return (await self._store.alter(place.record, Change(reads=(place.name,)))).found[place.name]

    async def _put(
        self, place: Place, sealed: str, *, ttl_s: float, when: tuple[str | None] | None = None
    ) -> bool:
        """Write; with `when` only over this value, or if there is none."""
        if place.record:
            condition = {} if when is None else {place.name: when}
            step = Change(when=condition, puts={place.name: (sealed, ttl_s)})
            return (await self._store.alter(place.record, step)).is_done
        if when == (None,):
            return await self._store.add(place.name, sealed, ttl_s=ttl_s)
        there = None if when is None else when[0]
        return await self._store.put(place.name, sealed, ttl_s=ttl_s, instead_of=there)

    async def _remove(self, place: Place, sealed: str) -> bool:
        if not place.record:
            return await self._store.remove(place.name, sealed)
        step = Change(when={place.name: (sealed,)}, drops=(place.name,))
        return (await self._store.alter(place.record, step)).is_done

    def _opened(self, place: Place, sealed: str | None) -> str | None:
        return None if sealed is None else self._seal.open(place, sealed)

    def _note_read(self, place: Place, value: str | None, rank: Rank | None, ttl_s: float | None) -> None:
        """The store has this value, or none."""
        if value is None:
            self._copies.forget(place.name)
        else:
            self._copies.remember(Copy(place, value, rank=rank, ttl_s=ttl_s))
