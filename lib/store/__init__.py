"""State that outlives a request: four atomic operations on texts, each with a time to live."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, assert_never

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


class StoreError(Exception):
    """A store refused, or did not answer in time; the message holds no key, no value and no secret."""


class Passing(Exception):
    """Within a backend: a failure that another attempt may not meet. `is_unheard`: the server did not act."""

    def __init__(self, what: str, *, is_unheard: bool = False) -> None:
        super().__init__(what)
        self.is_unheard = is_unheard


class Store(Protocol):
    """The promises of every backend (tests/unit/store/test_contract.py). An expired entry is an absent one.

    Keys and values are any str. A cancelled operation may or may not have happened.
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
