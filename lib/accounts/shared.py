"""The store as accounts use it: what it cannot do is done within this process."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from lib.store import Store

MAX_COPIES = 4_000
"""Of records of some 2 kB: 8 MB. Beyond it the one not touched for longest goes."""
RETRY_EVERY_S = 30.0
"""How often a copy that the store could not take is offered again by those who need not wait for it."""

T = TypeVar("T")
log = logging.getLogger("glm_gateway")


class _Copy(msgspec.Struct, frozen=True):
    value: str
    expires_at: float = 0.0
    refused_at: float | None = None
    """When the store last failed to take it; None: the store has it."""


class SharedState:
    """A store that cannot fail, with a copy of what this process last wrote to it or read from it.

    A lost store costs what other processes would have told, never what this one knows.
    """

    def __init__(self, store: Store, *, now: Callable[[], float], max_copies: int = MAX_COPIES) -> None:
        self._store = store
        self._now = now
        self._max_copies = max_copies
        self._copies: dict[str, _Copy] = {}
        self.problem: str | None = None
        """What the store's last operation failed with; None: it worked."""

    async def recall(self, key: str, *, restore_ttl_s: float | None = None) -> str | None:
        """Ask the store; where it fails, or has not taken our last word yet, answer from the copy.

        With `restore_ttl_s` a store that has lost the entry is given the copy again.
        """
        copy = self._copies.get(key)
        if copy is not None and copy.refused_at is not None and copy.expires_at > self._now():
            await self.keep(key, copy.value, ttl_s=copy.expires_at - self._now())
            return copy.value
        worked, value = await self._attempt(self._store.get(key))
        if not worked:
            return None if copy is None else copy.value
        if value is None and copy is not None and restore_ttl_s is not None:
            await self.keep(key, copy.value, ttl_s=restore_ttl_s)
            return copy.value
        self._remember(key, None if value is None else _Copy(value))
        return value

    async def keep(self, key: str, value: str, *, ttl_s: float) -> None:
        """Write to the copy first, so that no failure or cancellation loses it, then to the store."""
        now = self._now()
        unsaved = _Copy(value, now + ttl_s, refused_at=now)
        self._remember(key, unsaved)
        worked, _ = await self._attempt(self._store.put(key, value, ttl_s=ttl_s))
        if worked and self._copies.get(key) is unsaved:
            self._remember(key, _Copy(value))

    async def drop(self, key: str) -> None:
        """Remove what the copy holds, unless another process has written something else since."""
        copy = self._copies.pop(key, None)
        if copy is not None:
            await self.remove(key, copy.value)

    def copy(self, key: str) -> str | None:
        """What this process knows without asking."""
        copy = self._copies.get(key)
        return None if copy is None else copy.value

    def wants_saving(self, key: str) -> bool:
        """Whether the store could not take the copy, and it is time to offer it again."""
        copy = self._copies.get(key)
        refused_at = None if copy is None else copy.refused_at
        return refused_at is not None and self._now() - refused_at >= RETRY_EVERY_S

    async def get(self, key: str) -> str | None:
        """Read without a copy; a failing store holds nothing."""
        _, value = await self._attempt(self._store.get(key))
        return value

    async def put(self, key: str, value: str, *, ttl_s: float) -> None:
        await self._attempt(self._store.put(key, value, ttl_s=ttl_s))

    async def add(self, key: str, value: str, *, ttl_s: float) -> bool:
        """Write where nothing is; with a failing store we are alone, and nothing ever is."""
        worked, added = await self._attempt(self._store.add(key, value, ttl_s=ttl_s))
        return not worked or added is True

    async def remove(self, key: str, value: str) -> bool:
        """Say whether it is certain that the entry does not hold the value any more."""
        worked, _ = await self._attempt(self._store.remove(key, value))
        return worked

    async def _attempt(self, operation: Awaitable[T]) -> tuple[bool, T | None]:
        try:
            result = await operation
        except Exception as error:  # noqa: BLE001 - a backend's errors are its own, and none may spoil an answer
            if self.problem is None:
                log.warning("the store fails (%s); going on within this process", type(error).__name__)
            self.problem = type(error).__name__
            return False, None
        self.problem = None
        return True, result

    def _remember(self, key: str, copy: _Copy | None) -> None:
        self._copies.pop(key, None)
        if copy is None:
            return
        self._copies[key] = copy  # the last of the dict: touched last
        if len(self._copies) > self._max_copies:
            del self._copies[next(iter(self._copies))]
