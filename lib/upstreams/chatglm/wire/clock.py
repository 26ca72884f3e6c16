"""The upstream's time: a signature that is some minutes off is refused (40014)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from lib.errors import GatewayError

ASK_AGAIN_S = 60.0
"""Not asked sooner: where the right time has not helped, it was not the time."""
TRY_AGAIN_S = 5.0
"""Where it was not told; meanwhile no call can succeed."""

_EARLIEST_S, _LATEST_S = 1e9, 1e11
"""2001 to 5138: what lies between is a date in seconds, and what is beyond one in milliseconds."""

log = logging.getLogger("glm_gateway")


class UpstreamClock:
    """Our own clock, until the upstream has told its time; serves one event loop."""

    def __init__(self, *, now: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self.times_set = 0
        self._now = now
        self._monotonic = monotonic
        self._told: tuple[float, float] | None = None
        """The upstream's time, and our monotonic one when it told."""
        self._rests_until: tuple[float, float] | None = None
        """By both of ours: a host may have stopped the one, and somebody may have set the other."""
        self._asking = asyncio.Lock()

    def now(self) -> float:
        # What was told, and the time since: an offset to our own clock would be wrong once that is mended.
        if self._told is None:
            return self._now()
        told, at = self._told
        return told + self._monotonic() - at

    async def correct(self, since: int, ask: Callable[[], Awaitable[float]]) -> bool:
        """Set the clock by the upstream's; say whether it was set after it had been set `since` times.

        Of all who find it wrong at once, one asks.
        """
        async with self._asking:
            if self.times_set != since:
                return True
            if self._rests():
                return False
            told = None
            try:
                told = await ask()
            except GatewayError as error:
                log.warning("clock not corrected", extra={"error": error.summary})
            self._rest(ASK_AGAIN_S if told is not None else TRY_AGAIN_S)
            if told is not None:
                self._set(told)
            return told is not None

    def _set(self, told: float) -> None:
        log.warning("clock corrected", extra={"seconds": round(told - self.now(), 1)})
        self._told = told, self._monotonic()
        self.times_set += 1

    def _rest(self, seconds: float) -> None:
        self._rests_until = self._now() + seconds, self._monotonic() + seconds

    def _rests(self) -> bool:
        if self._rests_until is None:
            return False
        wall, monotonic = self._rests_until
        return 0 < wall - self._now() <= ASK_AGAIN_S and monotonic > self._monotonic()


def read_server_time(result: Any) -> float | None:
    """Find the Unix time, in seconds, in what `cur_ts` answers; no observer tells its shape.

    Tolerated: a number or a string, of milliseconds or of seconds, or an object that holds one.
    """
    values = result.values() if isinstance(result, dict) else [result]
    return next((told for told in map(_read_time, values) if told is not None), None)


def _read_time(value: Any) -> float | None:
    if not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    seconds = number / 1000 if number > _LATEST_S else number
    return seconds if _EARLIEST_S < seconds < _LATEST_S else None
