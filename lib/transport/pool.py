"""The transport that httpx's client sends by: it keeps connections, and loses none if a request is cancelled.

It awaits neither between taking a connection and noting it as busy, nor while a connection is given back. So
a request that is cancelled at any turn of the loop leaves its connection idle or closed.

It never repeats a request. It looks at a kept connection's socket before it sends on it. If the connection
breaks all the same, the caller decides: a call to chatglm.cn carries a nonce that must not be sent twice, and
a store may have carried out a command.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable

import httpx
import msgspec

from lib.tasks import forget_result, start
from lib.transport.connection import Connection
from lib.transport.sockets import open_socket
from lib.transport.tls import FOR_HTTP, HTTP_PROTOCOLS

_PORTS = {"http": 80, "https": 443}


class Origin(msgspec.Struct, frozen=True):
    host: str
    port: int
    is_encrypted: bool
    server_name: str
    """The name that the certificate must be for."""

    @classmethod
    def of(cls, url: httpx.URL, server_name: str | None = None) -> Origin:
        if url.scheme not in _PORTS:
            raise httpx.UnsupportedProtocol(f"Expected http or https, got {url.scheme[:20]!r}.")
        host = url.raw_host.decode("ascii")
        return cls(host, url.port or _PORTS[url.scheme], url.scheme == "https", server_name or host)


class Transport(httpx.AsyncBaseTransport):
    """Belongs to the event loop that uses it first."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        limits: httpx.Limits = httpx.Limits(),  # noqa: B008 - a frozen value in all but name
    ) -> None:
        if tls is not None:
            tls.set_alpn_protocols(list(HTTP_PROTOCOLS))
        self._tls = tls
        self._limits = limits
        self._slots = asyncio.Semaphore(limits.max_connections) if limits.max_connections else None
        self._idle: list[_Idle] = []
        """The longest idle one comes first."""
        self._ahead: dict[Origin, asyncio.Task[None]] = {}
        """The connections that are being opened before a request asks for one."""
        self._busy: set[Connection] = set()
        self._under_way = 0
        """The requests that have, or open, a connection."""

    @property
    def idle(self) -> list[Connection]:
        """The connections that wait for a request."""
        return [entry.connection for entry in self._idle_and_open()]

    @property
    def busy(self) -> list[Connection]:
        """The connections whose request is not over."""
        return list(self._busy)

    def open_ahead(self, url: httpx.URL, timeout_s: float | None) -> None:
        """Open a connection while the caller still waits for something else. Do nothing if one waits already.

        The next request to this address takes it. If it cannot be opened, a request that waits for it fails.
        """
        origin = Origin.of(url)
        if origin in self._ahead or any(entry.origin == origin for entry in self._idle_and_open()):
            return
        opening = self._ahead[origin] = start(self._open_ahead(origin, timeout_s))
        opening.add_done_callback(forget_result)
        opening.add_done_callback(lambda _: self._ahead.pop(origin, None))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        origin = Origin.of(request.url, request.extensions.get("sni_hostname"))
        timeouts: dict[str, float | None] = request.extensions.get("timeout", {})
        await self._take_slot(timeouts.get("pool"))
        self._under_way += 1
        try:
            connection = await self._asked(origin, request, timeouts)
        except BaseException:
            self._free_slot()
            raise
        body = Body(connection, timeouts.get("read"), lambda: self._give_back(origin, connection))
        answer = connection.answer
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=body,
            extensions={"http_version": b"HTTP/1.1", "body": body},
        )

    async def aclose(self) -> None:
        openings = list(self._ahead.values())
        for opening in openings:
            opening.cancel()
        if openings:
            await asyncio.wait(openings)
        connections = [*self._busy, *(entry.connection for entry in self._idle)]
        self._idle.clear()
        for connection in connections:
            connection.abort()
        for connection in connections:
            await connection.closed()

    async def _asked(
        self, origin: Origin, request: httpx.Request, timeouts: dict[str, float | None]
    ) -> Connection:
        """Return the connection on which the answer has begun."""
        connect_s = timeouts.get("connect")
        connection = self._kept(origin) or await self._awaited(origin, connect_s)
        connection = connection or await self._opened(origin, connect_s)
        self._busy.add(connection)
        try:
            await connection.ask(request, timeouts)
        except BaseException:
            self._busy.discard(connection)
            connection.abort()
            raise
        return connection

    def _kept(self, origin: Origin) -> Connection | None:
        """Take the connection that has waited for the shortest time; close those that waited for too long."""
        self._drop_old()
        while entry := next((entry for entry in reversed(self._idle) if entry.origin == origin), None):
            self._idle.remove(entry)
            if entry.connection.is_open:
                return entry.connection
            entry.connection.abort()
        return None

    def _idle_and_open(self) -> list[_Idle]:
        self._drop_old()
        return [entry for entry in self._idle if entry.connection.is_open]

    async def _open_ahead(self, origin: Origin, timeout_s: float | None) -> None:
        self._keep(origin, await self._opened(origin, timeout_s))

    async def _awaited(self, origin: Origin, timeout_s: float | None) -> Connection | None:
        """Wait for a connection that is being opened ahead. Another request may take it first."""
        opening = self._ahead.get(origin)
        if opening is None:
            return None
        await asyncio.wait({opening}, timeout=timeout_s)
        if not opening.done():
            raise httpx.ConnectTimeout(f"{origin.host} did not take the connection in time.")
        if not opening.cancelled():
            opening.result()
        return self._kept(origin)

    def _drop_old(self) -> None:
        expiry_s = self._limits.keepalive_expiry
        if expiry_s is None:
            return
        now = asyncio.get_running_loop().time()
        while self._idle and now - self._idle[0].since > expiry_s:
            self._idle.pop(0).connection.abort()

    async def _opened(self, origin: Origin, timeout_s: float | None) -> Connection:
        limit = self._limits.max_connections
        while limit and self._idle and len(self._idle) + self._under_way > limit:
            self._idle.pop(0).connection.abort()
        try:
            async with asyncio.timeout(timeout_s):
                return await self._dialled(origin)
        except TimeoutError as error:  # Ours, or the system's.
            raise httpx.ConnectTimeout(f"{origin.host} did not take the connection in time.") from error
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(f"{type(error).__name__}: {error}") from error

    async def _dialled(self, origin: Origin) -> Connection:
        tls: ssl.SSLContext | None = None
        if origin.is_encrypted and self._tls is None:
            FOR_HTTP.begin()
        opened = await open_socket(origin.host, origin.port)
        if origin.is_encrypted:
            try:
                tls = self._tls or await FOR_HTTP.ready()
            except BaseException:
                opened.close()
                raise
        name = origin.server_name if origin.is_encrypted else None
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(Connection, sock=opened, ssl=tls, server_hostname=name))[1]

    def _give_back(self, origin: Origin, connection: Connection) -> None:
        self._busy.discard(connection)
        self._free_slot()
        if not connection.may_follow:
            connection.abort()
            return
        connection.rest()
        self._keep(origin, connection)

    def _keep(self, origin: Origin, connection: Connection) -> None:
        self._idle.append(_Idle(origin, connection, asyncio.get_running_loop().time()))
        most = self._limits.max_keepalive_connections
        while most is not None and len(self._idle) > most:
            self._idle.pop(0).connection.abort()

    async def _take_slot(self, timeout_s: float | None) -> None:
        if self._slots is None:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._slots.acquire()
        except TimeoutError:
            raise httpx.PoolTimeout("All connections stayed busy.") from None

    def _free_slot(self) -> None:
        self._under_way -= 1
        if self._slots is not None:
            self._slots.release()


class _Idle(msgspec.Struct, frozen=True):
    origin: Origin
    connection: Connection
    since: float
    """In the loop's time."""


class Body(httpx.AsyncByteStream):
    """The body of an answer. To close it keeps its connection if all was read, and closes it otherwise."""

    def __init__(
        self, connection: Connection, timeout_s: float | None, give_back: Callable[[], None]
    ) -> None:
        self._connection: Connection | None = connection
        self._timeout_s = timeout_s
        self._give_back = give_back
        self._is_late = False
        """The last read began after its time."""

    async def read(self, until: float | None = None) -> bytes:
        """Return the bytes that have arrived, empty at the end. It can be repeated after a failure.

        Raise TimeoutError at `until` (loop time), or httpx.ReadTimeout after the read timeout of the request.
        """
        if self._connection is None:
            return b""
        if until is None:
            data = await self._connection.read(self._timeout_s)
        else:
            left_s = self._left_s(until)
            data = await self._connection.read(left_s, TimeoutError)
        if not data:
            self._close()
        return data

    def _left_s(self, until: float) -> float:
        """Allow one read after the time: after a freeze its bytes may be there. A flood gets no second."""
        left_s = until - asyncio.get_running_loop().time()
        if left_s > 0:
            self._is_late = False
        elif self._is_late:
            raise TimeoutError
        else:
            self._is_late = True
        return max(0.0, left_s)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while data := await self.read():
                yield data
        finally:
            self._close()

    async def aclose(self) -> None:
        self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection = None
            self._give_back()
