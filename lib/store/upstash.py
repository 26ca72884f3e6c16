"""upstash://: a Redis behind REST, as Vercel's marketplace and Upstash itself hand it out.

An operation is one POST of a command as a JSON array. It needs only httpx, and that is imported anyway.
"""

from __future__ import annotations

import ssl
from typing import Any

import httpx
import msgspec

from lib.store import Passing, StoreError
from lib.store.link import HttpLink, LinkAnswer
from lib.store.redis_commands import Command, RedisCommands
from lib.store.settings import UpstashSettings


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
        settings: UpstashSettings,
        *,
        tls: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = httpx.URL(settings.url)
        headers = {"authorization": f"Bearer {settings.token}"}
        self._link = HttpLink(headers=headers, tls=tls, transport=transport)

    async def close(self) -> None:
        await self._link.close()

    async def _attempt(self, command: Command) -> Any:
        content = msgspec.json.encode(command)
        response = await self._link.post(self._url, content, timeout_s=self.attempt_timeout_s)
        if response.status_code >= 500 or response.status_code == 429:
            raise Passing(f"HTTP {response.status_code}")
        return _result(command[0], response)


def _result(name: str, response: LinkAnswer) -> Any:
    try:
        answer = msgspec.json.decode(response.content, type=dict[str, Any])
    except ValueError:
        answer = {}
    if response.status_code != 200 or "result" not in answer:
        raise UpstashError(f"{name}: HTTP {response.status_code}")
    return answer["result"]
