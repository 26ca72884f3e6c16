"""The way to a store behind HTTP: one client for the running loop; a failure is raised as `Passing`."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import httpx
import msgspec

from lib.store import Passing
from lib.transport.client import AsyncClient

KEEPALIVE_S = 30.0
MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""Our entries are much smaller. A larger answer is not read to its end."""


class LinkAnswer(msgspec.Struct, frozen=True):
    status_code: int
    content: bytes


class HttpLink:
    def __init__(
        self,
        *,
        headers: dict[str, str],
        base_url: str = "",
        tls: ssl.SSLContext | None,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self._options: dict[str, Any] = {
            "base_url": base_url,
            "headers": {"accept-encoding": "identity", **headers},
            "verify": tls or True,
            "transport": transport,
        }
        self._http: AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def post(
        self, url: httpx.URL | str, content: bytes, *, timeout_s: float, headers: dict[str, str] | None = None
    ) -> LinkAnswer:
        """Return the answer with any status. Raise Passing if none comes in time, or a strange one."""
        try:
            async with asyncio.timeout(timeout_s):
                client = self._client()
                request = client.build_request("POST", url, content=content, headers=headers)
                response = await client.exchange(request)
                try:
                    return LinkAnswer(response.status_code, await _whole(response))
                finally:
                    await response.aclose()
        except httpx.ConnectError as error:
            raise Passing(type(error).__name__, is_unheard=True) from None
        except (TimeoutError, httpx.RequestError) as error:  # Its text may quote a header.
            raise Passing(type(error).__name__) from None

    async def close(self) -> None:
        http, self._http = self._http, None
        if http is not None and self._loop is asyncio.get_running_loop():
            await http.aclose()

    def _client(self) -> AsyncClient:
        """Return the running loop's client. Another loop's can neither be used nor closed from here."""
        loop = asyncio.get_running_loop()
        if self._http is None or self._loop is not loop:
            self._loop = loop
            # No timeout of the client's: `post` has one for the whole attempt.
            limits = httpx.Limits(keepalive_expiry=KEEPALIVE_S)
            self._http = AsyncClient(timeout=None, limits=limits, **self._options)
        return self._http


async def _whole(response: httpx.Response) -> bytes:
    """Read a body as it is. We ask for no compression, and a few bytes could unpack to gigabytes."""
    if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise Passing("a compressed answer")
    assert isinstance(response.stream, httpx.AsyncByteStream)
    body = bytearray()
    async for piece in response.stream:
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise Passing("an answer without end")
    return bytes(body)
