"""Excluding other processes for a while: by an entry that only its holder can prolong or remove."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from lib.store.seal import Place
from lib.store.shared import SharedState


class Hold:
    """An entry that expires by itself. A holder that was held up for longer notices it when it confirms.

    If the store fails, a hold excludes no other process; a caller that needs to exclude others within the
    process does that itself.
    """

    def __init__(
        self,
        state: SharedState,
        place: Place,
        *,
        ttl_s: float,
        now: Callable[[], float],
        mark: str | None = None,
    ) -> None:
        self.mark = mark or secrets.token_hex(8)
        """No other holder has this value."""
        self.ttl_s = ttl_s
        self._state = state
        self._place = place
        self._now = now
        self._proven_at = float("-inf")

    async def take(self) -> bool:
        return self._note(self._now(), await self._state.add(self._place, self.mark, ttl_s=self.ttl_s))

    async def prolong(self) -> bool:
        """Live for the whole time again; False if it expired meanwhile, even if no other process took it."""
        asked_at = self._now()
        return self._note(asked_at, await self._state.prolong(self._place, self.mark, ttl_s=self.ttl_s))

    async def confirm(self, *, for_s: float) -> bool:
        """Make sure that it stays ours for so long; ask the store only if that is not certain."""
        left_s = self._proven_at + self.ttl_s - self._now()
        return for_s <= left_s <= self.ttl_s or await self.prolong()

    async def give_up(self) -> bool:
        """Return True if the entry is certainly not ours any more."""
        return await self._state.remove(self._place, self.mark)

    def _note(self, asked_at: float, is_ours: bool) -> bool:
        if is_ours:
            self._proven_at = asked_at
        return is_ours
