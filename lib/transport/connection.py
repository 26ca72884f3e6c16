"""One connection to a server. It carries one request after the other, and has no task of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from lib.transport.answers import AnswerReader
from lib.transport.requests import RequestFramer
from lib.transport.sockets import is_readable
from lib.transport.watchdog import Watchdog

MAX_HELD_BYTES = 64 * 1024
"""If the reader leaves more than this lying, the connection is not read on. One read of asyncio may go beyond
it by 256 KiB."""
SLICE_BYTES = 64 * 1024
"""A long body is written in slices. Each may take the whole time for writing."""


class Connection(asyncio.Protocol):
    """Its owner keeps it if `may_follow`, and aborts it otherwise."""

    def __init__(self) -> None:
        self.answer = AnswerReader()
        self._transport: Any = None
        self._is_resting = True
        self._is_sent = False
        self._is_choked = False
        """The write buffer is full."""
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._is_full = False
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[bool] | None = None
        self._watchdog = Watchdog(lambda: self._wake(is_in_time=False))

    @property
    def may_follow(self) -> bool:
        """The answer is over and read, and the server waits for the next request."""
        return self._is_sent and self.answer.may_follow and not self._held and self._failure is None

    @property
    def is_open(self) -> bool:
        """No end and no other byte has arrived, not even one that the loop has not read."""
        return not (self._lost.done() or self._transport.is_closing() or is_readable(self._transport))

    async def ask(self, request: httpx.Request, timeouts: dict[str, float | None]) -> None:
        """Send the request, and return when the head of its answer has arrived."""
        self.answer.begin(has_body=request.method != "HEAD")
        self._is_sent = self._is_resting = False
        self._is_sent = await self._send(request, timeouts.get("write"))
        while not self.answer.has_head:
            self._raise_failure()
            await self._change(timeouts.get("read"), httpx.ReadTimeout)

    async def read(self, timeout_s: float | None, too_late: type[Exception] = httpx.ReadTimeout) -> bytes:
        """Return the body's bytes that have arrived, empty at its end. A failed call can be repeated."""
        while not self._held:
            if self.answer.is_over:
                return b""
            self._raise_failure()
            await self._change(timeout_s, too_late)
        data = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        self._held.clear()
        self._held_bytes = 0
        if self._is_full:
            self._is_full = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
        return data

    def rest(self) -> None:
        """Wait for the next request. A byte that arrives meanwhile ends the connection."""
        self._is_resting = True

    def abort(self) -> None:
        self._transport.abort()

    async def closed(self) -> None:
        await asyncio.wait({self._lost})

    async def _send(self, request: httpx.Request, timeout_s: float | None) -> bool:
        """Return False if the server answers or closes before it has taken the whole request."""
        framer = RequestFramer(request)
        head = framer.head
        if isinstance(request.stream, httpx.ByteStream):
            body = b"".join([framer.frame(piece) for piece in request.stream])
            return await self._write(head + body + framer.end(), timeout_s)
        assert isinstance(request.stream, httpx.AsyncByteStream)
        async for piece in request.stream:
            if not await self._write(head + framer.frame(piece), timeout_s):
                return False
            head = b""
        return await self._write(head + framer.end(), timeout_s)

    async def _write(self, data: bytes, timeout_s: float | None) -> bool:
        for start in range(0, len(data), SLICE_BYTES):
            if self.answer.is_over or self._lost.done():
                return False
            self._transport.write(data if len(data) <= SLICE_BYTES else data[start : start + SLICE_BYTES])
            while self._is_choked:
                if self.answer.has_head or self._lost.done():
                    return False
                await self._change(timeout_s, httpx.WriteTimeout)
        return True

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _change(self, timeout_s: float | None, too_late: type[Exception]) -> None:
        """Wait for the next change of this connection. Data that arrives with the timeout counts as in time:
        the loop reads its sockets before its timers."""
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        if timeout_s is not None:
            self._watchdog.watch(loop.time() + timeout_s)
        try:
            if not await waiter:
                raise too_late(f"Nothing happened for {timeout_s:g} s.")
        finally:
            self._waiter = None
            self._watchdog.rest()

    def _wake(self, *, is_in_time: bool = True) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(is_in_time)

    # asyncio calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._is_resting or self._failure is not None:
            self.abort()
            return
        try:
            body = self.answer.feed(data)
        except httpx.RemoteProtocolError as error:
            self._failure = error
            self.abort()
            body = b""
        if body:
            self._held.append(body)
            self._held_bytes += len(body)
            if self._held_bytes > MAX_HELD_BYTES and not self._is_full:
                self._is_full = True
                self._transport.pause_reading()
        self._wake()

    def pause_writing(self) -> None:
        self._is_choked = True

    def resume_writing(self) -> None:
        self._is_choked = False
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._lost.set_result(None)
        self._watchdog.stop()
        if not self._is_resting and self._failure is None:
            self._failure = self._failure_of(error)
        self._wake()

    def _failure_of(self, error: Exception | None) -> Exception | None:
        if self.answer.is_over:
            return None
        if error is not None:
            return httpx.ReadError(f"{type(error).__name__}: {error}")
        try:
            self.answer.end()
        except httpx.RemoteProtocolError as broken:
            return broken
        return None
