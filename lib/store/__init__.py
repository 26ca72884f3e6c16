"""State that outlives a request: four atomic operations on texts, each with a time to live."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from typing import Protocol

SCHEMES = "memory://, sqlite:///<path>, redis://, rediss://, upstash://, dynamodb://<table>?region=<region>"


class StoreError(Exception):
    """A store refused, or did not answer in time; the message holds no key, no value and no secret."""


class Passing(Exception):
    """Within a backend: what another attempt may not meet. `is_unheard`: the server did not act on it."""

    def __init__(self, what: str, *, is_unheard: bool = False) -> None:
        super().__init__(what)
        self.is_unheard = is_unheard


class Store(Protocol):
    """What every backend promises (tests/unit/store/test_contract.py); an expired entry is an absent one.

    Keys and values are any str. An operation that is cancelled may or may not have happened.
    """

    async def get(self, key: str) -> str | None: ...

    async def put(self, key: str, value: str, *, ttl_s: float, instead_of: str | None = None) -> bool:
        """Write; with `instead_of` only where the entry still holds exactly that. Say whether it was written.

        This is how a lease is renewed: who lost it meanwhile is told so, and overwrites nobody's.
        """
        ...

    async def add(self, key: str, value: str, *, ttl_s: float) -> bool:
        """Write only where nothing is; say whether it was written. This is how a lease is taken."""
        ...

    async def remove(self, key: str, value: str) -> bool:
        """Remove only what still holds `value`; say whether it did. This is how a lease is given back."""
        ...

    async def close(self) -> None: ...


def open_store(url: str, *, now: Callable[[], float] = time.time, tls: ssl.SSLContext | None = None) -> Store:
    """Make the store that `url` names; nothing is opened before the first operation.

    `now` is the wall clock, since processes that share a store must agree on it. Raise ValueError
    for a URL that names no store; the message holds nothing of it but the scheme (it may hold a password).
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "memory":
        from lib.store.memory import MemoryStore

        return MemoryStore(now=now)
    if separator and scheme == "sqlite":
        from lib.store.sqlite import SqliteStore  # sqlite3 costs a cold start 10 ms: only where it is used

        if not rest.startswith("/") or rest == "/":
            raise ValueError("expected sqlite:///relative/path or sqlite:////absolute/path, got no path")
        return SqliteStore(rest[1:], now=now)
    if separator and scheme == "dynamodb":
        from lib.store.dynamodb import DynamoStore, Table

        return DynamoStore(Table.of_url(url), now=now, tls=tls)
    if separator and scheme in ("redis", "rediss"):
        from lib.store.redis import RedisStore

        return RedisStore(url)
    if separator and scheme == "upstash":
        from lib.store.upstash import UpstashStore

        return UpstashStore(url, tls=tls)
    named = f"scheme {scheme!r}" if separator else "no scheme"
    raise ValueError(f"expected a store URL, one of {SCHEMES}, got {named}")
