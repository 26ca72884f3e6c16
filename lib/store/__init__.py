"""State that outlives a request: atomic operations on texts, each with a time to live."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, assert_never

import msgspec

from lib.store.settings import (
    DynamoSettings,
    MemorySettings,
    RedisSettings,
    SqliteSettings,
    StoreSettings,
    UpstashSettings,
)

if TYPE_CHECKING:
    import ssl


MAX_SHORT_LIFE_S = 120.0
"""Leases and locks live no longer. Only they are over early if a clock was set back."""
CLOCKS_APART_S = 60.0
"""The clocks of instances may differ so much."""


class StoreError(Exception):
    """A store refused, or did not answer in time; the message holds no key, no value and no secret."""


class Passing(Exception):
    """Within a backend: a failure that another attempt may not meet. `is_unheard`: the server did not act."""

    def __init__(self, what: str, *, is_unheard: bool = False) -> None:
        super().__init__(what)
        self.is_unheard = is_unheard


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One step on the fields of one record: made as a whole, or not at all."""

    when: Mapping[str, tuple[str | None, ...]] = {}
    """The step is made if each of these fields holds one of these values; None means that it is absent."""
    puts: Mapping[str, tuple[str, float]] = {}
    """The values to write, each with its time to live."""
    drops: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    """The values of these fields right before the step are returned, also if it is not made."""

    @property
    def is_read_only(self) -> bool:
        return not self.puts and not self.drops

    def end_of_doubt(self, field: str, now: float) -> float:
        """Return the latest possible end of another holder's entry; a later one was written before a clock
        was set back, and counts as absent."""
        _, ttl_s = self.puts.get(field, ("", float("inf")))
        return latest_end(ttl_s, now)


class Outcome(msgspec.Struct, frozen=True):
    is_done: bool
    found: Mapping[str, str | None]


def latest_end(ttl_s: float, now: float) -> float:
    """Return the latest end that an entry of this life can have, if the clocks are right."""
    return now + ttl_s + CLOCKS_APART_S if ttl_s <= MAX_SHORT_LIFE_S else float("inf")


class Store(Protocol):
    """The promises of every backend (tests/unit/store/test_contract.py). An expired entry is an absent one.

    Keys and values are any str. A cancelled operation may or may not have happened. `add` takes over a lease
    or lock whose end is impossible: a clock was set back since. Redis keeps lives, not ends, and has none.
    """

    async def get(self, key: str) -> str | None: ...

    async def put(self, key: str, value: str, *, ttl_s: float, instead_of: str | None = None) -> bool:
        """Write; with `instead_of` only if the entry still holds exactly that. Return True if it was written.

        A lease is renewed so: a holder that lost it learns that, and does not overwrite another's.
        """
        ...

    async def add(self, key: str, value: str, *, ttl_s: float) -> bool:
        """Write only if there is no entry; return True if it was written. A lease is taken so."""
        ...

    async def remove(self, key: str, value: str) -> bool:
        """Remove the entry if it still holds `value`; return True if it did. A lease is given back so."""
        ...

    async def alter(self, record: str, change: Change, /) -> Outcome:
        """Make one step on fields of one record, in one round trip.

        A field has one name in the whole store, and no key is equal to it. Only `alter` reaches a field.
        """
        ...

    async def close(self) -> None: ...


def open_store(
    settings: StoreSettings, *, now: Callable[[], float] = time.time, tls: ssl.SSLContext | None = None
) -> Store:
    """Make the store; it opens nothing before the first operation.

    `now` is the wall clock, since processes that share a store must agree on it. A backend is imported here,
    because a cold start must not pay for the others.
    """
    match settings:
        case MemorySettings():
            from lib.store.memory import MemoryStore

            return MemoryStore(now=now)
        case SqliteSettings(path=path):
            from lib.store.sqlite import SqliteStore

            return SqliteStore(path, now=now)
        case RedisSettings():
            from lib.store.redis import RedisStore

            return RedisStore(settings)
        case UpstashSettings():
            from lib.store.upstash import UpstashStore

            return UpstashStore(settings, tls=tls)
        case DynamoSettings():
            from lib.store.dynamodb import DynamoStore

            return DynamoStore(settings, now=now, tls=tls)
        case _:
            assert_never(settings)
