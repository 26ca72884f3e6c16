"""redis:// and rediss://: a Redis of the owner's, by its own protocol.

Only the connections of redis-py are used. Its client has no time limit for a whole operation, and its retries
do not accept the entry that the first attempt wrote.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from contextlib import suppress
from typing import Any, Protocol

import httpx

from lib.store import Passing, StoreError
from lib.store.redis_commands import Command, RedisCommands
from lib.store.settings import RedisSettings

CLOSE_TIMEOUT_S = 1.0
MAX_CONNECTIONS = 8
"""So many connections are open at once. A provider's small plan takes some 30 from all instances together."""


class RedisError(StoreError):
    """Redis refused or was not reached."""


class RedisStore(RedisCommands):
    """Serves one event loop after the other."""

    call_timeout_s = 2.0
    kept_timeout_s = 0.7
    """A kept connection answers within this time, or is dead: after a freeze a new one needs the rest."""
    pauses_s: tuple[float, ...] = (0.0, 0.0, 0.1)
    error = RedisError

    def __init__(self, settings: RedisSettings, *, tls: ssl.SSLContext | None = None) -> None:
        import redis.asyncio  # noqa: F401 - takes 0.1 s, which must not count against an operation's limit

        self._options = _options(settings)
        self._tls = tls
        if tls is None and settings.is_encrypted:
            # Not httpx's own context: it offers HTTP by ALPN, and a strict server refuses that.
            self._tls = httpx.create_ssl_context()
        self._kept: list[_Connection] = []
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def close(self) -> None:
        kept, self._kept = self._kept, []
        if self._loop is asyncio.get_running_loop():
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await asyncio.gather(*(connection.disconnect() for connection in kept))

    def _attach(self) -> None:
        """Leave another loop's connections behind: from this loop they can neither be used nor closed."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._kept = []
            self._slots = asyncio.Semaphore(MAX_CONNECTIONS)

    async def _attempt(self, command: Command) -> Any:
        from redis.exceptions import RedisError as Failure

        self._attach()
        async with self._slots:
            connection = await self._kept_connection()
            timeout_s = self.kept_timeout_s if connection else None
            connection = connection or self._new_connection()
            is_unheard = True
            try:
                async with asyncio.timeout(timeout_s):
                    await connection.connect()
                    is_unheard = False
                    await connection.send_command(*command)
                    answer = await connection.read_response()
            except (Failure, OSError, ValueError) as error:
                await self._settle(connection, error)
                if _is_refusal(error):
                    raise RedisError(f"{command[0]}: {_name_of(error)}") from None
                raise Passing(_name_of(error), is_unheard=is_unheard) from None
            self._kept.append(connection)
            return answer

    async def _kept_connection(self) -> _Connection | None:
        """Return one that was not closed meanwhile, as far as can be seen from here."""
        from redis.exceptions import RedisError as Failure

        while self._kept:
            connection = self._kept.pop()
            with suppress(Failure):
                if not await connection.can_read():  # Its end, or a late answer.
                    return connection
            await connection.disconnect(nowait=True)
        return None

    def _new_connection(self) -> _Connection:
        from redis.asyncio import Connection, SSLConnection

        # RESP2, without introducing ourselves: that saves a round trip, and every server knows it.
        options = {**self._options, "protocol": 2, "driver_info": None}
        options |= {"socket_timeout": None, "socket_connect_timeout": None}  # ours are for all of it
        if self._tls is None:
            return Connection(**options)
        connection = SSLConnection(**options)
        connection.ssl_context.context = self._tls
        return connection

    async def _settle(self, connection: _Connection, error: Exception) -> None:
        """Keep the connection after a mere refusal; after any other failure drop all connections.

        A restart or a freeze met the others as well. After a fail-over they lead to a replica.
        """
        if _is_refusal(error):
            self._kept.append(connection)
            return
        kept, self._kept = self._kept, []
        for each in (connection, *kept):
            await each.disconnect(nowait=True)


class _Connection(Protocol):
    """As much of redis-py's as is used."""

    async def connect(self) -> None: ...

    async def send_command(self, *command: str) -> None: ...

    async def read_response(self) -> Any: ...

    async def can_read(self) -> bool: ...

    async def disconnect(self, nowait: bool = False) -> None: ...


def _options(settings: RedisSettings) -> dict[str, Any]:
    """Return the address and the user, in redis-py's words."""
    named = {"username": settings.username, "password": settings.password}
    return {
        "host": settings.host,
        "port": settings.port,
        "db": settings.database,
        **{name: text for name, text in named.items() if text},
    }


def _is_refusal(error: Exception) -> bool:
    """Redis itself refuses and would refuse again. A replica's refusal does not count: the master decides."""
    from redis.exceptions import AuthenticationError, ReadOnlyError, ResponseError

    return isinstance(error, ResponseError | AuthenticationError) and not isinstance(error, ReadOnlyError)


def _name_of(error: Exception) -> str:
    """Name the failure by Redis's word (OOM), the system's (ConnectionRefusedError) or redis-py's."""
    if code := getattr(error, "status_code", None):
        return str(code)
    if word := re.match(r"[A-Z]{2,20}\b", str(error)):
        return word[0]
    cause = error.__context__ if isinstance(error.__context__, OSError) else error
    return type(cause).__name__
