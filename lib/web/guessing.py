"""Delay the refusals of wrong credentials: the more of them begin alike, the longer each one waits.

The delay makes guessing boring and keeps the log readable. It is no protection: a right key never waits, so a
client that waits already knows that its guess is wrong. Only the length of a key protects it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable

import msgspec

from lib.errors import AccountRefused, AuthenticationFailed, GatewayError, Throttled

PREFIX_CHARS = 4
"""Credentials that begin with the same four characters count together. A right key never waits."""
PREFIXES = 1024
"""The process remembers so many prefixes. Two prefixes with one number share their failures."""

_SECRET = os.urandom(16)
"""The remembered numbers have no use outside this process."""


class GuessLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of the delays. A test passes its own."""

    free_failures: int = 3
    """The first failures get their answer at once: a typing mistake is no attack."""
    first_delay_s: float = 0.1
    max_delay_s: float = 2.0
    """On a serverless host the owner pays for the waiting."""
    half_life_s: float = 30.0
    max_failures: float = 16.0
    """The count stops here, so about two minutes after the last failure the prefix is free again."""
    max_waiting: int = 64
    """So many answers wait at one time. Any further wrong credential is refused at once."""


LIMITS = GuessLimits()


class WrongCredential(AuthenticationFailed):
    """A wrong credential. It keeps only a number that many other credentials share."""

    prefix: int

    def __init__(self, message: str, credential: str) -> None:
        super().__init__(message)
        self.__dict__.update(prefix=_number_of(credential))


def _number_of(credential: str) -> int:
    prefix = credential[:PREFIX_CHARS].encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(prefix, key=_SECRET, digest_size=8).digest()
    return int.from_bytes(digest) % PREFIXES


REFUSED_TOKENS = _number_of("eyJh")
"""All tokens of the upstream begin so. Those that it refuses count together."""


class Guesses:
    """The failures of a process, and the answers that wait because of them."""

    def __init__(self, limits: GuessLimits = LIMITS, *, now: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._now = now
        self.failures: dict[int, tuple[float, float]] = {}
        """The number of failures, and the time of the last one."""
        self._waiting = 0

    def note(self, prefix: int) -> float:
        """Count one more failure. Return the delay of its answer, in seconds."""
        now, limits = self._now(), self.limits
        before, at = self.failures.get(prefix, (0.0, now))
        failures = min(before * 0.5 ** ((now - at) / limits.half_life_s) + 1, limits.max_failures)
        self.failures[prefix] = failures, now
        if failures <= limits.free_failures:
            return 0.0
        delay_s = limits.first_delay_s * 2 ** (failures - limits.free_failures - 1)
        return float(min(limits.max_delay_s, delay_s))

    async def slow_down(self, error: GatewayError) -> GatewayError:
        """Wait for the delay of this failure. Return the error to answer with.

        It is a wrong credential, or a caller's own token that the upstream refuses.
        """
        delay_s = self.note(getattr(error, "prefix", REFUSED_TOKENS))
        if not delay_s:
            return error
        if self._waiting >= self.limits.max_waiting:
            return Throttled(
                "Too many requests with wrong credentials are waiting. Send the right key.",
                code="too_many_attempts",
                retry_after_s=self.limits.max_delay_s,
            )
        self._waiting += 1
        try:
            await asyncio.sleep(delay_s)
        finally:
            self._waiting -= 1
        return error

    async def slow_down_refused(self) -> None:
        """Wait as for a refused token, before an answer that only tells of the refusal."""
        refused = AccountRefused("The upstream refuses the token.")
        if (error := await self.slow_down(refused)) is not refused:
            raise error


GUESSES = Guesses()
