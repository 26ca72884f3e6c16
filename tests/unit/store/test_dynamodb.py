"""What is DynamoDB's own: repetitions, what an item looks like, and the URL.

What every store promises is in test_contract.py, how it fails in test_faults.py.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
import struct
from typing import Any

import httpx
import msgspec
import pytest

from lib.errors import ConfigurationError
from lib.settings import Settings, current
from lib.store import open_store
from lib.store.dynamodb import DynamoError, DynamoStore
from lib.store.settings import DynamoSettings
from tests.unit.store.dynalite import CREDENTIALS, REGION, Dynalite

pytestmark = pytest.mark.anyio

TABLE = DynamoSettings(
    table="state",
    region=REGION,
    key_id=CREDENTIALS.key_id,
    secret=CREDENTIALS.secret,
    session_token=CREDENTIALS.session_token,
    endpoint="http://127.0.0.1:9",
)
NOW = 1_790_000_000.25


def says(status: int, name: str = "", **answer: Any) -> httpx.Response:
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{name}", "message": "secret"} if name else answer
    return httpx.Response(status, content=msgspec.json.encode(body))


class Scripted:
    """Answers with what it was given, one after the other, and keeps what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(msgspec.json.decode(request.content))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def store(self) -> DynamoStore:
        return DynamoStore(TABLE, now=lambda: NOW, transport=httpx.MockTransport(self))


async def test_a_request_names_its_operation_and_is_signed_for_the_table_s_region() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return says(200)

    store = DynamoStore(TABLE, now=lambda: NOW, transport=httpx.MockTransport(answer))
    assert await store.get("key") is None
    (request,) = seen
    assert request.headers["host"] == "127.0.0.1:9"
    assert request.headers["x-amz-target"] == "DynamoDB_20120810.GetItem"
    assert request.headers["x-amz-security-token"] == CREDENTIALS.session_token
    assert (
        f"Credential=AKIDEXAMPLE/20260921/{REGION}/dynamodb/aws4_request" in request.headers["authorization"]
    )
    assert msgspec.json.decode(request.content) == {
        "TableName": "state",
        "Key": {"id": {"B": base64.b64encode(hashlib.sha256(b"key").digest()).decode()}},
        "ConsistentRead": True,
    }


PASSING = [
    says(500, "InternalServerError"),
    says(503),
    says(400, "ThrottlingException"),
    says(400, "ProvisionedThroughputExceededException"),
    httpx.ReadError("reset"),
    httpx.RemoteProtocolError("closed"),
    httpx.DecodingError("no gzip"),
    TimeoutError(),
    httpx.ConnectError("refused"),
]


@pytest.mark.parametrize("answer", PASSING, ids=str)
async def test_what_passes_is_tried_again(answer: httpx.Response | Exception) -> None:
    upstream = Scripted(answer, says(200))
    await upstream.store().put("key", "value", ttl_s=60)
    assert len(upstream.asked) == 2
    assert upstream.asked[0] == upstream.asked[1]


async def test_what_does_not_pass_is_an_error_after_four_attempts_that_tells_nothing_secret() -> None:
    for failure, name in (
        (says(400, "ThrottlingException"), "400 ThrottlingException"),
        (says(500, "InternalServerError"), "500 InternalServerError"),
        (httpx.Response(503, content=b"<html>secret"), "503"),
        (httpx.LocalProtocolError("Illegal header value b'secret'"), "LocalProtocolError"),
        (httpx.DecodingError("secret"), "DecodingError"),
    ):
        upstream = Scripted(*[failure] * 4)
        with pytest.raises(DynamoError, match=rf"^PutItem: {name}$"):
            await upstream.store().put("key", "secret", ttl_s=60)
        assert len(upstream.asked) == 4


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (says(400, "AccessDeniedException"), "GetItem: 400 AccessDeniedException"),
        (says(400, "ResourceNotFoundException"), "GetItem: 400 ResourceNotFoundException"),
        (httpx.Response(403, content=b"<html>"), "GetItem: 403"),
        (httpx.Response(403, content=b"[]"), "GetItem: 403"),
    ],
)
async def test_a_refusal_is_an_error_at_once(answer: httpx.Response, message: str) -> None:
    upstream = Scripted(answer)
    with pytest.raises(DynamoError, match=f"^{message}$"):
        await upstream.store().get("key")


async def test_a_table_that_does_not_answer_keeps_nobody_waiting() -> None:
    async def hang(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    store = DynamoStore(TABLE, call_timeout_s=0.05, transport=httpx.MockTransport(hang))
    with pytest.raises(DynamoError, match=r"GetItem: no answer within 0\.05 s"):
        await store.get("key")


async def test_an_add_that_was_never_heard_is_repeated_as_it_was() -> None:
    upstream = Scripted(httpx.ConnectError("refused"), says(400, "ConditionalCheckFailedException"))
    assert await upstream.store().add("key", "value", ttl_s=60) is False
    assert upstream.asked[0] == upstream.asked[1]


@pytest.mark.parametrize("failure", [httpx.ReadError("reset"), says(500)], ids=str)
async def test_what_may_have_been_heard_is_repeated_so_that_it_finds_its_own(
    failure: httpx.Response | Exception,
) -> None:
    upstream = Scripted(failure, says(200), failure, says(200), failure, says(200))
    store = upstream.store()
    assert await store.add("lease", "mine", ttl_s=60) is True
    assert await store.put("lease", "mine", ttl_s=60, instead_of="held") is True
    assert await store.remove("lease", "mine") is True
    for first, repeated in (upstream.asked[0:2], upstream.asked[2:4]):
        assert repeated["Item"] == first["Item"]
        own = "(#content = :content AND #expires_at = :expires_at)"
        assert repeated["ConditionExpression"] == f"{first['ConditionExpression']} OR {own}"
        item, values = first["Item"], repeated["ExpressionAttributeValues"]
        assert (values[":content"], values[":expires_at"]) == (item["content"], item["expires_at"])
    assert upstream.asked[4] == upstream.asked[5]


ITEM = {"content": {"B": "dmFsdWU="}, "expires_at": {"N": str(NOW + 1)}}


async def test_an_item_is_read() -> None:
    assert await Scripted(says(200, Item=ITEM)).store().get("key") == "value"
    assert await Scripted(says(200, Item={**ITEM, "expires_at": {"N": str(NOW)}})).store().get("key") is None


@pytest.mark.parametrize(
    "item",
    [
        None,
        {},
        [],
        "text",
        {"expires_at": ITEM["expires_at"]},
        {**ITEM, "expires_at": {"S": "soon"}},
        {**ITEM, "expires_at": {"N": "soon"}},
        {**ITEM, "content": {"S": "value"}},
        {**ITEM, "content": {"B": "not base64!"}},
        {**ITEM, "content": {"B": "////"}},
    ],
    ids=str,
)
async def test_what_somebody_else_wrote_there_is_absent(item: Any) -> None:
    assert await Scripted(says(200, Item=item)).store().get("key") is None


@pytest.mark.parametrize("content", [b"<html>", b"[]", b""])
async def test_a_page_that_is_no_answer_of_dynamodb_s_is_no_success(content: bytes) -> None:
    upstream = Scripted(*[httpx.Response(200, content=content)] * 2)
    store = upstream.store()
    with pytest.raises(DynamoError, match=r"^PutItem: 200$"):
        await store.put("key", "value", ttl_s=60)
    with pytest.raises(DynamoError, match=r"^DeleteItem: 200$"):
        await store.remove("key", "value")


async def test_an_item_is_cleared_up_by_whole_seconds_and_never_before_its_time(dynalite: Dynalite) -> None:
    table = dynalite.table()
    store = DynamoStore(table, now=lambda: NOW)
    await store.put("key", "value", ttl_s=60)
    item = dynalite.call("Scan", {"TableName": table.table})["Items"][0]
    assert item["expires_at"] == {"N": "1790000060.25"}
    assert item["delete_after"] == {"N": "1790000061"}
    assert base64.b64decode(item["content"]["B"]) == b"value"
    assert set(item) == {"id", "content", "expires_at", "delete_after"}
    await store.close()


# The URL, and where its parts come from

FUNCTION = {
    "STORE_URL": "dynamodb://glm-gateway-prod-State_1?region=eu-west-1",
    "AWS_ACCESS_KEY_ID": "ASIA:EX@MPLE",
    "AWS_SECRET_ACCESS_KEY": "se/cr+et%",
    "AWS_SESSION_TOKEN": "tok&en==",
    "AWS_REGION": "us-east-1",
}


def table_of(**changes: str) -> DynamoSettings:
    store = Settings.from_env({**FUNCTION, **changes}).store
    assert isinstance(store, DynamoSettings)
    return store


def endpoint_of(**changes: str) -> str:
    return DynamoStore(table_of(**changes))._endpoint


def test_a_function_s_environment_opens_its_table() -> None:
    table = table_of()
    assert (table.table, table.region) == ("glm-gateway-prod-State_1", "eu-west-1")
    assert endpoint_of() == "https://dynamodb.eu-west-1.amazonaws.com"
    assert (table.key_id, table.secret) == ("ASIA:EX@MPLE", "se/cr+et%")
    assert table.session_token == "tok&en=="


def test_the_region_is_the_function_s_where_the_url_names_none() -> None:
    assert table_of(STORE_URL="dynamodb://state").region == "us-east-1"
    assert table_of(STORE_URL="dynamodb://state", AWS_REGION="", AWS_DEFAULT_REGION="eu-north-1").region == (
        "eu-north-1"
    )


def test_regions_in_china_have_a_domain_of_their_own() -> None:
    assert (
        endpoint_of(AWS_REGION="cn-north-1", STORE_URL="dynamodb://state")
        == "https://dynamodb.cn-north-1.amazonaws.com.cn"
    )


def test_another_endpoint_is_named_as_aws_names_it() -> None:
    assert endpoint_of(AWS_ENDPOINT_URL="http://127.0.0.1:1") == "http://127.0.0.1:1"
    both = endpoint_of(AWS_ENDPOINT_URL="http://127.0.0.1:1", AWS_ENDPOINT_URL_DYNAMODB="http://127.0.0.1:2")
    assert both == "http://127.0.0.1:2"


@pytest.mark.parametrize(
    "changes",
    [
        {"AWS_ACCESS_KEY_ID": ""},
        {"AWS_SECRET_ACCESS_KEY": ""},
        {"STORE_URL": "dynamodb://state", "AWS_REGION": ""},
        {"STORE_URL": "dynamodb://"},
        {"STORE_URL": "dynamodb://secret:se@state"},
    ],
)
def test_what_is_missing_for_a_table_is_said_with_the_other_mistakes(changes: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"HEARTBEAT_S .*; STORE_URL ") as caught:
        Settings.from_env({**FUNCTION, "HEARTBEAT_S": "soon", **changes})
    assert "se/cr" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_new_credentials_are_new_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in FUNCTION.items():
        monkeypatch.setenv(name, value)
    before = current()
    monkeypatch.setenv("AWS_SESSION_TOKEN", "another")
    assert current() != before
    assert "another" not in repr(current())


async def test_a_store_that_was_never_used_is_closed_without_a_word() -> None:
    store = open_store(TABLE)
    await store.close()
    await store.close()


def test_the_imitation_outlives_a_request_that_is_broken_off(dynalite: Dynalite) -> None:
    port = int(dynalite.endpoint.rpartition(":")[2])
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n{")
            reset = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
    assert dynalite.environ()
