"""What is Upstash's own; what every store promises is in test_contract.py."""

from __future__ import annotations

import time

import httpx
import pytest

from lib.store import open_store, upstash
from lib.store.upstash import UpstashError, UpstashStore
from tests.lib.store.upstash_double import TOKEN, UpstashDouble


def store_of(double: UpstashDouble, token: str = TOKEN) -> UpstashStore:
    return UpstashStore(f"upstash://:{token}@kv.example", transport=httpx.ASGITransport(double.app))


async def test_neither_keys_nor_values_lie_there_as_they_are() -> None:
    double = UpstashDouble(time.time)
    await store_of(double).put("lease:0a1b", "a value", ttl_s=60)
    ((key, (value, _)),) = double.entries.items()
    assert key.startswith("glm-gateway:")
    assert "0a1b" not in key
    assert value == "YSB2YWx1ZQ=="


async def test_an_entry_lives_to_the_millisecond_and_never_for_ever() -> None:
    double = UpstashDouble(time.time)
    store = store_of(double)
    await store.put("key", "value", ttl_s=1.5)
    await store.add("other", "value", ttl_s=0.0)
    assert [command[-1] for command in double.commands] == ["1500", "1"]


async def test_what_somebody_else_wrote_there_is_absent() -> None:
    double = UpstashDouble(time.time)
    store = store_of(double)
    await store.put("key", "value", ttl_s=60)
    (key,) = double.entries
    double.entries[key] = ("not base64!", time.time() + 60)
    assert await store.get("key") is None


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, json={"error": "ERR max daily request limit exceeded"}),
        httpx.Response(401, json={"error": "WRONGPASS"}),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
    ],
)
async def test_a_refusal_is_an_error_that_tells_no_secret(answer: httpx.Response) -> None:
    asked: list[httpx.Request] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return answer

    transport = httpx.MockTransport(refuse)
    store = UpstashStore("upstash://:s3cret@kv.example", transport=transport)
    with pytest.raises(UpstashError) as raised:
        await store.put("lease:0a1b", "a value", ttl_s=60)
    assert str(raised.value) == f"SET: HTTP {answer.status_code}"
    assert len(asked) == 1


Failing = httpx.Response | Exception


def failing(double: UpstashDouble, *failures: Failing, is_heard: bool = False) -> httpx.AsyncBaseTransport:
    """The double behind a line that fails so many times; `is_heard`: after the command was carried out."""
    left = list(failures)
    inner = httpx.ASGITransport(double.app)

    async def answer(request: httpx.Request) -> httpx.Response:
        failure = left.pop(0) if left else None
        if failure is None:
            return await inner.handle_async_request(request)
        if is_heard:
            await inner.handle_async_request(request)
        if isinstance(failure, Exception):
            raise failure
        return failure

    return httpx.MockTransport(answer)


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ReadError("reset"),
        httpx.ConnectError("refused"),
        TimeoutError(),
        httpx.Response(429),
        httpx.Response(503),
    ],
)
async def test_what_passes_is_tried_again(failure: Failing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstash, "PAUSES_S", (0.0, 0.001, 0.001))
    double = UpstashDouble(time.time)
    transport = failing(double, failure, failure)
    store = UpstashStore(f"upstash://:{TOKEN}@kv.example", transport=transport)
    await store.put("key", "value", ttl_s=60)
    assert await store.get("key") == "value"


async def test_a_server_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstash, "PAUSES_S", (0.0, 0.001, 0.001))
    transport = failing(UpstashDouble(time.time), *[httpx.ConnectError("refused")] * 3)
    store = UpstashStore(f"upstash://:{TOKEN}@kv.example", transport=transport)
    with pytest.raises(UpstashError, match="GET: ConnectError, 3 times"):
        await store.get("key")


@pytest.mark.parametrize("is_heard", [True, False])
async def test_a_lease_whose_answer_was_lost_is_known_as_ours(is_heard: bool) -> None:
    double = UpstashDouble(time.time)
    transport = failing(double, httpx.ReadError("reset"), is_heard=is_heard)
    store = UpstashStore(f"upstash://:{TOKEN}@kv.example", transport=transport)
    assert await store.add("lease", "mine", ttl_s=60) is True
    assert await store.add("lease", "another's", ttl_s=60) is False


async def test_a_lease_that_another_took_meanwhile_is_not_ours() -> None:
    double = UpstashDouble(time.time)
    await store_of(double).add("lease", "another's", ttl_s=60)
    transport = failing(double, httpx.ReadError("reset"))
    store = UpstashStore(f"upstash://:{TOKEN}@kv.example", transport=transport)
    assert await store.add("lease", "mine", ttl_s=60) is False


async def test_the_address_and_the_token_come_from_the_url() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"result": None})

    for url in ("upstash://:a%2Fb@kv.example", "upstash://:a%2Fb@127.0.0.1:8079/base?scheme=http"):
        store = UpstashStore(url, transport=httpx.MockTransport(answer))
        await store.get("key")
        await store.close()
        await store.close()
    assert [str(request.url) for request in asked] == ["https://kv.example/", "http://127.0.0.1:8079/base"]
    assert {request.headers["authorization"] for request in asked} == {"Bearer a/b"}


def test_a_url_without_a_token_is_refused() -> None:
    with pytest.raises(ValueError, match="KV_REST_API_TOKEN"):
        open_store("upstash://")
    assert isinstance(open_store("upstash://:t@kv.example"), UpstashStore)
