"""memory://: the memory of one process."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable

from lib.store import Change, Outcome, latest_end

MAX_ENTRIES = 50_000
"""Some 50 MB of tokens. Beyond it the entries that expire first are dropped: leases before tokens."""
FIRST_PURGE = 1_000


class MemoryStore:
    """Atomic because nothing here awaits."""

    def __init__(self, *, now: Callable[[], float] = time.time, max_entries: int = MAX_ENTRIES) -> None:
        self._now = now
        self._max_entries = max_entries
        self._purge_above = min(FIRST_PURGE, max_entries)
        self._entries: dict[str, tuple[str, float]] = {}

    def __len__(self) -> int:
        """How many entries are held, expired ones included until the next purge."""
        return len(self._entries)

    async def get(self, key: str) -> str | None:
        return self._live(key)

    async def put(self, key: str, value: str, *, ttl_s: float, instead_of: str | None = None) -> bool:
        if instead_of is not None and self._live(key) != instead_of:
            return False
        self._write(key, value, ttl_s)
        return True

    async def add(self, key: str, value: str, *, ttl_s: float) -> bool:
        if not self._is_absent(key, latest_end(ttl_s, self._now())):
            return False
        self._write(key, value, ttl_s)
        return True

    async def remove(self, key: str, value: str) -> bool:
        if self._live(key) != value:
            return False
        del self._entries[key]
        return True

    async def alter(self, _record: str, change: Change, /) -> Outcome:
        found = {name: self._live(name) for name in change.reads}
        if not all(self._meets(name, change) for name in change.when):
            return Outcome(False, found)
        for name, (value, ttl_s) in change.puts.items():
            self._write(name, value, ttl_s)
        for name in change.drops:
            self._entries.pop(name, None)
        return Outcome(True, found)

    async def close(self) -> None:
        """Keep everything: there is nothing to give back."""

    def _live(self, key: str) -> str | None:
        entry = self._entries.get(key)
        return entry[0] if entry is not None and entry[1] > self._now() else None

    def _is_absent(self, key: str, latest_end: float) -> bool:
        return self._live(key) is None or self._entries[key][1] > latest_end

    def _meets(self, name: str, change: Change) -> bool:
        allowed = change.when[name]
        if self._live(name) in allowed:
            return True
        return None in allowed and self._is_absent(name, change.end_of_doubt(name, self._now()))

    def _write(self, key: str, value: str, ttl_s: float) -> None:
        self._entries[key] = (value, self._now() + ttl_s)
        if len(self._entries) > self._purge_above:
            self._purge()

    def _purge(self) -> None:
        """Drop the expired entries, or a tenth if all are alive; the next purge is due at twice as many."""
        now = self._now()
        self._entries = {key: entry for key, entry in self._entries.items() if entry[1] > now}
        if len(self._entries) > self._max_entries:
            excess = len(self._entries) - self._max_entries * 9 // 10
            for key in heapq.nsmallest(excess, self._entries, key=lambda key: self._entries[key][1]):
                del self._entries[key]
        self._purge_above = min(self._max_entries, max(FIRST_PURGE, 2 * len(self._entries)))
