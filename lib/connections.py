"""An httpx client that loses no connection if a request is cancelled.

httpcore 1.0.9 leaks a connection if the request is cancelled (1) while the pool releases it, because the
pool's lock waits for a turn of the event loop, or (2) between connect and send. The connection stays open,
and the pool counts it for ever. Timeouts and disconnects cancel at any moment, so a busy process hits both.
(The garbage collector closes a connection that the pool was just removing.) This client is for pools without
a limit of connections: it wakes no request that waits for one.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Any

import httpx

from lib.tasks import forget_result, start


@lru_cache(maxsize=1)
def tls_context() -> ssl.SSLContext:
    """Return the one context of the process: reading all certificate authorities takes 15 ms and more."""
    return httpx.create_ssl_context()


class AsyncClient(httpx.AsyncClient):
    """httpx's client, with its proxies of the environment and all its other features."""

    def _transport_for_url(self, url: httpx.URL) -> httpx.AsyncBaseTransport:
        return careful(super()._transport_for_url(url))


def careful(transport: httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
    """Wrap a transport. The transport of a test has no pool and needs no wrapper."""
    pool = getattr(transport, "_pool", None)
    return transport if pool is None else _Careful(transport, pool)


class _Careful(httpx.AsyncBaseTransport):
    def __init__(self, transport: httpx.AsyncBaseTransport, pool: Any) -> None:
        self._transport = transport
        self._pool = pool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            response = await self._transport.handle_async_request(request)
        except BaseException:
            _tidy(self._pool, request)
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Body(response.stream, self._pool, request)
        return response


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, pool: Any, request: httpx.Request) -> None:
        self._stream = stream
        self._pool = pool
        self._request = request
        self._is_broken_off = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._stream:
                yield piece
        except GeneratorExit:  # The inner generator ends normally and releases its connection itself.
            raise
        except BaseException:
            self._is_broken_off = True
            raise

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        except BaseException:
            self._is_broken_off = True
            raise
        finally:
            if self._is_broken_off:
                _tidy(self._pool, self._request)


def _tidy(pool: Any, request: httpx.Request) -> None:
    """Remove the remains of a cancelled request from the pool. Without an await, nothing interrupts it."""
    requests, connections = pool._requests, pool._connections  # noqa: SLF001 - They have no public name.
    # httpx passes its own dict to httpcore, so the dict identifies the request.
    for entry in [entry for entry in requests if entry.request.extensions is request.extensions]:
        requests.remove(entry)
    used = {id(entry.connection) for entry in requests}
    for connection in list(connections):
        # A connection is idle between requests. During a request, an entry uses it.
        if not connection.is_idle() and not connection.is_closed() and id(connection) not in used:
            connections.remove(connection)
            start(connection.aclose()).add_done_callback(forget_result)
