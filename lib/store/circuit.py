"""One kind of a store's operations: in time or not at all, and not at all for a while after a failure."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from lib.patience import patience

OPERATION_TIMEOUT_S = 2.5
"""A store answers within milliseconds; each of a request's few operations keeps a client waiting."""
REST_S = 10.0
"""A store that failed is left alone for so long, then one operation tries it, and no other waits for that."""

T = TypeVar("T")
log = logging.getLogger("glm_gateway")


class Circuit:
    """One kind of operation: in time or not at all, and not at all for a while after a failure."""

    def __init__(self, what_fails: str, now: Callable[[], float]) -> None:
        self.problem: str | None = None
        self.has_worked = False
        self.recoveries = 0
        self._what_fails = what_fails
        self._now = now
        self._tried_at = 0.0

    async def attempt(
        self,
        operation: Callable[..., Awaitable[T]],
        *args: object,
        is_vital: bool = False,
        **options: object,
    ) -> tuple[bool, T | None]:
        """Return if it worked, and its result."""
        if self.problem is not None and not is_vital:
            if 0 <= self._now() - self._tried_at < REST_S:
                return False, None
            self._tried_at = self._now()  # one tries whether it works again; the others do without meanwhile
        try:
            async with patience(OPERATION_TIMEOUT_S):
                result = await operation(*args, **options)
        except Exception as error:  # noqa: BLE001 - a backend has errors of its own, and no error may spoil an answer
            self._note_failure(type(error).__name__)
            return False, None
        self.note_success()
        return True, result

    def note_success(self) -> None:
        self.has_worked = True
        if self.problem is not None:
            self.problem = None
            self.recoveries += 1
            log.info("the store works again")

    def _note_failure(self, name: str) -> None:
        if self.problem is None:
            log.warning("the store %s (%s); going on within this process", self._what_fails, name)
        self.problem = f"{self._what_fails} ({name})"
        self._tried_at = self._now()
