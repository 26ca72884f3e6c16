"""A connection that is opened while its request still waits for something else."""

from __future__ import annotations

import asyncio
import socket

import httpx
import pytest

from lib.transport.client import AsyncClient
from tests.unit.transport.scripted import Scripted, pool_of, until


async def test_the_request_takes_the_connection_that_was_opened_ahead(
    server: Scripted, client: AsyncClient
) -> None:
    client.open_ahead(server.url, timeout_s=5)
    await until(lambda: server.connections == 1 and len(pool_of(client).idle) == 1)
    assert server.heads == []
    assert (await client.get(server.url)).text == "Hello"
    assert server.connections == 1


async def test_a_request_waits_for_the_connection_that_is_being_opened(
    server: Scripted, client: AsyncClient
) -> None:
    client.open_ahead(server.url, timeout_s=5)
    assert (await client.get(server.url)).text == "Hello"
    assert server.connections == 1


async def test_one_is_opened_at_a_time_and_none_if_one_waits(server: Scripted, client: AsyncClient) -> None:
    for _ in range(3):
        client.open_ahead(server.url, timeout_s=5)
    await client.get(server.url)
    client.open_ahead(server.url, timeout_s=5)
    assert pool_of(client)._ahead == {}
    await client.get(server.url)
    assert server.connections == 1


async def test_a_second_request_at_the_same_time_opens_its_own(server: Scripted, client: AsyncClient) -> None:
    client.open_ahead(server.url, timeout_s=5)
    answers = await asyncio.gather(*(client.get(server.url) for _ in range(2)))
    assert [answer.text for answer in answers] == ["Hello", "Hello"]
    assert server.connections == 2


async def test_one_that_waited_for_too_long_is_opened_anew(server: Scripted) -> None:
    async with AsyncClient(trust_env=False, limits=httpx.Limits(keepalive_expiry=0.0)) as client:
        client.open_ahead(server.url, timeout_s=5)
        await until(lambda: server.connections == 1)
        client.open_ahead(server.url, timeout_s=5)
        assert (await client.get(server.url)).text == "Hello"


@pytest.fixture
def nobody() -> str:
    """An address at which no server listens."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{closed.getsockname()[1]}/"


async def test_a_failure_is_the_failure_of_the_request_that_waits(client: AsyncClient, nobody: str) -> None:
    client.open_ahead(nobody, timeout_s=5)
    with pytest.raises(httpx.ConnectError):
        await client.get(nobody)
    await until(lambda: not pool_of(client)._ahead)
    with pytest.raises(httpx.ConnectError):
        await client.get(nobody)


async def test_a_request_that_waited_in_vain_does_not_begin_again(server: Scripted) -> None:
    address = server.url.replace("http:", "https:")  # The server never answers the handshake.
    async with AsyncClient(trust_env=False, timeout=5) as client:
        client.open_ahead(address, timeout_s=0.1)
        with pytest.raises(httpx.ConnectTimeout):
            await client.get(address)
    assert server.connections == 1


async def test_a_cancelled_request_leaves_the_connection_to_the_next_one(
    server: Scripted, client: AsyncClient
) -> None:
    client.open_ahead(server.url, timeout_s=5)
    waiting = asyncio.ensure_future(client.get(server.url))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert (await client.get(server.url)).text == "Hello"
    assert server.connections == 1


async def test_closing_ends_what_is_being_opened(server: Scripted) -> None:
    client = AsyncClient(trust_env=False)
    client.open_ahead(server.url.replace("http:", "https:"), timeout_s=30)
    pool = pool_of(client)
    await until(lambda: server.open == 1)
    async with asyncio.timeout(5):
        await client.aclose()
    await until(lambda: not pool._ahead and server.open == 0)
    client.open_ahead(server.url, timeout_s=5)
    assert pool._ahead == {}


async def test_behind_a_proxy_nothing_is_opened(server: Scripted) -> None:
    async with AsyncClient(proxy=server.url) as client:
        client.open_ahead("http://upstream.example/", timeout_s=5)
        assert pool_of(client)._ahead == {}
