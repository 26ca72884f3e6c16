"""redis:// and rediss://: a Redis of the owner's, by its own protocol.

It speaks RESP2, which every server knows, by redis-py's own parser. redis-py itself takes 0.1 s to import.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from contextlib import suppress
from typing import Any, NoReturn

from lib.store import Passing, StoreError
from lib.store.redis_commands import Command, RedisCommands
from lib.store.redis_connection import RedisConnection
from lib.store.settings import RedisSettings
from lib.transport.sockets import open_socket
from lib.transport.tls import FOR_OTHERS

CLOSE_TIMEOUT_S = 1.0
MAX_CONNECTIONS = 8
"""So many connections are open at once. A provider's small plan takes some 30 from all instances together."""
_PASSING = ("READONLY", "LOADING", "MASTERDOWN", "FULL")
"""These refusals may be over a moment later: a replica becomes the master, a connection ends."""


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
        import hiredis  # noqa: F401 - an operation has a time limit, and the import must not count against it

        self._settings = settings
        self._tls = tls
        if tls is None and settings.is_encrypted:
            FOR_OTHERS.begin()
        self._kept: list[RedisConnection] = []
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def close(self) -> None:
        if self._loop is asyncio.get_running_loop():
            kept = self._drop_kept()
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await asyncio.gather(*(connection.closed() for connection in kept))

    def _attach(self) -> None:
        """Leave another loop's connections behind: from this loop they can neither be used nor closed."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._kept = []
            self._slots = asyncio.Semaphore(MAX_CONNECTIONS)

    async def _attempt(self, command: Command) -> Any:
        self._attach()
        async with self._slots:
            connection = self._kept_connection()
            is_unheard = connection is None
            try:
                async with asyncio.timeout(self.kept_timeout_s if connection else None):
                    connection = connection or await self._opened(command[0])
                    is_unheard = False
                    (answer,) = await _asked(connection, command)
            except (OSError, ValueError) as error:
                self._drop_kept()
                raise Passing(type(error).__name__, is_unheard=is_unheard) from None
            self._kept.append(connection)
            if isinstance(answer, Exception):
                self._refuse(command[0], answer)
            return answer

    def _kept_connection(self) -> RedisConnection | None:
        """Return one that was not closed meanwhile, as far as can be seen from here."""
        while self._kept:
            connection = self._kept.pop()
            if connection.is_open:
                return connection
            connection.abort()
        return None

    def _drop_kept(self) -> list[RedisConnection]:
        """A restart or a freeze has met all of them. After a fail-over, they lead to a replica."""
        dropped, self._kept = self._kept, []
        for connection in dropped:
            connection.abort()
        return dropped

    async def _opened(self, name: str) -> RedisConnection:
        """Connect, and name the user and the database in one write.

        The command that needs the connection waits for the answers: if there is no such database, it would be
        carried out in another one.
        """
        settings, loop = self._settings, asyncio.get_running_loop()
        tls, server_name = None, None
        if settings.is_encrypted:
            tls, server_name = self._tls or await FOR_OTHERS.ready(), settings.host
        opened = await open_socket(settings.host, settings.port)
        _, connection = await loop.create_connection(
            RedisConnection, sock=opened, ssl=tls, server_hostname=server_name
        )
        if introduction := _introduction(settings):
            for answer in await _asked(connection, *introduction):
                if isinstance(answer, Exception):
                    connection.abort()
                    self._refuse(name, answer, is_unheard=True)
        return connection

    def _refuse(self, name: str, refusal: Exception, *, is_unheard: bool = False) -> NoReturn:
        word = _word_of(str(refusal))
        if word in _PASSING:
            self._drop_kept()
            raise Passing(word, is_unheard=is_unheard)
        raise RedisError(f"{name}: {word}")


async def _asked(connection: RedisConnection, *commands: Command) -> list[Any]:
    try:
        return await connection.ask(*commands)
    except BaseException:
        connection.abort()
        raise


def _introduction(settings: RedisSettings) -> list[Command]:
    commands: list[Command] = []
    if settings.username:
        commands.append(("AUTH", settings.username, settings.password))
    elif settings.password:
        commands.append(("AUTH", settings.password))
    if settings.database:
        commands.append(("SELECT", str(settings.database)))
    return commands


def _word_of(refusal: str) -> str:
    """Return Redis's word for it (OOM). The rest of a refusal may quote a command."""
    if refusal.startswith("ERR max number of clients"):
        return "FULL"
    found = re.match(r"[A-Z]{2,20}\b", refusal)
    return found[0] if found else "a refusal"
