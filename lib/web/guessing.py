"""Wrong credentials: the more of them begin alike, the longer each waits for its refusal.

It takes the fun out of trying keys and keeps the log readable. What protects is the length of a key: whoever
guesses right is never slowed, so a guesser need not wait to know that he was wrong.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable

from lib.errors import AuthenticationFailed, GatewayError, Throttled

PREFIX_CHARS = 4
"""So few that guesses are told together which differ only later; nobody with a right key is ever slowed."""
PREFIXES = 1024
"""Remembered at most. Two that meet in one place share their failures, which harms no right key either."""
FREE_FAILURES = 3
"""Answered at once: a typing mistake is no attack."""
FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 2.0
"""Not longer: on a serverless host it is the owner who pays for the waiting."""
HALF_LIFE_S = 30.0
MOST_FAILURES = 16.0
"""Counted at most, so that a prefix is forgiven some two minutes after the last one."""
MOST_WAITING = 64
"""Answers held back at one time; a wrong credential beyond that is refused at once."""

_SECRET = os.urandom(16)
"""What is remembered is worth nothing outside of this process."""


class WrongCredential(AuthenticationFailed):
    """A credential that opens nothing; of it only a number is kept, which many others have too."""

    prefix: int

    def __init__(self, message: str, credential: str) -> None:
        super().__init__(message)
        prefix = credential[:PREFIX_CHARS].encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(prefix, key=_SECRET, digest_size=8).digest()
        self.__dict__.update(prefix=int.from_bytes(digest) % PREFIXES)


class Guesses:
    """The failures of a process, and the answers that it holds back for them."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failures: dict[int, tuple[float, float]] = {}
        """How many, and when the last one was."""
        self._waiting = 0

    def forget(self) -> None:
        self._failures.clear()

    def note(self, prefix: int) -> float:
        """Count one more failure; return how many seconds its answer is to wait."""
        now = self._now()
        before, at = self._failures.get(prefix, (0.0, now))
        failures = min(before * 0.5 ** ((now - at) / HALF_LIFE_S) + 1, MOST_FAILURES)
        self._failures[prefix] = failures, now
        if failures <= FREE_FAILURES:
            return 0.0
        return float(min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** (failures - FREE_FAILURES - 1)))

    async def slow_down(self, error: WrongCredential) -> GatewayError:
        """Wait as long as this failure deserves; return what to answer."""
        delay_s = self.note(error.prefix)
        if not delay_s:
            return error
        if self._waiting >= MOST_WAITING:
            return Throttled(
                "Too many wrong credentials at once.", code="too_many_attempts", retry_after_s=LONGEST_DELAY_S
            )
        self._waiting += 1
        try:
            await asyncio.sleep(delay_s)
        finally:
            self._waiting -= 1
        return error


GUESSES = Guesses()
