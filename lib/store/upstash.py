"""upstash:// — a Redis behind REST, as Vercel's marketplace and Upstash itself hand it out.

One POST an operation, a command as a JSON array. Nothing but httpx is needed, which is there anyway.
"""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import msgspec

from lib.store import Passing, StoreError
from lib.store.link import HttpLink
from lib.store.redis_commands import Command, RedisCommands


class UpstashError(StoreError):
    """Upstash refused or was not reached."""


class UpstashStore(RedisCommands):
    """Serves one event loop after the other."""

    call_timeout_s = 2.0
    attempt_timeout_s = 0.9
    """A call takes some 10 ms, on a new connection some 100."""
    pauses_s: tuple[float, ...] = (0.0, 0.02, 0.2)
    error = UpstashError

    def __init__(
        self,
        url: str,
        *,
        tls: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Read `upstash://:<token>@<host>[?scheme=http]`, as lib/settings.py completes it."""
        self._url, token = _address(url)
        headers = {"authorization": f"Bearer {token}"}
        self._link = HttpLink(headers=headers, tls=tls, transport=transport)

    async def close(self) -> None:
        await self._link.close()

    async def _attempt(self, command: Command) -> Any:
        content = msgspec.json.encode(command)
        response = await self._link.post(self._url, content, timeout_s=self.attempt_timeout_s)
        if response.status_code >= 500 or response.status_code == 429:
            raise Passing(f"HTTP {response.status_code}")
        return _result(command[0], response)


def _address(url: str) -> tuple[httpx.URL, str]:
    """Read the URL and the token; neither is in an error."""
    try:
        parts = urlsplit(url)
        token = unquote(parts.password or "")
        scheme = "http" if parts.query == "scheme=http" else "https"
        port = f":{parts.port}" if parts.port else ""
        address = httpx.URL(f"{scheme}://{parts.hostname or ''}{port}{parts.path or '/'}")
    except (ValueError, httpx.InvalidURL):
        raise ValueError("expected upstash:// with the address of a server, got something else") from None
    if not address.host or not token:
        raise ValueError("expected upstash:// with KV_REST_API_URL and KV_REST_API_TOKEN, got less")
    if not token.isascii() or not token.isprintable():
        raise ValueError("expected a token of printable ASCII, since it is sent in a header")
    return address, token


def _result(name: str, response: httpx.Response) -> Any:
    try:
        answer = msgspec.json.decode(response.content, type=dict[str, Any])
    except ValueError:
        answer = {}
    if response.status_code != 200 or "result" not in answer:
        raise UpstashError(f"{name}: HTTP {response.status_code}")
    return answer["result"]
