"""The upstream's time. It refuses a signature that is some minutes off (40014; one observer, 2026)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from lib.errors import GatewayError

ASK_AGAIN_S = 60.0
"""We do not ask sooner: if the right time did not help, the time was not the cause."""
TRY_AGAIN_S = 5.0
"""The pause is shorter if the upstream did not answer: until then no call can succeed."""

_EARLIEST_S, _LATEST_S = 1e9, 1e11
"""2001 to 5138: a number in between is a date in seconds, and a greater one in milliseconds."""

log = logging.getLogger("glm_gateway")


class UpstreamClock:
    """Our own clock, until the upstream has answered with its time. Serves one event loop."""

    def __init__(self, *, now: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self.times_set = 0
        self._now = now
        self._monotonic = monotonic
        self._known: tuple[float, float] | None = None
        """The upstream's time, and our monotonic time at its answer."""
        self._rests_until: tuple[float, float] | None = None
        """The end of the pause by both of our clocks: a freeze stops the one, a person may set the other."""
        self._asking = asyncio.Lock()

    def now(self) -> float:
        # Not by an offset to our own clock: a correction of our clock would make it wrong.
        if self._known is None:
            return self._now()
        server_time, at = self._known
        return server_time + self._monotonic() - at

    async def correct(self, since: int, ask: Callable[[], Awaitable[float]]) -> bool:
        """Set the clock by the upstream's. Return True if it was set more than `since` times by now.

        If several calls find it wrong at once, one of them asks.
        """
        async with self._asking:
            if self.times_set != since:
                return True
            if self._rests():
                return False
            server_time = None
            try:
                server_time = await ask()
            except GatewayError as error:
                log.warning("clock not corrected", extra={"error": error.summary})
            self._rest(ASK_AGAIN_S if server_time is not None else TRY_AGAIN_S)
            if server_time is not None:
                self._set(server_time)
            return server_time is not None

    def _set(self, server_time: float) -> None:
        log.warning("clock corrected", extra={"seconds": round(server_time - self.now(), 1)})
        self._known = server_time, self._monotonic()
        self.times_set += 1

    def _rest(self, seconds: float) -> None:
        self._rests_until = self._now() + seconds, self._monotonic() + seconds

    def _rests(self) -> bool:
        if self._rests_until is None:
            return False
        wall, monotonic = self._rests_until
        return 0 < wall - self._now() <= ASK_AGAIN_S and monotonic > self._monotonic()


def read_server_time(result: Any) -> float | None:
    """Find the Unix time, in seconds, in the answer of `cur_ts`. No observer describes its shape (2026-09).

    Accepted are a number or a string, in milliseconds or in seconds, or an object that holds one.
    """
    values = result.values() if isinstance(result, dict) else [result]
    return next((time for time in map(_read_time, values) if time is not None), None)


def _read_time(value: Any) -> float | None:
    if not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    seconds = number / 1000 if number > _LATEST_S else number
    return seconds if _EARLIEST_S < seconds < _LATEST_S else None
