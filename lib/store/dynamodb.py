"""dynamodb://table?region=…: a table that the instances of a function on AWS Lambda share.

An item has four attributes: `id` (sha256 of the key, since any text is a key), `content`, `expires_at` and
`delete_after`. The item is absent after `expires_at`. DynamoDB's own time to live clears up after
`delete_after`, hours or days later. A record is one item, too: each field is two attributes of it.
"""

from __future__ import annotations

import asyncio
import math
import random
import ssl
import time
from collections.abc import Callable
from typing import Any

import httpx
import msgspec

from lib.patience import patience
from lib.store import Change, Outcome, Passing, StoreError, latest_end
from lib.store.dynamodb_record import alteration, repeated_alteration, values_in
from lib.store.dynamodb_values import content_of, id_of, number_of, text_of
from lib.store.link import HttpLink, LinkAnswer
from lib.store.settings import DynamoSettings
from lib.store.sigv4 import Credentials, sign

CALL_TIMEOUT_S = 2.0
"""One operation with its repetitions takes at most so long, while a client waits. As a rule it takes 5 ms."""
ATTEMPT_TIMEOUT_S = 0.9
PAUSES_S = (0.0, 0.05, 0.2)
"""The pause before each repetition is up to twice as long. The first repetition comes at once: most often a
kept connection was closed while the function was frozen."""
TRANSIENT = ("Throttling", "ProvisionedThroughputExceeded", "RequestLimitExceeded", "InternalServerError")
"""DynamoDB's error names begin with these words if the same request may succeed a moment later."""

NAMES = {"#id": "id", "#content": "content", "#expires_at": "expires_at"}
ABSENT = "attribute_not_exists(#id) OR #expires_at <= :now"
OVER = " OR #expires_at > :latest"
MINE = "(#content = :content AND #expires_at = :expires_at)"
HELD = "(#content = :held AND #expires_at > :now)"


class DynamoError(StoreError):
    """DynamoDB refused or was not reached; the message names its error."""


class _ConditionFailed(Exception):
    """The item is not as the condition wants it."""

    def __init__(self, item: dict[str, Any] | None) -> None:
        super().__init__()
        self.item = item


class DynamoStore:
    """Every operation is one conditional request, which DynamoDB makes atomic."""

    def __init__(
        self,
        settings: DynamoSettings,
        *,
        now: Callable[[], float] = time.time,
        call_timeout_s: float = CALL_TIMEOUT_S,
        attempt_timeout_s: float = ATTEMPT_TIMEOUT_S,
        tls: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._settings = settings
        self._endpoint = settings.endpoint or _endpoint_of(settings.region)
        self._now = now
        self.call_timeout_s = call_timeout_s
        self.attempt_timeout_s = attempt_timeout_s
        self._link = HttpLink(headers={}, base_url=self._endpoint, tls=tls, transport=transport)

    async def get(self, key: str) -> str | None:
        # Consistent: an eventual read may be a second old, and show a refresh token that is dead since.
        answer = await self._call("GetItem", {"Key": id_of(key), "ConsistentRead": True})
        return _live(answer.get("Item"), self._now())

    async def put(self, key: str, value: str, *, ttl_s: float, instead_of: str | None = None) -> bool:
        now = self._now()
        item = _item(key, value, now + ttl_s)
        if instead_of is not None:
            return await self._put_where(
                HELD, item, {":now": number_of(now), ":held": content_of(instead_of)}
            )
        await self._call("PutItem", {"Item": item})
        return True

    async def add(self, key: str, value: str, *, ttl_s: float) -> bool:
        now = self._now()
        condition, values = ABSENT, {":now": number_of(now)}
        if (latest := latest_end(ttl_s, now)) < math.inf:
            condition, values = ABSENT + OVER, {**values, ":latest": number_of(latest)}
        return await self._put_where(condition, _item(key, value, now + ttl_s), values)

    async def remove(self, key: str, value: str) -> bool:
        """As in every store; False also if a repetition found the entry removed by its first attempt."""
        values = {":now": number_of(self._now()), ":held": content_of(value)}
        request = {"Key": id_of(key), "ExpressionAttributeValues": values, "ConditionExpression": HELD}
        return await self._write("DeleteItem", request)

    async def alter(self, record: str, change: Change, /) -> Outcome:
        now = self._now()
        if change.is_read_only and not change.when:
            return Outcome(True, values_in(await self._record(record), change, now))
        request = {"Key": id_of(record), **alteration(change, now), "ReturnValues": "ALL_OLD"}
        # DynamoDB returns the item with the refusal, which saves a second request (since 2023-06-30).
        request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        try:
            answer = await self._call("UpdateItem", request, repeated=repeated_alteration(change, now))
        except _ConditionFailed as failure:
            item = failure.item
            if item is None and change.reads:
                item = await self._record(record)
            return Outcome(False, values_in(item, change, now))
        return Outcome(True, values_in(answer.get("Attributes"), change, now))

    async def _record(self, record: str) -> dict[str, Any] | None:
        answer = await self._call("GetItem", {"Key": id_of(record), "ConsistentRead": True})
        item: dict[str, Any] | None = answer.get("Item")
        return item

    async def close(self) -> None:
        await self._link.close()

    async def _put_where(self, condition: str, item: dict[str, Any], values: dict[str, Any]) -> bool:
        # A repetition may find this very entry: its first attempt wrote it, and the answer was lost.
        mine = {":content": item["content"], ":expires_at": item["expires_at"]}
        return await self._write(
            "PutItem",
            {"Item": item, "ExpressionAttributeValues": values, "ConditionExpression": condition},
            repeated={
                "ExpressionAttributeValues": {**values, **mine},
                "ConditionExpression": f"{condition} OR {MINE}",
            },
        )

    async def _write(
        self, operation: str, request: dict[str, Any], repeated: dict[str, Any] | None = None
    ) -> bool:
        request["ExpressionAttributeNames"] = _names_in(request)
        if repeated is not None:
            repeated["ExpressionAttributeNames"] = _names_in(repeated)
        try:
            await self._call(operation, request, repeated=repeated)
        except _ConditionFailed:
            return False
        return True

    async def _call(
        self, operation: str, request: dict[str, Any], *, repeated: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Ask, and repeat after a failure that may pass; `repeated` replaces parts of the repetition."""
        request = {"TableName": self._settings.table, **request}
        try:
            async with patience(self.call_timeout_s):
                for pause_s in PAUSES_S:
                    try:
                        return await self._attempt(operation, request)
                    except Passing as error:
                        if repeated and not error.is_unheard:
                            request |= repeated
                    await asyncio.sleep(pause_s * (1 + random.random()))
                return await self._attempt(operation, request)
        except TimeoutError:
            raise DynamoError(f"{operation}: no answer within {self.call_timeout_s:g} s") from None
        except Passing as error:
            raise DynamoError(f"{operation}: {error}") from None

    async def _attempt(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        body = msgspec.json.encode(request)
        headers = {
            "host": httpx.URL(self._endpoint).netloc.decode(),
            "content-type": "application/x-amz-json-1.0",
            "x-amz-target": f"DynamoDB_20120810.{operation}",
        }
        signed = sign(
            headers,
            body,
            Credentials(self._settings.key_id, self._settings.secret, self._settings.session_token),
            region=self._settings.region,
            service="dynamodb",
            now=self._now(),
        )
        response = await self._link.post("/", body, timeout_s=self.attempt_timeout_s, headers=signed)
        return _read(operation, response)


def _endpoint_of(region: str) -> str:
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://dynamodb.{region}.{suffix}"


def _read(operation: str, response: LinkAnswer) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(response.content, type=dict[str, Any])
    except ValueError:
        answer = None
    if response.status_code == 200 and answer is not None:
        return answer
    name = str((answer or {}).get("__type", "")).rpartition("#")[2]
    if name == "ConditionalCheckFailedException":
        raise _ConditionFailed((answer or {}).get("Item"))
    message = f"{response.status_code} {name}".strip()
    if response.status_code >= 500 or name.startswith(TRANSIENT):
        raise Passing(message)
    raise DynamoError(f"{operation}: {message}")


def _names_in(request: dict[str, Any]) -> dict[str, str]:
    """DynamoDB refuses a name that the condition does not use."""
    return {name: meant for name, meant in NAMES.items() if name in request["ConditionExpression"]}


def _live(item: Any, now: float) -> str | None:
    """Read our own content; foreign content counts as absent."""
    try:
        if float(item["expires_at"]["N"]) <= now:
            return None
        return text_of(item["content"])
    except (KeyError, TypeError, ValueError):
        return None


def _item(key: str, value: str, expires_at: float) -> dict[str, Any]:
    return {
        **id_of(key),
        "content": content_of(value),
        "expires_at": number_of(expires_at),
        "delete_after": {"N": str(math.ceil(expires_at))},  # time to live takes whole seconds
    }
