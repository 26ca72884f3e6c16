"""What is Upstash's own; what every store promises is in test_contract.py, how it fails in test_faults.py."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest

from lib.store import open_store
from lib.store.settings import UpstashSettings
from lib.store.upstash import UpstashError, UpstashStore
from tests.unit.store.opening import settings_of
from tests.unit.store.redis_server import RedisServer
from tests.unit.store.upstash_double import TOKEN, UpstashDouble

pytestmark = pytest.mark.anyio

Answer = httpx.Response | Exception


class Scripted:
    """Answers with what it was given, one after the other, and keeps what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[list[str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(msgspec.json.decode(request.content))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def store(self) -> UpstashStore:
        return UpstashStore(
            UpstashSettings("https://kv.example", "s3cret"), transport=httpx.MockTransport(self)
        )


def says(result: object) -> httpx.Response:
    return httpx.Response(200, json={"result": result})


async def test_a_command_is_a_json_array_that_goes_as_it_is_to_redis(redis_server: RedisServer) -> None:
    double = UpstashDouble(redis_server)
    transport = httpx.ASGITransport(double.app)
    store = UpstashStore(UpstashSettings("https://kv.example", TOKEN), transport=transport)
    await store.put("lease:0a1b", "a value", ttl_s=1.5)
    assert await store.get("lease:0a1b") == "a value"
    name = "glm-gateway:0e9f0948b3fdd9003fe7a82d5498a94965f5c1bc2445f03116b05ba9cd0582f1"
    assert double.commands == [["SET", name, "YSB2YWx1ZQ==", "PX", "1500"], ["GET", name]]


async def test_a_wrong_token_is_an_error(redis_server: RedisServer) -> None:
    transport = httpx.ASGITransport(UpstashDouble(redis_server).app)
    store = UpstashStore(UpstashSettings("https://kv.example", "wr0ng"), transport=transport)
    with pytest.raises(UpstashError, match=r"^GET: HTTP 401$"):
        await store.get("key")


async def test_what_redis_refuses_is_an_error_and_works_when_there_is_room(upstash: UpstashDouble) -> None:
    store = open_store(upstash.store)
    await store.put("key", "value", ttl_s=60)
    upstash.redis.call("CONFIG", "SET", "maxmemory", 1)
    try:
        with pytest.raises(UpstashError, match=r"^SET: HTTP 400$"):
            await store.put("key", "more", ttl_s=60)
        with pytest.raises(UpstashError, match=r"^EVAL: HTTP 400$"):
            await store.put("key", "more", ttl_s=60, instead_of="value")
        assert await store.get("key") == "value"
    finally:
        upstash.redis.call("CONFIG", "SET", "maxmemory", 0)
    assert await store.put("key", "more", ttl_s=60, instead_of="value") is True
    await store.close()


async def test_no_entry_lives_for_ever_however_short_its_time() -> None:
    upstream = Scripted(says("OK"), says("OK"))
    store = upstream.store()
    await store.put("key", "value", ttl_s=0.0)
    await store.add("key", "value", ttl_s=-5)
    assert [command[-1] for command in upstream.asked] == ["1", "1"]


@pytest.mark.parametrize("result", ["not base64!", "////", 5, {"a": "b"}, ["YQ=="], None, True])
async def test_what_somebody_else_wrote_there_is_absent(result: object) -> None:
    assert await Scripted(says(result)).store().get("key") is None


@pytest.mark.parametrize("result", [None, 0, "no", {"a": "b"}, ["OK"], 2])
async def test_what_is_no_yes_is_a_no(result: object) -> None:
    store = Scripted(*(says(result) for _ in range(3))).store()
    assert await store.add("key", "value", ttl_s=60) is False
    assert await store.put("key", "value", ttl_s=60, instead_of="held") is False
    assert await store.remove("key", "value") is False


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, json={"error": "ERR max daily request limit exceeded"}),
        httpx.Response(401, json={"error": "WRONGPASS"}),
        httpx.Response(400, json={"error": "ERR s3cret"}),
        httpx.Response(404, json={"result": "OK"}),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(301, headers={"location": "https://elsewhere.example"}),
    ],
)
async def test_a_refusal_is_an_error_at_once_that_tells_no_secret(answer: httpx.Response) -> None:
    upstream = Scripted(answer)
    with pytest.raises(UpstashError) as raised:
        await upstream.store().put("lease:0a1b", "a value", ttl_s=60)
    assert str(raised.value) == f"SET: HTTP {answer.status_code}"


PASSING = [
    httpx.ReadError("reset"),
    httpx.ConnectError("refused"),
    httpx.RemoteProtocolError("closed"),
    TimeoutError(),
    httpx.Response(429),
    httpx.Response(500, text="<html>"),
    httpx.DecodingError("no gzip"),
]


@pytest.mark.parametrize("failure", PASSING, ids=repr)
async def test_what_passes_is_tried_again(failure: Answer) -> None:
    upstream = Scripted(failure, failure, says("dmFsdWU="))
    store = upstream.store()
    store.pauses_s = (0.0, 0.0, 0.0)
    assert await store.get("key") == "value"
    assert upstream.asked[0] == upstream.asked[1] == upstream.asked[2]


@pytest.mark.parametrize("failure", PASSING, ids=repr)
async def test_what_does_not_pass_is_an_error_that_tells_no_secret(failure: Answer) -> None:
    upstream = Scripted(*[failure] * 3)
    store = upstream.store()
    store.pauses_s = (0.0, 0.0, 0.0)
    with pytest.raises(UpstashError, match=r"^SET: (\w+Error|HTTP \d+), 3 times$"):
        await store.put("lease:0a1b", "a value", ttl_s=60)


async def test_what_was_never_heard_is_repeated_as_it_was() -> None:
    refused = httpx.ConnectError("refused")
    upstream = Scripted(refused, says(None), refused, says(0))
    store = upstream.store()
    assert await store.add("lease", "mine", ttl_s=60) is False
    assert await store.put("lease", "mine", ttl_s=60, instead_of="held") is False
    first, second, third, fourth = upstream.asked
    assert (first, third) == (second, fourth)


@pytest.mark.parametrize("failure", [httpx.ReadError("reset"), httpx.Response(503)], ids=repr)
async def test_what_may_have_been_heard_is_repeated_so_that_it_finds_its_own(failure: Answer) -> None:
    upstream = Scripted(failure, says(1), failure, says(1))
    store = upstream.store()
    assert await store.add("lease", "mine", ttl_s=60) is True
    assert await store.put("lease", "mine", ttl_s=60, instead_of="held") is True
    first, second, third, fourth = upstream.asked
    assert (first[0], second[0]) == ("SET", "EVAL")
    assert fourth == [*third, third[4]]


async def test_the_address_and_the_token_come_from_the_url() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"result": None})

    for url in ("https://kv.example/", "http://127.0.0.1:8079/base/"):
        settings = settings_of("upstash://", KV_REST_API_URL=url, KV_REST_API_TOKEN="a/b")
        assert isinstance(settings, UpstashSettings)
        store = UpstashStore(settings, transport=httpx.MockTransport(answer))
        await store.get("key")
        await store.close()
    assert [str(request.url) for request in asked] == ["https://kv.example/", "http://127.0.0.1:8079/base"]
    assert {request.headers["authorization"] for request in asked} == {"Bearer a/b"}


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("https://", "s3cret"),
        ("https://:s3cr@kv.example", "s3cret"),
        ("https://s3cr/?et@kv.example", "s3cret"),
        ("https://kv.example#s3cret", "s3cret"),
        ("https://kv.example:99999", "s3cret"),
        ("https://[kv.example", "s3cret"),
        ("https://k\u200bv.\u2028example", "s3cret"),
        ("https://kv.example", "s3cret\nx"),
        ("https://kv.example", "s3cretü"),
    ],
)
def test_an_address_or_token_that_cannot_be_is_refused_without_its_secrets(url: str, token: str) -> None:
    expected = "KV_REST_API_URL must be an https:// URL, and KV_REST_API_TOKEN must be ASCII"
    with pytest.raises(ValueError, match=expected) as caught:
        settings_of("upstash://", KV_REST_API_URL=url, KV_REST_API_TOKEN=token)
    assert "s3cr" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


class Endless(httpx.AsyncByteStream):
    """An answer that goes on, and counts how much of it was read."""

    def __init__(self) -> None:
        self.size = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.size += 65_536
            yield b" " * 65_536


async def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    endless = [Endless() for _ in range(3)]
    script = Scripted(*(httpx.Response(200, stream=stream) for stream in endless))
    with pytest.raises(UpstashError, match="an answer without end, 3 times"):
        await script.store().get("key")
    assert all(stream.size <= 5 * 1024 * 1024 for stream in endless)


async def test_a_compressed_answer_is_not_unpacked() -> None:
    bomb = gzip.compress(gzip.compress(b" " * 1024 * 1024))
    answers = [httpx.Response(200, stream=Once(bomb), headers={"content-encoding": "gzip, gzip"})] * 3
    with pytest.raises(UpstashError, match="a compressed answer"):
        await Scripted(*answers).store().get("key")


class Once(httpx.AsyncByteStream):
    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content
