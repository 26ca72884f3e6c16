"""A request's way through its keys: the gate, the retries, and the next key after 401 or 1113."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import Generic, TypeVar

import msgspec

from lib.errors import AccountRefused, GatewayError, NoAccountAvailable, QuotaExceeded
from lib.trace import Trace
from lib.upstreams.official.wire import refusals
from lib.upstreams.official.wire.gate import Gate, Gates
from lib.upstreams.official.wire.keys import Key

T = TypeVar("T")

MAX_KNOWN = 1000
"""The process remembers so many refusals. A stranger can send any number of wrong keys."""


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """The waits between two attempts with one key. A test passes its own."""

    too_many_s: tuple[float, ...] = (1.0, 2.0)
    """After 1302: the API refuses at once and does not queue."""
    overloaded_s: tuple[float, ...] = (1.0,)
    broken_s: tuple[float, ...] = (0.5,)
    jitter: float = 0.25
    """Each wait is longer by up to this share, so that refused requests do not come back together."""
    refused_for_s: float = 300.0
    """A refused key is not asked again for so long."""
    no_balance_for_s: float = 60.0
    """A key without balance for a model is not asked for that model again for so long."""

    def waits_after(self, error: GatewayError) -> tuple[float, ...]:
        """Return the waits before each further attempt; empty means that none helps."""
        match error.number:
            case number if number in refusals.TOO_MANY:
                return self.too_many_s
            case number if number in refusals.OVERLOADED or number == refusals.SEARCH_BUSY:
                return self.overloaded_s
            case refusals.REPEATED_ID:
                return (0.0,)
            case number if number in refusals.BREAKDOWNS:
                return self.broken_s
        return self.broken_s if number is None and (error.http_status or 0) >= 500 else ()


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """The terms of one request."""

    model: str
    trace: Trace
    until: float | None = None
    """It waits for a place no longer than until then, in the loop's time."""
    once: bool = False
    """An attempt may cost something even if the API broke down: then none is repeated."""


class _Known(msgspec.Struct, frozen=True):
    until: float
    refusal: GatewayError


class KeyRing:
    """The gates of all keys, and the keys that were refused lately."""

    def __init__(
        self,
        *,
        wait_s: float = 30.0,
        patience: Patience | None = None,
        gates: Gates | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._wait_s = wait_s
        self._patience = patience or Patience()
        self._gates = gates or Gates()
        self._clock = clock
        self._known: dict[tuple[str, str], _Known] = {}

    @asynccontextmanager
    async def opened(
        self, keys: Sequence[Key], attempt: Callable[[Key], Awaitable[T]], terms: Terms
    ) -> AsyncIterator[T]:
        """Give the result of the first success. Its key's place is taken until the block ends."""
        asking = _Asking(attempt, terms, self._patience, self._end_of(terms))
        gate, result = await self._first_success(keys, asking)
        try:
            yield result
        finally:
            gate.leave()

    async def ask(self, keys: Sequence[Key], attempt: Callable[[Key], Awaitable[T]], terms: Terms) -> T:
        """Do the same for an attempt that returns a whole answer."""
        async with self.opened(keys, attempt, terms) as result:
            return result

    def _end_of(self, terms: Terms) -> float:
        wait_until = asyncio.get_running_loop().time() + self._wait_s
        return wait_until if terms.until is None else min(wait_until, terms.until)

    async def _first_success(self, keys: Sequence[Key], asking: _Asking[T]) -> tuple[Gate, T]:
        model = asking.terms.model
        refusal: GatewayError = NoAccountAvailable("No key of the official API is here. Set GLM_API_KEYS.")
        for key in keys:
            if (known := self._known_refusal(key, model)) is not None:
                refusal = known
                continue
            gate = self._gates.of(key, model)
            try:
                return gate, await asking.of(key, gate)
            except GatewayError as error:
                if not self._note(key, model, error):
                    raise
                refusal = error
        raise refusal

    def _known_refusal(self, key: Key, model: str) -> GatewayError | None:
        for name in ((key.text, ""), (key.text, model)):
            known = self._known.get(name)
            if known is not None and self._clock() < known.until:
                return known.refusal
        return None

    def _note(self, key: Key, model: str, error: GatewayError) -> bool:
        """Remember a refusal that only another key can help against. Tell whether it is one."""
        if isinstance(error, AccountRefused):
            name, seconds = (key.text, ""), self._patience.refused_for_s
        elif isinstance(error, QuotaExceeded) and error.number == refusals.NO_BALANCE:
            name, seconds = (key.text, model), self._patience.no_balance_for_s
        else:
            return False
        now = self._clock()
        if len(self._known) >= MAX_KNOWN:
            self._known = {kept: known for kept, known in self._known.items() if now < known.until}
        if len(self._known) < MAX_KNOWN:
            self._known[name] = _Known(now + seconds, error)
        return True


class _Asking(Generic[T]):
    """The attempts of one request, first with one key and then with the next."""

    def __init__(
        self, attempt: Callable[[Key], Awaitable[T]], terms: Terms, patience: Patience, until: float
    ) -> None:
        self.terms = terms
        self._attempt = attempt
        self._patience = patience
        self._until = until

    async def of(self, key: Key, gate: Gate) -> T:
        """Return the first success with this key; the place in its gate is then taken."""
        failures = 0
        while True:
            await self._enter(gate)
            try:
                return await self._try_once(key, gate)
            except GatewayError as error:
                failures += 1
                wait_s = self._wait_after(error, failures)
                if wait_s is None:
                    raise
            await asyncio.sleep(wait_s)

    async def _enter(self, gate: Gate) -> None:
        clock = asyncio.get_running_loop().time
        asked_at = clock()
        try:
            await gate.enter(self._until)
        finally:
            self.terms.trace.spend("wait", clock() - asked_at)

    async def _try_once(self, key: Key, gate: Gate) -> T:
        self.terms.trace.tried(key.label)
        try:
            result = await self._attempt(key)
        except BaseException as error:
            if isinstance(error, GatewayError):
                self._learn(error, gate)
            gate.leave()
            raise
        gate.grow()
        return result

    def _learn(self, error: GatewayError, gate: Gate) -> None:
        self.terms.trace.refused(error)
        if error.number in refusals.TOO_MANY:
            gate.shrink()
        elif error.number in refusals.LIMIT_REACHED and error.retry_after_s is not None:
            gate.rest(error.retry_after_s, error)

    def _wait_after(self, error: GatewayError, failures: int) -> float | None:
        waits = self._patience.waits_after(error)
        is_breakdown = error.number in refusals.BREAKDOWNS or (error.http_status or 0) >= 500
        if failures > len(waits) or (self.terms.once and is_breakdown):
            return None
        wait_s = waits[failures - 1] * (1 + random.uniform(0, self._patience.jitter))
        return wait_s if asyncio.get_running_loop().time() + wait_s < self._until else None
