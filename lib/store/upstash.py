"""upstash:// — a Redis behind REST, as Vercel's marketplace and Upstash itself hand it out.

One POST an operation, a command as a JSON array; what is atomic is Redis's own. Nothing but httpx is needed,
which is there anyway. Keys are hashed and values are base64: any text can be both.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import math
import ssl
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import msgspec

ATTEMPT_TIMEOUT_S = 2.0
"""A call takes some 10 ms; whoever waits for it keeps a client waiting."""
PAUSES_S = (0.0, 0.02, 0.2)
"""Before each attempt. The first repetition comes at once: most often a kept connection was closed while the
function was frozen."""
KEEPALIVE_S = 30.0

PREFIX = "glm-gateway:"
"""The database may hold other things of its owner's."""

REMOVE_IF_EQUAL = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end"
)


class UpstashError(Exception):
    """Upstash refused or was not reached; the message holds no key, no value and no token."""


class UpstashStore:
    """Serves one event loop after the other."""

    def __init__(
        self,
        url: str,
        *,
        tls: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Read `upstash://:<token>@<host>[?scheme=http]`, as lib/settings.py completes it."""
        parts = urlsplit(url)
        if not parts.hostname or not parts.password:
            raise ValueError("expected upstash:// with KV_REST_API_URL and KV_REST_API_TOKEN, got less")
        scheme = "http" if parts.query == "scheme=http" else "https"
        port = f":{parts.port}" if parts.port else ""
        self._url = f"{scheme}://{parts.hostname}{port}{parts.path or '/'}"
        self._token = unquote(parts.password)
        self._tls = tls
        self._transport = transport
        self._http: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def get(self, key: str) -> str | None:
        found = await self._command("GET", _key(key))
        return None if found is None else _text(found)

    async def put(self, key: str, value: str, *, ttl_s: float) -> None:
        await self._command("SET", _key(key), _content(value), "PX", _milliseconds(ttl_s))

    async def add(self, key: str, value: str, *, ttl_s: float) -> bool:
        content = _content(value)
        written, is_repeated = await self._ask("SET", _key(key), content, "NX", "PX", _milliseconds(ttl_s))
        if written == "OK" or not is_repeated:
            return bool(written == "OK")
        # The first attempt may have written it without our hearing of it: then it is this very entry.
        return bool(await self._command("GET", _key(key)) == content)

    async def remove(self, key: str, value: str) -> bool:
        """As everywhere; but False also where a repetition found that its first attempt had removed it."""
        removed = await self._command("EVAL", REMOVE_IF_EQUAL, "1", _key(key), _content(value))
        return bool(removed == 1)

    async def close(self) -> None:
        http, self._http = self._http, None
        if http is not None and self._loop is asyncio.get_running_loop():
            await http.aclose()

    async def _command(self, *command: str) -> Any:
        return (await self._ask(*command))[0]

    async def _ask(self, *command: str) -> tuple[Any, bool]:
        """Return the result, and whether it took more than one attempt to have it."""
        body = msgspec.json.encode(command)
        failure = "no answer"
        for pause_s in PAUSES_S:
            await asyncio.sleep(pause_s)
            try:
                async with asyncio.timeout(ATTEMPT_TIMEOUT_S):
                    response = await self._client().post(self._url, content=body)
            except (TimeoutError, httpx.TransportError) as error:
                failure = type(error).__name__
            else:
                if response.status_code < 500 and response.status_code != 429:
                    return _result(command[0], response), pause_s > 0
                failure = f"HTTP {response.status_code}"
        raise UpstashError(f"{command[0]}: {failure}, {len(PAUSES_S)} times")

    def _client(self) -> httpx.AsyncClient:
        """The running loop's client; what another loop has left cannot be used, or even closed, from here."""
        loop = asyncio.get_running_loop()
        if self._http is None or self._loop is not loop:
            self._loop = loop
            self._http = httpx.AsyncClient(
                timeout=ATTEMPT_TIMEOUT_S,
                limits=httpx.Limits(keepalive_expiry=KEEPALIVE_S),
                headers={"authorization": f"Bearer {self._token}", "accept-encoding": "identity"},
                verify=self._tls or True,
                transport=self._transport,
            )
        return self._http


def _result(name: str, response: httpx.Response) -> Any:
    try:
        answer = msgspec.json.decode(response.content, type=dict[str, Any])
    except ValueError:
        answer = {}
    if response.status_code != 200 or "result" not in answer:
        raise UpstashError(f"{name}: HTTP {response.status_code}")
    return answer["result"]


def _key(key: str) -> str:
    return PREFIX + hashlib.sha256(_bytes(key)).hexdigest()


def _content(value: str) -> str:
    return base64.b64encode(_bytes(value)).decode()


def _text(content: Any) -> str | None:
    """Read what we wrote; what somebody else wrote there is nothing."""
    try:
        return base64.b64decode(content, validate=True).decode("utf-8", "surrogatepass")
    except (ValueError, TypeError):
        return None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _milliseconds(ttl_s: float) -> str:
    return str(max(1, math.ceil(ttl_s * 1000)))
