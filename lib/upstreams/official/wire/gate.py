"""A gate for each key and model: a few requests at once, and fewer after the API refused one more (1302)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic

import msgspec

from lib.errors import AccountBusy, GatewayError
from lib.upstreams.official.wire.keys import Key


class GateLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a gate. The API shows its own only in its console."""

    at_first: int = 4
    at_most: int = 32
    grows_after: int = 20
    """A gate takes one more after so many successes at which all its places were taken."""
    learnt_for_s: float = 60.0
    """A gate does not grow for so long after the API refused one more request."""
    max_gates: int = 1000
    """Callers may bring keys of their own. A gate that was forgotten begins anew."""


class Gate:
    """One key and one model: the requests in flight, the waiting ones, and the time until it rests."""

    def __init__(self, limits: GateLimits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._limit = limits.at_first
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._grows_at = 0.0
        self._full_successes = 0
        self._rest: tuple[float, GatewayError] | None = None

    @property
    def is_idle(self) -> bool:
        return not (self._running or self._waiting or self._resting())

    async def enter(self, until: float) -> None:
        """Wait for a place, in the loop's time. Raise the refusal that the API gave until a time."""
        self._raise_rest()
        if self._running < self._limit and not self._waiting:
            self._running += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout_at(until):
                await turn
        except TimeoutError:
            self._withdraw(turn)
            raise AccountBusy(
                "The key answers as many requests for this model at once as it may.", retry_after_s=1.0
            ) from None
        except BaseException:
            self._withdraw(turn)
            raise
        try:
            self._raise_rest()  # The request before this one may have met a limit.
        except GatewayError:
            self.leave()
            raise

    def leave(self) -> None:
        self._running -= 1
        self._admit()

    def shrink(self) -> None:
        """The API refused one of the running requests: it takes one less."""
        self._limit = max(1, min(self._limit, self._running) - 1)
        self._grows_at = self._clock() + self._limits.learnt_for_s
        self._full_successes = 0

    def grow(self) -> None:
        """A request was accepted. If all places are taken for long, try one more."""
        if self._running < self._limit or self._limit >= self._limits.at_most:
            return
        self._full_successes += 1
        if self._full_successes >= self._limits.grows_after and self._clock() >= self._grows_at:
            self._full_successes = 0
            self._limit += 1
            self._admit()

    def rest(self, seconds: float, refusal: GatewayError) -> None:
        """Refuse all requests for so long, without asking the API."""
        self._rest = (self._clock() + seconds, refusal)

    def _resting(self) -> float:
        return max(0.0, self._rest[0] - self._clock()) if self._rest else 0.0

    def _raise_rest(self) -> None:
        left_s = self._resting()
        if self._rest is not None and left_s:
            raise self._rest[1].after(left_s)

    def _admit(self) -> None:
        while self._waiting and self._running < self._limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self._running += 1
                turn.set_result(None)

    def _withdraw(self, turn: asyncio.Future[None]) -> None:
        """Leave the line. The turn may have come in the same moment: then give the place on."""
        if turn.done() and not turn.cancelled():
            self.leave()
            return
        turn.cancel()
        if turn in self._waiting:
            self._waiting.remove(turn)


class Gates:
    """The gates of a process."""

    def __init__(self, limits: GateLimits | None = None, *, clock: Callable[[], float] = monotonic) -> None:
        self._limits = limits or GateLimits()
        self._clock = clock
        self._gates: dict[tuple[str, str], Gate] = {}

    def of(self, key: Key, model: str) -> Gate:
        name = (key.text, model)
        if name not in self._gates:
            if len(self._gates) >= self._limits.max_gates:
                self._gates = {kept: gate for kept, gate in self._gates.items() if not gate.is_idle}
            self._gates[name] = Gate(self._limits, self._clock)
        return self._gates[name]
