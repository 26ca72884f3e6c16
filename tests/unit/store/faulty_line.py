"""A line between a store and its real server, which does what lines do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import Enum, auto

SIZE = 65536


class Fault(Enum):
    REFUSED = auto()
    """Nobody listens."""
    LOST = auto()
    """A request is taken and never delivered; nothing comes back, for ever."""
    DEAF = auto()
    """A request is delivered; its answer never comes."""
    DROPPED = auto()
    """The connection is closed at a request, which is not delivered."""
    CUT = auto()
    """A request is delivered; the connection is closed in the middle of its answer."""


class FaultyLine:
    """Listens on `port`; every request meets `fault`, or only so many as `times` says."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.Task[None]] = set()
        self.port = 0
        self.requests = 0
        self.connections = 0
        self.fault: Fault | None = None
        self.times: int | None = None
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        """What another does between a request that is delivered and the loss of its answer."""

    @property
    def is_carrying(self) -> bool:
        return bool(self._lines)

    async def break_(self, fault: Fault, *, times: int | None = None) -> None:
        self.fault, self.times = fault, times
        if fault is Fault.REFUSED:
            await self.close()

    async def mend(self) -> None:
        self.fault = None
        await self.open()

    async def open(self) -> None:
        if self._server is None:
            listener = socket.create_server(("127.0.0.1", self.port))
            self.port = listener.getsockname()[1]
            self._server = await asyncio.start_server(self._carry, sock=listener)

    async def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for line in self._lines:
            line.cancel()
        while self._lines:
            await asyncio.wait(self._lines)
        await asyncio.sleep(0)  # the ends that were just aborted close in the loop's next turn

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._lines.add(task)
        self.connections += 1
        ends = [writer]
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            ends.append(back)
            async with asyncio.TaskGroup() as group:
                line = _Line(self, reader, writer, there, back)
                group.create_task(line.deliver())
                group.create_task(line.answer())
        except* (OSError, _Closed):
            pass
        finally:
            self._lines.discard(task)
            for end in ends:
                end.transport.abort()

    def next_fault(self) -> Fault | None:
        self.requests += 1
        if self.times is not None:
            if self.times == 0:
                return None
            self.times -= 1
        return self.fault


class _Closed(Exception):
    """One end is."""


class _Line:
    """One connection. A request may come in several pieces: it meets one fault."""

    def __init__(
        self,
        owner: FaultyLine,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        there: asyncio.StreamReader,
        back: asyncio.StreamWriter,
    ) -> None:
        self._owner = owner
        self._client = (reader, writer)
        self._server = (there, back)
        self._is_asked = False
        self._fault: Fault | None = None

    async def deliver(self) -> None:
        while piece := await self._client[0].read(SIZE):
            if not self._is_asked:
                self._is_asked, self._fault = True, self._owner.next_fault()
            if self._fault is Fault.DROPPED:
                break
            if self._fault is not Fault.LOST:
                self._server[1].write(piece)
                await self._server[1].drain()
        raise _Closed

    async def answer(self) -> None:
        while piece := await self._server[0].read(SIZE):
            if self._fault in (Fault.CUT, Fault.DEAF) and self._owner.meanwhile is not None:
                await self._owner.meanwhile()
            if self._fault is Fault.CUT:
                self._client[1].write(piece[: len(piece) // 2])
                await self._client[1].drain()
                break
            if self._fault is not Fault.DEAF:
                self._is_asked = False
                self._client[1].write(piece)
                await self._client[1].drain()
        if self._fault in (Fault.LOST, Fault.DEAF):
            await asyncio.Event().wait()  # the server has given up waiting; who asked does not hear of it
        raise _Closed


@asynccontextmanager
async def faulty_line(port: int) -> AsyncIterator[FaultyLine]:
    line = FaultyLine(port)
    await line.open()
    try:
        yield line
    finally:
        await line.close()
