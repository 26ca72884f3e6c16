"""A server in the test's own loop. It answers each request by the next function of its script."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx

from lib.transport.pool import Transport

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HELLO = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nHello"


class Scripted:
    def __init__(self) -> None:
        self.script: list[bytes | Answer] = []
        """Bytes are written, and the connection stays open. After the script, each answer is HELLO."""
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        """So many have been opened."""
        self.open = 0
        self.port = 0
        self.url = ""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.connections += 1
        try:
            while True:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                answer = self.script.pop(0) if self.script else HELLO
                if isinstance(answer, bytes):
                    self.bodies.append(await read_body(self.heads[-1], reader))
                    writer.write(answer)
                else:
                    await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def scripted(host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[Scripted]:
    server = Scripted()
    listening = await asyncio.start_server(server._serve, host, 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    name = f"[{host}]" if ":" in host else host
    server.url = f"{'https' if tls else 'http'}://{name}:{server.port}/"
    try:
        yield server
    finally:
        listening.close()


async def read_body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    """Read a request's body by the framing of its head."""
    lines = head.lower().split(b"\r\n")
    if b"transfer-encoding: chunked" in lines:
        pieces = []
        while size := int(await reader.readuntil(b"\r\n"), 16):
            pieces.append(await reader.readexactly(size))
            assert await reader.readexactly(2) == b"\r\n"
        assert await reader.readexactly(2) == b"\r\n"
        return b"".join(pieces)
    lengths = [int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")]
    return await reader.readexactly(lengths[0]) if lengths else b""


def closing(answer: bytes) -> Answer:
    """Answer, and close."""

    async def answered(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()
        await writer.wait_closed()
        raise ConnectionResetError

    return answered


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Say nothing until the client has gone."""
    await reader.read()
    raise ConnectionResetError


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until the condition holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the other side is a task of the same loop
            await asyncio.sleep(0.001)


def pool_of(client: httpx.AsyncClient) -> Transport:
    assert isinstance(client._transport, Transport)
    return client._transport
