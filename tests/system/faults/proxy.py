"""A proxy between the gateway and the simulator, on real sockets; it breaks the answers it is told to."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

START_TIMEOUT_S = 10.0
READ_BYTES = 65536

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CONNECTION = re.compile(rb"\r\nconnection:[^\r]*", re.IGNORECASE)
_CONTENT_TYPE = re.compile(rb"\r\ncontent-type:[^\r]*", re.IGNORECASE)


class Exchange:
    """One request, from its arrival to the end of its connection."""

    def __init__(self, proxy: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.proxy = proxy
        self.path = ""
        self._reader = reader
        self._writer = writer
        self._head = b""
        self._body = b""

    async def read(self) -> bool:
        """Read the request to its end; False where there is none."""
        try:
            self._head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        self.path = self._head.split(b" ", 2)[1].decode().partition("?")[0]
        length = _LENGTH.search(self._head)
        self._body = await self._reader.readexactly(int(length[1]) if length else 0)
        return True

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def send_chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def reset(self) -> None:
        """End the connection as a killed machine does."""
        self._writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self._writer.transport.abort()

    async def wait_for_close(self) -> None:
        while await self._reader.read(READ_BYTES):
            pass

    async def end_chunks(self) -> None:
        await self.send(b"0\r\n\r\n")

    async def carry_out(self) -> bytes:
        """Let the upstream do what it is asked, and return its answer, which nobody else gets."""
        async with self.passed_on() as upstream:
            return await upstream.read()

    async def forward(self, content_type: bytes | None = None) -> None:
        """Pass the upstream's answer on, whole."""
        async with self.passed_on() as upstream:
            await self.relay(upstream, content_type)

    @asynccontextmanager
    async def passed_on(self) -> AsyncIterator[asyncio.StreamReader]:
        """Ask the upstream; at the end of the block nobody listens to it any more, and it knows."""
        reader, writer = await asyncio.open_connection(*self.proxy.upstream)
        try:
            # HTTP/1.0: what has no length comes without chunks, and ends with the connection.
            head = _CONNECTION.sub(b"", self._head).replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1)
            writer.write(head + self._body)
            await writer.drain()
            yield reader
        finally:
            writer.close()
        await self.proxy.until_idle()

    async def relay(self, upstream: asyncio.StreamReader, content_type: bytes | None = None) -> None:
        """Pass on the head and all that follows: as it is, or in chunks where it has no length."""
        head = await upstream.readuntil(b"\r\n\r\n")
        if content_type is not None:
            head = _CONTENT_TYPE.sub(b"\r\ncontent-type: " + content_type, head)
        if _LENGTH.search(head):
            await self.send(head + await upstream.read())
            return
        await self.send(_chunked(head))
        await self.relay_body(upstream)

    async def relay_until(self, upstream: asyncio.StreamReader, end: bytes) -> None:
        """Pass on a stream's head, and its events up to the one that holds `end`."""
        await self.send(_chunked(await upstream.readuntil(b"\r\n\r\n")))
        said = await upstream.readuntil(end) + await upstream.readuntil(b"\n\n")
        await self.send_chunk(said)

    async def relay_body(self, upstream: asyncio.StreamReader) -> None:
        while data := await upstream.read(READ_BYTES):
            await self.send_chunk(data)
        await self.end_chunks()


Answer = Callable[[Exchange], Awaitable[None]]


class FaultProxy:
    """`with FaultProxy(...) as proxy:`; every connection is for one request alone."""

    def __init__(self, upstream_url: str, *, is_idle: Callable[[], bool]) -> None:
        address = urlsplit(upstream_url)
        self.upstream = (address.hostname, address.port)
        self.requests: list[str] = []
        """The paths that were asked for, in order; of those that were refused a connection, none."""
        self.complaints: list[str] = []
        """What went wrong here, and should not have."""
        self._is_idle = is_idle
        self._faults: list[tuple[re.Pattern[str], Answer, int]] = []
        self._closes_at: re.Pattern[str] | None = None
        # Keeps the port ours while nobody listens: who connects then is refused.
        self._keeper = _bound(0)
        self.port: int = self._keeper.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}{address.path}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    # What goes wrong

    def stage(self, path: str, answer: Answer, *, times: int) -> None:
        """Let `answer` answer the next requests for paths that match."""
        self._faults.append((re.compile(path), answer, times))

    def refuse(self, *, after: str = "", for_s: float | None = None) -> None:
        """Take no connections any more: from now on, or from when a request for this path has come."""
        if after:
            self._closes_at = re.compile(after)
        else:
            self._run(self._close_door())
        if for_s is not None:
            self._loop.call_soon_threadsafe(self._loop.call_later, for_s, self._open_again)

    def lift(self) -> None:
        self._faults.clear()
        self._closes_at = None
        self._run(self._open_door())

    def count(self, path: str) -> int:
        return sum(re.search(path, requested) is not None for requested in self.requests)

    async def until_idle(self) -> None:
        """Wait until the upstream has noticed who left: what comes next must not find it at work."""
        while not self._is_idle():  # noqa: ASYNC110 - it is in another thread
            await asyncio.sleep(0.002)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._open_door())
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_TIMEOUT_S)
        self._loop.close()
        self._keeper.close()

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(START_TIMEOUT_S)

    async def _open_door(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._attend, sock=_bound(self.port), limit=2**20)

    def _open_again(self) -> None:
        task = self._loop.create_task(self._open_door())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _close_door(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _end(self) -> None:
        await self._close_door()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        exchange = Exchange(self, reader, writer)
        try:
            if await exchange.read():
                await self._attend_to(exchange)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _attend_to(self, exchange: Exchange) -> None:
        """Answer, for as long as the gateway is there to listen."""
        answering = asyncio.ensure_future(self._answer(exchange))
        leaving = asyncio.ensure_future(exchange.wait_for_close())
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            answering.cancel()
            leaving.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
        if not answering.cancelled() and not isinstance(answering.exception(), OSError | None):
            self.complaints.append(f"{exchange.path}: {answering.exception()!r}")

    async def _answer(self, exchange: Exchange) -> None:
        self.requests.append(exchange.path)
        if self._closes_at is not None and self._closes_at.search(exchange.path):
            await self._close_door()
        answer = self._take(exchange.path)
        await (exchange.forward() if answer is None else answer(exchange))

    def _take(self, path: str) -> Answer | None:
        for index, (pattern, answer, times) in enumerate(self._faults):
            if pattern.search(path):
                if times > 1:
                    self._faults[index] = (pattern, answer, times - 1)
                else:
                    del self._faults[index]
                return answer
        return None


def _chunked(head: bytes) -> bytes:
    return head[:-2] + b"transfer-encoding: chunked\r\n\r\n"


def _bound(port: int) -> socket.socket:
    """Bind a socket that others of ours may share the port with."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound
