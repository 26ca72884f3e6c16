"""httpx's client over our transport. If the environment names a proxy, httpx's own transport asks it."""

from __future__ import annotations

import ssl
from functools import lru_cache
from typing import Any

import httpx

from lib.transport.pool import Transport


def whole_request(
    method: str, url: str, headers: dict[str, str], extensions: dict[str, Any], **body: Any
) -> httpx.Request:
    """Make a request for `exchange`, which adds no header to it."""
    parsed = _parsed(url)
    headers = {"Host": parsed.netloc.decode("ascii"), **headers}
    if isinstance(content := body.get("content"), bytes):
        # httpx takes a stream and all its headers as they are. Otherwise it goes through them again.
        headers["Content-Length"] = str(len(content))
        body = {"stream": httpx.ByteStream(content)}
    return httpx.Request(method, parsed, headers=headers, extensions=extensions, **body)


@lru_cache(maxsize=64)
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)


class AsyncClient(httpx.AsyncClient):
    async def exchange(self, request: httpx.Request) -> httpx.Response:
        """Send a whole request as it is: without cookies, redirects, and the client's headers and timeouts.

        A third of the CPU of `send` is for these. The caller reads the response and closes it.
        """
        if self.is_closed:
            raise RuntimeError("The client is closed.")
        response = await self._transport_for_url(request.url).handle_async_request(request)
        response.request = request
        return response

    def open_ahead(self, url: str, *, timeout_s: float | None) -> None:
        """Open a connection to this address beside, unless one waits. Behind a proxy, do nothing."""
        parsed = _parsed(url)
        transport = self._transport_for_url(parsed)
        if isinstance(transport, Transport) and not self.is_closed:
            transport.open_ahead(parsed, timeout_s)

    def _init_transport(  # type: ignore[override] # httpx passes its arguments by name
        self,
        *,
        verify: ssl.SSLContext | bool = True,
        limits: httpx.Limits,
        transport: httpx.AsyncBaseTransport | None = None,
        **_: Any,
    ) -> httpx.AsyncBaseTransport:
        if transport is not None:
            return transport
        tls = None if verify is True else httpx.create_ssl_context(verify)
        return Transport(tls=tls, limits=limits)
