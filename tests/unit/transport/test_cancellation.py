"""A pool keeps nothing by mistake, at whatever turn of the loop an exchange is cancelled, once or twice."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from lib.transport.client import AsyncClient
from lib.transport.connection import Connection
from tests.unit.transport.scripted import pool_of, scripted, turns, until

CERTIFICATE = Path(__file__).parents[1] / "files" / "files.example.pem"
MAX_TURNS = 200
"""An exchange is over after some ten, the connecting included."""
MIN_TURNS = 4
"""Fewer would leave no turn to be cancelled at. Measured on a kept connection: 6 turns of asyncio's loop,
5 of uvloop's (httpcore, whose pool has locks: 9 and 8). An exchange on a new connection takes 9 and more."""


class Server:
    """Answers in the loop of its clients, so that an exchange takes the same turns each time."""

    def __init__(self) -> None:
        self.open = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n")
                await asyncio.sleep(0)
                writer.write(b"1\r\n!\r\n0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()
    server.url = f"http://{host}:{port}/"
    async with listening:
        yield server


def make_client() -> httpx.AsyncClient:
    return AsyncClient(trust_env=False, timeout=httpx.Timeout(None, connect=5.0))


async def exchange(client: httpx.AsyncClient, url: str) -> bytes:
    response = await client.send(client.build_request("GET", url), stream=True)
    try:
        return b"".join([piece async for piece in response.aiter_bytes()])
    finally:
        await response.aclose()


async def broken_off(client: httpx.AsyncClient, url: str, *after: int) -> bool:
    """Begin an exchange, cancel it after so many turns, and again after so many more; False: it was over."""
    task = asyncio.ensure_future(exchange(client, url))
    for count in after:
        await turns(count)
        task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() or task.result() == b"Hello!"
    return task.cancelled()


def busy_in(client: httpx.AsyncClient) -> list[Connection]:
    return pool_of(client).busy


@pytest.mark.parametrize("again", [None, 1, 2, 3], ids=lambda again: f"again={again}")
@pytest.mark.parametrize("is_warm", [True, False], ids=["warm", "fresh"])
async def test_no_turn_is_a_bad_one_to_be_cancelled_at(
    server: Server, is_warm: bool, again: int | None
) -> None:
    for turn in range(MAX_TURNS):
        async with make_client() as client:
            if is_warm:
                await exchange(client, server.url)
            is_cancelled = await broken_off(client, server.url, turn, *([] if again is None else [again]))
            await turns(10)
            assert (turn, busy_in(client)) == (turn, [])
            assert await exchange(client, server.url) == b"Hello!"
            assert server.open == 1, f"after {turn} turns a connection stayed open"
        await turns(10)
        if not is_cancelled:
            break
    assert MIN_TURNS < turn < MAX_TURNS - 1


async def test_who_stops_reading_and_closes_later_leaves_nothing(server: Server) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    for turn in range(20):
        async with make_client() as client:
            response = await client.send(client.build_request("GET", server.url), stream=True)
            async for _ in response.aiter_raw():
                break
            await turns(turn)
            await response.aclose()
            await turns(10)
            assert (turn, busy_in(client), complaints) == (turn, [], [])


async def test_no_turn_of_a_handshake_is_a_bad_one_either() -> None:
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(CERTIFICATE)
    trusting = ssl.create_default_context(cafile=str(CERTIFICATE))
    limits = httpx.Limits(max_connections=1)  # A connection that is lost would hold it for ever.
    for turn in range(MAX_TURNS):
        async with (
            scripted(tls=serving) as server,
            AsyncClient(trust_env=False, verify=trusting, limits=limits, timeout=5) as client,
        ):
            named = {"sni_hostname": "files.example"}
            asking = asyncio.ensure_future(client.get(server.url, extensions=named))
            await turns(turn)
            asking.cancel()
            await asyncio.wait([asking])
            assert (turn, busy_in(client)) == (turn, [])
            assert (await client.get(server.url, extensions=named)).text == "Hello"
            await until(lambda: server.open == 1)
        await until(lambda: server.open == 0)
        if not asking.cancelled():
            break
    assert 5 < turn < MAX_TURNS - 1
