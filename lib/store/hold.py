"""Excluding other processes for a while: by a field that only its holder can prolong or remove."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence

from lib.store import Change
from lib.store.seal import Place
from lib.store.shared import Altered, SharedState


class Hold:
    """A field of a record that expires by itself. A holder that was held up for longer notices it when it
    confirms.

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
        self.mark = mark or state.processes.mark(secrets.token_hex(8))
        """No other holder has this value."""
        self.ttl_s = ttl_s
        self.place = place
        self._state = state
        self._sealed = state.sealed(place, self.mark)
        self._now = now
        self._proven_at = float("-inf")
        self.is_in_living_hands = False
        """The process of the holder that the last attempt found certainly exists."""
        self._gone: str | None = None
        """The sealed mark of a holder whose process has ended on this machine."""

    async def take(
        self,
        *,
        when: Mapping[str, tuple[str | None, ...]] | None = None,
        puts: Mapping[str, tuple[str, float]] | None = None,
        reads: Sequence[Place] = (),
    ) -> Altered:
        """Become the holder, or stay it, in one step with other fields of the record.

        The mark of a holder whose process has ended is taken over by the next attempt.
        """
        gone = () if self._gone is None else (self._gone,)
        change = Change(
            when={self.place.name: (None, self._sealed, *gone), **(when or {})},
            puts={self.place.name: (self._sealed, self.ttl_s), **(puts or {})},
            reads=(self.place.name, *(place.name for place in reads)),
        )
        asked_at = self._now()
        altered = await self._state.alter(self.place.record, change)
        self._note(asked_at, altered.is_done)
        holder = self._state.opened(altered, self.place)
        processes, is_held = self._state.processes, not altered.is_done and holder is not None
        is_gone = is_held and processes.is_gone(holder or "")
        self.is_in_living_hands = is_held and processes.is_there(holder or "")
        self._gone = altered.found[self.place.name] if is_gone and altered.found is not None else None
        return altered

    def is_anothers(self, taken: Altered) -> bool:
        """Tell whether another process holds it, from an attempt to take it."""
        return taken.found is not None and taken.found[self.place.name] not in (None, self._sealed)

    @property
    def can_take_over(self) -> bool:
        """The holder that the last attempt found has ended: another attempt will do."""
        return self._gone is not None

    async def retake(self) -> bool:
        """Prolong it, or take it again if it expired and no other process has it."""
        return (await self.take()).is_done

    async def prolong(self) -> bool:
        """Live for the whole time again; False if it expired meanwhile, even if no other process took it."""
        name = self.place.name
        change = Change(when={name: (self._sealed,)}, puts={name: (self._sealed, self.ttl_s)})
        asked_at = self._now()
        altered = await self._state.alter(self.place.record, change)
        return self._note(asked_at, altered.is_done)

    def is_sure(self, *, for_s: float) -> bool:
        """Tell whether it stays ours for so long, without asking the store."""
        return for_s <= self._proven_at + self.ttl_s - self._now() <= self.ttl_s

    async def confirm(self, *, for_s: float) -> bool:
        """Make sure that it stays ours for so long; ask the store only if that is not certain."""
        return self.is_sure(for_s=for_s) or await self.prolong()

    def giving_up(self, drops: Sequence[Place] = ()) -> Change:
        """Return the step that gives it up, together with other fields of the record."""
        names = (place.name for place in drops)
        return Change(when={self.place.name: (self._sealed,)}, drops=(self.place.name, *names))

    async def give_up(self, *, drops: Sequence[Place] = (), saves: Sequence[Place] = ()) -> bool:
        """Return True if the field is certainly not ours any more. The copies that were held back for
        `saves` are written along."""
        puts = {name: put for place in saves for name, put in self._state.held_back(place).items()}
        step = self.giving_up(drops)
        altered = await self._state.alter(
            self.place.record, Change(when=step.when, puts=puts, drops=step.drops)
        )
        for place in saves:
            if altered.worked and altered.is_done:
                self._state.note_saved(place, puts)
            elif altered.worked and place.name in puts:  # It expired: the note counts all the same.
                await self._state.save(place)
        return altered.worked

    def _note(self, asked_at: float, is_ours: bool) -> bool:
        if is_ours:
            self._proven_at = asked_at
        return is_ours
