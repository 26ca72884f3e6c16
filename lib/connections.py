"""httpx, made fit for callers that are cancelled: no connection is lost to its pool.

Read in httpcore 1.0.9: whoever is cancelled while a pool puts a connection back (the lock around that waits
for a turn of the loop), or on the way from connecting to sending, leaves the connection open, counted, and
nobody's; for good. Time limits and clients that leave cancel at any moment, and where turns are long,
because much is going on, they do hit these. (What a pool was just throwing away is closed by the garbage
collection, whoever is cancelled then.) For pools without a limit of connections: nobody waits for one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx

from lib.tasks import forget_result, start


class AsyncClient(httpx.AsyncClient):
    """httpx's client; proxies of the environment and everything else as there."""

    def _transport_for_url(self, url: httpx.URL) -> httpx.AsyncBaseTransport:
        return careful(super()._transport_for_url(url))


def careful(transport: httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
    """Wrap a transport; one without a pool, a test's, needs nothing."""
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
        except GeneratorExit:  # whoever ends the inner generator lets it put things back itself
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
    """Take out of the pool what a broken-off request has left there. Nothing is awaited, or interrupted."""
    requests, connections = pool._requests, pool._connections  # noqa: SLF001 - no public way leads to them
    # httpx hands its own dict on to httpcore, which is how its request is known again.
    for entry in [entry for entry in requests if entry.request.extensions is request.extensions]:
        requests.remove(entry)
    used = {id(entry.connection) for entry in requests}
    for connection in list(connections):
        # Between requests one is idle; during a request it is somebody's.
        if not connection.is_idle() and not connection.is_closed() and id(connection) not in used:
            connections.remove(connection)
            start(connection.aclose()).add_done_callback(forget_result)
