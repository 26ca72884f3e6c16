"""Taking turns among the processes that share a store: one at a time refreshes a chain."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import msgspec

from lib.errors import NoAccountAvailable
from lib.store import Change
from lib.store.circuit import REST_S
from lib.store.hold import Hold
from lib.store.shared import Altered, SharedState
from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.chatglm.accounts.chain import (
    CHAIN_TTL_S,
    CHAINS,
    FIRST_NOTE_TTL_S,
    NOTES,
    Chain,
    Note,
    chain_place,
    learn_chain,
    lock_place,
    made_at,
    note_place,
    will_do,
)

LOCK_TTL_S = 30.0
"""Another process tries after this time."""
MAX_WAIT_S = 8.0
"""A request waits so long for another process's refresh. It takes a second, unless the process was killed. If
that process certainly exists, the request waits for as long as the lock lives."""
MAX_SURPRISES = 3
"""So often the record may turn out to be another one than this process knew, before it waits a moment."""
MIN_POLL_S = 0.05
MAX_POLL_S = 1.0


class Pauses(msgspec.Struct, frozen=True):
    """The ways to let time pass between two looks. A test passes its own."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random


class Turn:
    """The right to refresh, and the record at the time when this process got it."""

    def __init__(
        self, state: SharedState, account: Account, lock: Hold, *, version: str | None, cut_off: Note | None
    ) -> None:
        self.lock = lock
        self.cut_off = cut_off
        """The note of an earlier refresh with an unknown end."""
        self.version = version
        """The sealed chain that the store has."""
        self.is_open = False
        """The upstream was asked, and its answer is not known."""
        self._is_over = False
        self._state = state
        self._account = account

    def note_version(self) -> None:
        """The chain was read once more."""
        self.version = self._state.version(chain_place(self._account))

    async def keep(self, chain: Chain) -> None:
        """Keep the new chain: one step compares it with the version, writes it, and drops lock and note."""
        place, end = chain_place(self._account), self.lock.giving_up((note_place(self._account),))
        step = Change(when={**end.when, place.name: (self.version,)}, drops=end.drops)
        self._is_over = await self._state.keep_along(
            place, CHAINS.encode(chain), ttl_s=CHAIN_TTL_S, rank=made_at, change=step
        )
        self.is_open, self.cut_off = False, None

    async def end(self) -> None:
        """Give the lock up. A note stays if an end is not known, be it that of an earlier refresh."""
        if not self._is_over:
            is_known = self.cut_off is None and not self.is_open
            await self.lock.give_up(drops=(note_place(self._account),) if is_known else ())


class Contest:
    """One process's way to a turn, or to the chain that another process has made meanwhile.

    Each look is one trip. A note that was read before the lock was taken may be stale, so the step that takes
    the lock says which chain and which note it expects, and leaves a note.
    """

    def __init__(
        self, state: SharedState, account: Account, refused: str, now: Callable[[], float], pauses: Pauses
    ) -> None:
        self._state = state
        self._account = account
        self._refused = refused
        self._now = now
        self._pauses = pauses
        self._lock = Hold(state, lock_place(account), ttl_s=LOCK_TTL_S, now=now)
        self._own_note = state.sealed(note_place(account), NOTES.encode(Note(now(), self._lock.mark)))
        self._version = state.version(chain_place(account))
        self._left: str | None = None
        """The sealed note that the store has, as far as we know."""

    async def turn_or_chain(self) -> Turn | Chain:
        """Wait until the refresh is ours to make, or another process has made it."""
        waited_s, poll_s, surprises = 0.0, MIN_POLL_S, 0
        while True:
            taken = await self._look()
            chain = CHAINS.decode(self._state.copy(chain_place(self._account)))
            if chain is not None and self._will_do(chain):
                if taken.is_done:
                    await self._turn(taken).end()
                return chain
            if taken.is_done:
                return self._turn(taken)
            is_held = self._lock.is_anothers(taken) and not self._lock.can_take_over
            if not is_held and surprises < MAX_SURPRISES:
                surprises += 1
                continue
            if waited_s >= (LOCK_TTL_S if self._lock.is_in_living_hands else MAX_WAIT_S):
                raise NoAccountAvailable(
                    f"account {self._account.label}: another process has not finished its refresh",
                    retry_after_s=REST_S,
                    retry="elsewhere",
                )
            delay_s = poll_s * (0.5 + self._pauses.chance() / 2)
            await self._pauses.sleep(delay_s)
            waited_s, poll_s = waited_s + delay_s, min(2 * poll_s, MAX_POLL_S)

    async def _look(self) -> Altered:
        """Try to take the lock of the record as we know it, and learn how it is."""
        place, note = chain_place(self._account), note_place(self._account)
        ttl_s = FIRST_NOTE_TTL_S if self._state.copy(place) is None else CHAIN_TTL_S
        taken = await self._lock.take(
            when={place.name: (self._version,), note.name: (self._left,)},
            puts={note.name: (self._own_note, ttl_s)} if self._left is None else {},
            reads=(place, note),
        )
        learn_chain(self._state, self._account, taken)
        if not taken.is_done and taken.found is not None:
            self._version, self._left = taken.found[place.name], taken.found[note.name]
        return taken

    def _turn(self, taken: Altered) -> Turn:
        """Our own note is of an attempt that asked for nothing: another process held us up before it."""
        is_own = self._left in (None, self._own_note)
        left = None if is_own else self._state.opened(taken, note_place(self._account))
        cut_off = NOTES.decode(left)
        return Turn(self._state, self._account, self._lock, version=self._version, cut_off=cut_off)

    def _will_do(self, chain: Chain) -> bool:
        return will_do(chain, self._refused, self._now(), has_problem=self._state.problem is not None)
