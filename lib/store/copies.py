"""The copies of a process: the values that it wrote to the store, or read from it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from lib.store.seal import Place

MAX_COPIES = 4_000
"""So many records of some 2 kB are 8 MB. Beyond it the copy that was not touched for longest goes."""
RETRY_EVERY_S = 30.0
"""A copy that the store could not take is offered again so often, by requests that need not wait for it."""
MAX_OFFERED = 200
"""So many values, the last used ones, are offered at a time. A person has fewer accounts."""

Rank = Callable[[str], float]
"""Ranks the values of one entry: the higher rank is newer, in any order of the writes."""


class Copy(msgspec.Struct, frozen=True):
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
        return f"Copy({self.place!r})"

    @property
    def is_nowhere_else(self) -> bool:
        return self.rank is not None and self.refused_at is not None


class Copies:
    """At most `max_copies` of them, by the names of their places. None of them asks the store."""

    def __init__(self, now: Callable[[], float], max_copies: int) -> None:
        self._now = now
        self._max = max_copies
        self._copies: dict[str, Copy] = {}

    def get(self, name: str) -> Copy | None:
        return self._copies.get(name)

    def living(self, name: str) -> Copy | None:
        """Return the copy, unless its time is over."""
        copy = self._copies.get(name)
        return None if copy is None or self.is_over(copy) else copy

    def unsaved(self, name: str) -> Copy | None:
        """Return the living copy, if the store could not take it or was not asked yet."""
        copy = self.living(name)
        return None if copy is None or copy.refused_at is None else copy

    def is_over(self, copy: Copy) -> bool:
        return copy.expires_at is not None and copy.expires_at <= self._now()

    def remaining_s(self, copy: Copy) -> float:
        """Return the rest of the life of a copy whose end is known."""
        assert copy.expires_at is not None
        return copy.expires_at - self._now()

    def remember(self, copy: Copy) -> None:
        """Keep it as the one that was touched last."""
        self._copies.pop(copy.place.name, None)
        self._copies[copy.place.name] = copy
        if len(self._copies) > self._max:
            others = (name for name, copy in self._copies.items() if not copy.is_nowhere_else)
            del self._copies[next(others, next(iter(self._copies)))]

    def forget(self, name: str) -> Copy | None:
        return self._copies.pop(name, None)

    def note_saved(self, copy: Copy) -> None:
        """The store has this copy now."""
        self._copies[copy.place.name] = msgspec.structs.replace(copy, refused_at=None)

    def wants_saving(self, name: str) -> bool:
        """The store could not take the copy, and it is time to try again."""
        copy = self._copies.get(name)
        refused_at = None if copy is None else copy.refused_at
        # A clock may be set back: a time to come is no reason to wait.
        return refused_at is not None and not 0 <= self._now() - refused_at < RETRY_EVERY_S

    def to_offer(self) -> list[Copy]:
        """Return the ranked values that the store may lack: first the ones that are nowhere else."""
        ranked = [copy for copy in self._copies.values() if copy.rank is not None and not self.is_over(copy)]
        others = [copy for copy in ranked if not copy.is_nowhere_else][-MAX_OFFERED:]
        return [copy for copy in ranked if copy.is_nowhere_else] + others
