"""dynamodb://table?region=… — what the instances of a function on AWS Lambda share.

An item is `id` (sha256 of the key: any text is a key), `content`, `expires_at`, which alone says whether it
is there, and `delete_after`, by which DynamoDB's own time to live clears up, hours or days later.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import math
import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

import httpx
import msgspec

from lib.store.sigv4 import Credentials, sign

CALL_TIMEOUT_S = 5.0
"""For one operation with its repetitions; it takes 5 ms, and whoever waits for it keeps a client waiting."""
ATTEMPT_TIMEOUT_S = 2.0
PAUSES_S = (0.0, 0.05, 0.2)
"""Before each repetition, up to twice as long; the first at once: most often a kept connection was closed
while the function was frozen."""
KEEPALIVE_S = 30.0
TRANSIENT = ("Throttling", "ProvisionedThroughputExceeded", "RequestLimitExceeded", "InternalServerError")
"""What DynamoDB's error names begin with where the same request may succeed a moment later."""

NAMES = {"#id": "id", "#content": "content", "#expires_at": "expires_at"}
ABSENT = "attribute_not_exists(#id) OR #expires_at <= :now"
MINE = "(#content = :content AND #expires_at = :expires_at)"
HELD = "#content = :content AND #expires_at > :now"


class DynamoError(Exception):
    """DynamoDB refused or was not reached; the message names its error, never a key or a value."""


class _ConditionFailed(Exception):
    """The item is not as the condition wants it."""


@dataclass(frozen=True, slots=True)
class Table:
    """Where the table is, and who we are there."""

    name: str
    region: str
    credentials: Credentials = field(repr=False)
    endpoint: str

    @classmethod
    def of_url(cls, url: str) -> Table:
        """Read `dynamodb://<key id>:<secret>@<table>?region=…[&session_token=…][&endpoint=…]`.

        lib/settings.py completes what the owner wrote so, from the environment. Raise ValueError for less.
        """
        address, _, query = url.partition("://")[2].partition("?")
        access, _, name = address.rpartition("@")
        key_id, _, secret = access.partition(":")
        more = {option: values[0] for option, values in parse_qs(query).items()}
        region = more.get("region", "")
        if not (name and key_id and secret and region):
            raise ValueError("expected dynamodb://<table>?region=<region> with AWS credentials, got less")
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        return cls(
            unquote(name),
            region,
            Credentials(unquote(key_id), unquote(secret), more.get("session_token", "")),
            more.get("endpoint") or f"https://dynamodb.{region}.{suffix}",
        )


class DynamoStore:
    """Every operation is one conditional request: what is atomic is DynamoDB's own."""

    def __init__(
        self,
        table: Table,
        *,
        now: Callable[[], float] = time.time,
        timeout_s: float = CALL_TIMEOUT_S,
        tls: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._table = table
        self._now = now
        self._timeout_s = timeout_s
        self._tls = tls
        self._transport = transport
        self._http: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def get(self, key: str) -> str | None:
        # Consistent: an eventual read may be a second old, and show a refresh token that is dead since.
        answer = await self._call("GetItem", {"Key": _id(key), "ConsistentRead": True})
        item = answer.get("Item")
        if not item or float(item["expires_at"]["N"]) <= self._now():
            return None
        return base64.b64decode(item["content"]["B"]).decode("utf-8", "surrogatepass")

    async def put(self, key: str, value: str, *, ttl_s: float) -> None:
        await self._call("PutItem", {"Item": _item(key, value, self._now() + ttl_s)})

    async def add(self, key: str, value: str, *, ttl_s: float) -> bool:
        now = self._now()
        item = _item(key, value, now + ttl_s)
        values = {":now": _number(now)}
        written = {**values, ":content": item["content"], ":expires_at": item["expires_at"]}
        # A repetition may find what its first attempt wrote without our hearing of it: this very entry.
        return await self._write(
            "PutItem",
            {"Item": item, "ExpressionAttributeValues": values, "ConditionExpression": ABSENT},
            repeated={"ExpressionAttributeValues": written, "ConditionExpression": f"{ABSENT} OR {MINE}"},
        )

    async def remove(self, key: str, value: str) -> bool:
        """As everywhere; but False also where a repetition found that its first attempt had removed it."""
        values = {":now": _number(self._now()), ":content": _content(value)}
        request = {"Key": _id(key), "ExpressionAttributeValues": values, "ConditionExpression": HELD}
        return await self._write("DeleteItem", request)

    async def close(self) -> None:
        http, self._http = self._http, None
        if http is None or self._loop is not asyncio.get_running_loop():
            return
        await http.aclose()

    async def _write(
        self, operation: str, request: dict[str, Any], repeated: dict[str, Any] | None = None
    ) -> bool:
        used = {name for name in NAMES if name in request["ConditionExpression"]}
        request["ExpressionAttributeNames"] = {name: NAMES[name] for name in used}
        if repeated is not None:
            repeated["ExpressionAttributeNames"] = NAMES
        try:
            await self._call(operation, request, repeated=repeated)
        except _ConditionFailed:
            return False
        return True

    async def _call(
        self, operation: str, request: dict[str, Any], *, repeated: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Ask, and again after what passes; `repeated` replaces parts of what may have been heard before."""
        request = {"TableName": self._table.name, **request}
        try:
            async with asyncio.timeout(self._timeout_s):
                for pause_s in PAUSES_S:
                    try:
                        return await self._attempt(operation, request)
                    except (httpx.TransportError, _Transient) as error:
                        if repeated and not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                            request |= repeated
                    await asyncio.sleep(pause_s * (1 + random.random()))
                return await self._attempt(operation, request)
        except TimeoutError:
            raise DynamoError(f"{operation}: no answer within {self._timeout_s:g} s") from None
        except (httpx.TransportError, _Transient) as error:
            raise DynamoError(f"{operation}: {type(error).__name__} {error}".strip()) from error

    async def _attempt(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        body = msgspec.json.encode(request)
        http = self._client()
        headers = {
            "host": http.base_url.netloc.decode(),
            "content-type": "application/x-amz-json-1.0",
            "x-amz-target": f"DynamoDB_20120810.{operation}",
        }
        signed = sign(
            headers,
            body,
            self._table.credentials,
            region=self._table.region,
            service="dynamodb",
            now=self._now(),
        )
        return _read(operation, await http.post("/", content=body, headers=signed))

    def _client(self) -> httpx.AsyncClient:
        """The running loop's client; what another loop has left cannot be used, or even closed, from here."""
        loop = asyncio.get_running_loop()
        if self._http is None or self._loop is not loop:
            self._loop = loop
            self._http = httpx.AsyncClient(
                base_url=self._table.endpoint,
                timeout=ATTEMPT_TIMEOUT_S,
                limits=httpx.Limits(keepalive_expiry=KEEPALIVE_S),
                headers={"accept-encoding": "identity"},
                verify=self._tls or True,
                transport=self._transport,
            )
        return self._http


class _Transient(Exception):
    """DynamoDB asks for another try."""


def _read(operation: str, response: httpx.Response) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(response.content, type=dict[str, Any])
    except ValueError:
        answer = {}
    if response.status_code == 200:
        return answer
    name = str(answer.get("__type", "")).rpartition("#")[2]
    if name == "ConditionalCheckFailedException":
        raise _ConditionFailed
    message = f"{response.status_code} {name}".strip()
    if response.status_code >= 500 or name.startswith(TRANSIENT):
        raise _Transient(message)
    raise DynamoError(f"{operation}: {message}")


def _item(key: str, value: str, expires_at: float) -> dict[str, Any]:
    return {
        **_id(key),
        "content": _content(value),
        "expires_at": _number(expires_at),
        "delete_after": {"N": str(math.ceil(expires_at))},  # time to live takes whole seconds
    }


def _id(key: str) -> dict[str, Any]:
    # Hashed: DynamoDB's keys are 1 to 2048 bytes.
    return {"id": {"B": base64.b64encode(hashlib.sha256(_bytes(key)).digest()).decode()}}


def _content(value: str) -> dict[str, str]:
    """As binary: DynamoDB's text takes no lone surrogate, which JSON can carry."""
    return {"B": base64.b64encode(_bytes(value)).decode()}


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _number(value: float) -> dict[str, str]:
    return {"N": repr(value)}
