"""The transport over real sockets: what is sent, kept, limited, and raised."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lib.transport.client import AsyncClient
from lib.transport.connection import MAX_HELD_BYTES
from lib.transport.pool import Body
from tests.unit.transport.scripted import (
    HELLO,
    Scripted,
    closing,
    pool_of,
    read_body,
    scripted,
    silent,
    turns,
    until,
)

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
CERTIFICATE = Path(__file__).parents[1] / "files" / "files.example.pem"


def counts(client: AsyncClient) -> tuple[int, int]:
    return len(pool_of(client).busy), len(pool_of(client).idle)


# What is sent


async def test_a_request_is_sent_as_httpx_has_it(server: Scripted, client: AsyncClient) -> None:
    url = server.url + "a%20b?c=d#not-sent"
    await client.post(url, content=b"body", headers={b"X-Name": "välue".encode()})
    head = server.heads[0].split(b"\r\n")
    assert head[0] == b"POST /a%20b?c=d HTTP/1.1"
    assert b"X-Name: v\xc3\xa4lue" in head
    assert b"Host: 127.0.0.1:%d" % server.port in head
    assert server.bodies == [b"body"]


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    for piece in given:
        yield piece


@pytest.mark.parametrize("length", [None, 11])
async def test_a_body_goes_out_in_pieces(server: Scripted, client: AsyncClient, length: int | None) -> None:
    headers = {} if length is None else {"Content-Length": str(length)}
    await client.post(server.url, content=pieces(b"Hello", b"", b", world"[:6]), headers=headers)
    assert server.bodies == [b"Hello, worl"]
    assert counts(client) == (0, 1)


@pytest.mark.parametrize(("length", "word"), [(10, "longer"), (12, "shorter")])
async def test_a_body_that_belies_its_length_is_not_sent(
    server: Scripted, client: AsyncClient, length: int, word: str
) -> None:
    with pytest.raises(httpx.LocalProtocolError, match=word):
        await client.post(
            server.url, content=pieces(b"Hello", b", worl"), headers={"Content-Length": str(length)}
        )
    assert counts(client) == (0, 0)


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\rb", "a\0b"])
async def test_a_header_cannot_break_the_head(server: Scripted, client: AsyncClient, value: str) -> None:
    with pytest.raises(httpx.LocalProtocolError):
        await client.get(server.url, headers={"x": value})
    assert server.heads == []


async def test_a_body_that_fails_leaves_no_connection(server: Scripted, client: AsyncClient) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"Hello"
        raise ValueError("the file is gone")

    with pytest.raises(ValueError, match="gone"):
        await client.post(server.url, content=failing())
    await until(lambda: server.open == 0)
    assert counts(client) == (0, 0)


async def test_a_server_that_refuses_early_is_heard(server: Scripted, client: AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 65536
            await asyncio.sleep(0)

    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        await client_has_answer.wait()
        raise ConnectionResetError

    client_has_answer = asyncio.Event()
    server.script = [refuse]
    response = await client.post(server.url, content=endless())
    client_has_answer.set()
    assert response.status_code == 413
    assert counts(client) == (0, 0), "the rest of the request can never follow"
    assert sent


# Keeping


async def test_a_connection_serves_one_request_after_the_other(server: Scripted, client: AsyncClient) -> None:
    for _ in range(3):
        assert (await client.get(server.url)).text == "Hello"
    assert server.connections == 1
    await asyncio.gather(*(client.get(server.url) for _ in range(3)))
    assert server.connections == 3
    assert counts(client) == (0, 3)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nHello",
        b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nHello",
        HELLO + b"HTTP/1.1 200 OK\r\n",
        closing(b"HTTP/1.1 200 OK\r\n\r\nHello"),
        closing(HELLO),
    ],
)
async def test_a_connection_that_ends_is_not_used_again(
    server: Scripted, client: AsyncClient, answer: Any
) -> None:
    server.script = [answer]
    assert (await client.get(server.url)).text == "Hello"
    assert (await client.get(server.url)).text == "Hello"
    assert server.connections == 2
    assert counts(client) == (0, 1)


async def test_a_body_that_is_not_read_to_its_end_costs_its_connection(
    server: Scripted, client: AsyncClient
) -> None:
    server.script = [CHUNKED + b"5\r\nHello\r\n"]
    async with client.stream("GET", server.url) as response:
        async for piece in response.aiter_raw():
            assert piece == b"Hello"
            break
    await until(lambda: server.open == 0)
    assert counts(client) == (0, 0)


async def test_a_peer_that_closes_while_idle_is_noticed_before_the_loop_notices(
    client: AsyncClient,
) -> None:
    """As after a freeze: the end has arrived, and the loop has not read it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"

        def serve() -> None:
            taken, _ = listener.accept()
            with taken:
                taken.recv(65536)
                taken.sendall(HELLO)
                frozen.wait(5)

        frozen = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        assert (await client.get(url)).text == "Hello"
        assert counts(client) == (0, 1)
        frozen.set()
        thread.join()  # The loop stands still meanwhile.
        thread = threading.Thread(target=serve)
        thread.start()
        asked = asyncio.ensure_future(client.post(url, content=b"once"))
        assert (await asked).text == "Hello"
        await asyncio.to_thread(thread.join)


async def test_bytes_that_were_not_asked_for_end_an_idle_connection(
    server: Scripted, client: AsyncClient
) -> None:
    async def and_more(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HELLO)
        await more.wait()
        writer.write(HELLO.replace(b"Hello", b"Stale"))

    more = asyncio.Event()
    server.script = [and_more]
    assert (await client.get(server.url)).text == "Hello"
    more.set()
    await until(lambda: server.open == 0)
    assert counts(client) == (0, 0)
    assert (await client.get(server.url)).text == "Hello"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_that_may_have_been_heard_is_not_repeated(
    server: Scripted, client: AsyncClient, method: str
) -> None:
    await client.get(server.url)
    server.script = [closing(b"")]
    with pytest.raises(httpx.RemoteProtocolError, match="without an answer"):
        await client.request(method, server.url)
    assert len(server.heads) == 2


async def test_an_old_connection_is_replaced(server: Scripted) -> None:
    async with AsyncClient(trust_env=False, limits=httpx.Limits(keepalive_expiry=0.0)) as client:
        await client.get(server.url)
        await asyncio.sleep(0.001)
        await client.get(server.url)
        assert server.connections == 2


async def test_no_more_are_kept_than_allowed(server: Scripted) -> None:
    async with AsyncClient(trust_env=False, limits=httpx.Limits(max_keepalive_connections=2)) as client:
        await asyncio.gather(*(client.get(server.url) for _ in range(5)))
        assert counts(client) == (0, 2)
        await until(lambda: server.open == 2)


async def test_a_full_pool_makes_others_wait(server: Scripted) -> None:
    limits = httpx.Limits(max_connections=2)
    async with AsyncClient(trust_env=False, limits=limits, timeout=httpx.Timeout(5, pool=0.01)) as client:
        async with client.stream("GET", server.url), client.stream("GET", server.url):
            with pytest.raises(httpx.PoolTimeout):
                await client.get(server.url)
        many = await asyncio.gather(*(client.get(server.url, timeout=5) for _ in range(20)))
        assert {response.text for response in many} == {"Hello"}
        async with scripted() as other:
            async with client.stream("GET", other.url), client.stream("GET", other.url):
                assert counts(client) == (2, 0), "the idle ones made room"
            await until(lambda: server.open == 0)


async def test_a_client_that_closes_ends_requests_that_are_under_way(server: Scripted) -> None:
    async with AsyncClient(trust_env=False, timeout=None) as client:
        server.script = [silent]
        waiting = asyncio.ensure_future(client.get(server.url))
        await until(lambda: bool(server.heads))
        await pool_of(client).aclose()
        with pytest.raises(httpx.RemoteProtocolError):
            await waiting
    await until(lambda: server.open == 0)


# Reading


async def test_a_reader_gets_what_one_read_of_the_socket_found_in_one_piece(
    server: Scripted, client: AsyncClient
) -> None:
    server.script = [CHUNKED + b"5\r\nHello\r\n" + b"1\r\n,\r\n" * 100]
    async with client.stream("GET", server.url) as response:
        body = response.extensions["body"]
        assert isinstance(body, Body)
        await turns(5)
        assert await body.read() == b"Hello" + b"," * 100


async def test_a_read_that_is_cancelled_loses_nothing(server: Scripted, client: AsyncClient) -> None:
    async def slowly(__: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        for _ in range(3):
            await go_on.wait()
            go_on.clear()
            writer.write(b"5\r\nHello\r\n")
        writer.write(b"0\r\n\r\n")

    go_on = asyncio.Event()
    server.script = [slowly]
    async with client.stream("GET", server.url) as response:
        body = response.extensions["body"]
        received = b""
        for count in range(3):
            reading = asyncio.ensure_future(body.read())
            await turns(2)
            go_on.set()
            await turns(count)  # Cancelled before, while and after the bytes arrive.
            reading.cancel()
            await asyncio.wait({reading})
            received += b"" if reading.cancelled() else reading.result()
        while piece := await body.read():
            received += piece
    assert received == b"Hello" * 3
    assert counts(client) == (0, 1)


async def test_a_flood_does_not_outlast_the_time_of_its_reader(server: Scripted, client: AsyncClient) -> None:
    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        while True:
            writer.write(b"1\r\n.\r\n" * 1000)
            await writer.drain()

    server.script = [flood]
    async with client.stream("GET", server.url) as response:
        body = response.extensions["body"]
        until = asyncio.get_running_loop().time() + 0.05

        async def read_on() -> None:
            while await body.read(until):
                pass

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(read_on(), 5)
        assert asyncio.get_running_loop().time() < until + 2


async def test_one_read_after_the_time_finds_what_a_freeze_held_up(
    server: Scripted, client: AsyncClient
) -> None:
    server.script = [CHUNKED + b"5\r\nHello\r\n"]
    async with client.stream("GET", server.url) as response:
        body = response.extensions["body"]
        await turns(5)
        past = asyncio.get_running_loop().time() - 1
        assert await body.read(past) == b"Hello"
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await body.read(past)


async def test_a_reader_that_is_slow_holds_the_server_back(server: Scripted, client: AsyncClient) -> None:
    sent = 0

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(CHUNKED)
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        while True:
            writer.write(chunk)
            await writer.drain()
            sent += 1

    server.script = [endless]
    async with client.stream("GET", server.url) as response:
        body, before = response.extensions["body"], -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.02)
        held = sum(map(len, body._connection._held))
        assert MAX_HELD_BYTES < held <= MAX_HELD_BYTES + 256 * 1024
        received = 0
        while received < 10 * MAX_HELD_BYTES:
            received += len(await body.read())


async def test_httpx_still_unpacks(server: Scripted, client: AsyncClient) -> None:
    packed = gzip.compress(b"Hello" * 100)
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    server.script = [head + packed]
    assert (await client.get(server.url)).content == b"Hello" * 100


async def test_an_answer_to_head_has_no_body(server: Scripted, client: AsyncClient) -> None:
    server.script = [b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n"]
    response = await client.head(server.url)
    assert (response.headers["content-length"], response.content) == ("11", b"")


# Failures


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (closing(b""), httpx.RemoteProtocolError),
        (closing(b"HTTP/1.1 200"), httpx.RemoteProtocolError),
        (closing(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nHello"), httpx.RemoteProtocolError),
        (closing(CHUNKED + b"5\r\nHello\r\n"), httpx.RemoteProtocolError),
        (CHUNKED + b"zz\r\n", httpx.RemoteProtocolError),
        (b"SSH-2.0-x\r\n", httpx.RemoteProtocolError),
    ],
)
async def test_a_broken_answer_is_an_error(
    server: Scripted, client: AsyncClient, answer: Any, kind: type[Exception]
) -> None:
    server.script = [answer]
    with pytest.raises(kind):
        await client.get(server.url)
    await until(lambda: server.open == 0)
    assert counts(client) == (0, 0)


async def test_everything_before_a_break_is_read_first(server: Scripted, client: AsyncClient) -> None:
    server.script = [closing(CHUNKED + b"5\r\nHello\r\n")]
    async with client.stream("GET", server.url) as response:
        await until(lambda: server.open == 0)
        body = response.extensions["body"]
        assert await body.read() == b"Hello"
        for _ in range(2):
            with pytest.raises(httpx.RemoteProtocolError):
                await body.read()


async def test_a_reset_is_a_read_error(server: Scripted, client: AsyncClient) -> None:
    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened = writer.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionResetError

    server.script = [reset]
    with pytest.raises(httpx.ReadError, match="ConnectionResetError"):
        await client.get(server.url)


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\n", CHUNKED + b"5\r\nHello\r\n"])
async def test_silence_is_a_read_timeout(server: Scripted, part: bytes) -> None:
    async def fall_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(part)
        await silent(reader, writer)

    server.script = [fall_silent]
    async with AsyncClient(trust_env=False, timeout=httpx.Timeout(5, read=0.02)) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get(server.url)
        assert counts(client) == (0, 0)


async def test_a_server_that_takes_nothing_is_a_write_timeout(server: Scripted) -> None:
    async def take_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await done.wait()
        raise ConnectionResetError

    done = asyncio.Event()
    server.script = [take_nothing]
    async with AsyncClient(trust_env=False, timeout=httpx.Timeout(5, write=0.05)) as client:
        with pytest.raises(httpx.WriteTimeout):
            await client.post(server.url, content=b"x" * 50_000_000)
        assert counts(client) == (0, 0)
    done.set()


async def test_a_long_body_may_take_longer_than_one_write(server: Scripted, client: AsyncClient) -> None:
    async def read_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.bodies.append(await read_body(server.heads[-1], reader))
        writer.write(HELLO)

    server.script = [read_slowly]
    body = bytes(range(256)) * 40_000
    assert (await client.post(server.url, content=body)).text == "Hello"
    assert server.bodies == [body]


async def test_a_port_that_nobody_listens_on_is_a_connect_error(client: AsyncClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(httpx.ConnectError, match="Connect"):
            await client.get(f"http://{host}:{port}/")
    assert counts(client) == (0, 0)


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 64 + ".invalid"])
async def test_a_name_without_address_is_a_connect_error(client: AsyncClient, host: str) -> None:
    with pytest.raises(httpx.ConnectError):
        await client.get(f"http://{host}/")


async def test_a_server_that_never_accepts_is_a_connect_timeout(certificate: Path) -> None:
    """A listener whose queue is full would do; a TLS handshake that is not answered is easier to make."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        tls = ssl.create_default_context(cafile=str(certificate))
        async with AsyncClient(trust_env=False, timeout=httpx.Timeout(5, connect=0.02), verify=tls) as client:
            with pytest.raises(httpx.ConnectTimeout):
                await client.get(url)
            assert counts(client) == (0, 0)


async def test_other_schemes_are_refused(client: AsyncClient) -> None:
    with pytest.raises(httpx.UnsupportedProtocol):
        await client.get("ftp://127.0.0.1/")


# Ways


async def test_ipv6_is_reached(client: AsyncClient) -> None:
    async with scripted("::1") as server:
        assert (await client.get(server.url)).text == "Hello"
        assert b"Host: [::1]:%d" % server.port in server.heads[0]


@pytest.fixture
def certificate() -> Path:
    return CERTIFICATE


async def test_tls_is_verified_by_the_name_that_is_asked_for(certificate: Path) -> None:
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate)
    serving.set_alpn_protocols(["h2", "http/1.1"])
    names: list[str | None] = []
    serving.sni_callback = lambda _, name, __: names.append(name)
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with scripted(tls=serving) as server, AsyncClient(trust_env=False, verify=trusting) as client:
        for _ in range(2):
            known = await client.get(server.url, extensions={"sni_hostname": "files.example"})
            assert known.text == "Hello"
        assert (names, server.connections) == (["files.example"], 1)
        with pytest.raises(httpx.ConnectError, match="SSLCertVerificationError"):
            await client.get(server.url, extensions={"sni_hostname": "other.example"})
        with pytest.raises(httpx.ConnectError, match="SSLCertVerificationError"):
            await client.get(server.url)
        assert len(server.heads) == 2
        assert counts(client) == (0, 1)


async def test_an_unknown_authority_is_refused_by_default(certificate: Path) -> None:
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate)
    async with scripted(tls=serving) as server, AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.ConnectError, match="SSLCertVerificationError"):
            await client.get(server.url, extensions={"sni_hostname": "files.example"})
        assert server.heads == []
        async with AsyncClient(trust_env=False, verify=False) as trusting:
            assert (await trusting.get(server.url)).text == "Hello"


async def test_a_proxy_of_the_environment_is_asked_by_httpx_itself(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scripted() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        async with AsyncClient() as client:
            assert (await client.get("http://upstream.invalid/x")).text == "Hello"
            assert (await client.get(server.url)).text == "Hello"
            assert counts(client) == (0, 1)
        assert proxy.heads[0].startswith(b"GET http://upstream.invalid/x HTTP/1.1\r\n")
        assert len(server.heads) == 1
