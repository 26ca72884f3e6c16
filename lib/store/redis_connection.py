"""One connection to a Redis: commands out, as many answers back. hiredis packs and parses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from lib.store.redis_commands import Command
from lib.transport.sockets import is_readable

MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""Our entries are much smaller. A connection with a larger answer is given up."""
_MISSING = object()


class RedisConnection(asyncio.Protocol):
    """Its owner aborts it after a failure, and if `ask` is cancelled."""

    def __init__(self) -> None:
        import hiredis

        self._pack: Callable[[Any], bytes] = hiredis.pack_command  # Its stub knows tuples of one word only.
        self._broken = hiredis.ProtocolError
        self._parser = hiredis.Reader(notEnoughData=_MISSING)
        self._transport: Any = None
        self._answers: list[Any] = []
        self._unparsed = 0
        """The bytes since the last whole answer."""
        self._owed = 0
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def is_open(self) -> bool:
        """No end and no other byte has arrived, not even one that the loop has not read."""
        return not (self._failure or self._transport.is_closing() or is_readable(self._transport))

    async def ask(self, *commands: Command) -> list[Any]:
        """Return the answers; a refusal is an exception among them. Raise the failure of the connection."""
        self._owed = len(commands)
        self._transport.write(b"".join([self._pack(command) for command in commands]))
        while self._owed:
            if self._failure is not None:
                raise self._failure
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        answers, self._answers = self._answers, []
        return answers

    def abort(self) -> None:
        self._transport.abort()

    async def closed(self) -> None:
        await asyncio.wait({self._lost})

    # asyncio calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed(data)
        self._unparsed += len(data)
        try:
            while (answer := self._parser.gets()) is not _MISSING:
                self._take(answer)
        except (ValueError, self._broken):
            self._fail(ValueError("no answer of Redis"))
        if self._unparsed > MAX_ANSWER_BYTES:
            self._fail(ValueError("an answer without end"))
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(error or ConnectionError("closed by the server"))
        self._lost.set_result(None)
        self._wake()

    def _take(self, answer: Any) -> None:
        if not self._owed:
            raise ValueError("an answer to no command")
        self._unparsed = 0
        self._owed -= 1
        self._answers.append(answer)

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        self._transport.abort()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
