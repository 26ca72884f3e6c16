"""Downloads that go well, and every way in which a server makes them go wrong."""

from __future__ import annotations

import asyncio
import errno
import gzip
import hashlib
import socket
import tracemalloc
import zlib
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from lib.errors import GatewayError, InvalidRequest, RequestTooLarge
from lib.files.fetcher import FetchedFile, Fetcher, FetchLimits
from lib.files.inflate import STEP_BYTES
from lib.files.spool import SPOOL_BYTES, Spool
from tests.support.files import FileServer, head
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

LIMIT = 3 * SPOOL_BYTES
LARGE = bytes(range(256)) * (SPOOL_BYTES // 128)
"""Too large to be kept in memory."""
GIBIBYTE = 1024**3


@pytest.fixture(scope="module")
def files() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


def fetcher(files: FileServer, **limits: float) -> Fetcher:
    return Fetcher(
        allow_hosts=(files.host,),
        limits=msgspec.structs.replace(FetchLimits(connect_s=2, idle_s=2), **limits),
    )


async def content(files: FileServer, url: str, **limits: float) -> tuple[bytes, FetchedFile]:
    async with fetcher(files, **limits).fetch(url, max_bytes=LIMIT) as file:
        data = file.file.read()
    assert file.file.closed
    assert (file.size, file.digest) == (len(data), hashlib.sha256(data).hexdigest())
    return data, file


async def failure(files: FileServer, url: str, *, max_bytes: int = LIMIT, **limits: float) -> GatewayError:
    with pytest.raises(GatewayError) as failed:
        async with fetcher(files, **limits).fetch(url, max_bytes=max_bytes):
            pass
    return failed.value


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


@pytest.mark.parametrize("data", [b"x", LARGE, LARGE + b"tail"])
async def test_a_file_is_had_whole(files: FileServer, data: bytes) -> None:
    url = files.serve("/folder/a%20b.pdf?token=secret", data, "Content-Type: Application/PDF; charset=x")
    got, file = await content(files, url)
    assert got == data
    assert (file.content_type, file.name) == ("application/pdf", "a b.pdf")
    assert file.is_in_memory is (len(data) <= SPOOL_BYTES)


async def test_a_file_without_a_length_ends_with_its_connection(files: FileServer) -> None:
    assert (await content(files, files.answer("/x", head("200 OK") + LARGE)))[0] == LARGE


async def test_a_file_in_chunks(files: FileServer) -> None:
    answer = head("200 OK", "transfer-encoding: chunked") + chunked(b"one", LARGE, b"two")
    assert (await content(files, files.answer("/x", answer)))[0] == b"one" + LARGE + b"two"


@pytest.mark.parametrize(
    "answer",
    [
        head("200 OK", "content-length: 10") + b"short",
        head("200 OK", "transfer-encoding: chunked") + b"5\r\nhel",
        head("200 OK", "transfer-encoding: chunked") + b"nonsense\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"",
        head("200 OK", "content-length: 1", "content-length: 2") + b"ab",
        head("200 OK", "content-length: -1") + b"ab",
        head("200 OK", "x: " + "y" * 200_000),
    ],
    ids=[
        "short",
        "cut chunk",
        "no chunk",
        "cut head",
        "no http",
        "nothing",
        "two lengths",
        "negative",
        "huge head",
    ],
)
async def test_a_file_that_is_cut_off_or_garbled_is_none(files: FileServer, answer: bytes) -> None:
    error = await failure(files, files.answer("/x", answer))
    assert (error.code, error.status) == ("invalid_file", 400)
    assert "127.0.0.1 broke" in error.message


async def test_a_length_that_says_too_little_hides_nothing(files: FileServer) -> None:
    assert (await content(files, files.serve("/x", b"12345", "content-length: 3")))[0] == b"123"


@pytest.mark.parametrize("status", ["404 Not Found", "403 x", "500 x", "204 x", "206 x", "304 x", "429 x"])
async def test_anything_but_a_200_is_no_file(files: FileServer, status: str) -> None:
    error = await failure(files, files.answer("/x", head(status, "content-length: 0")))
    assert f"127.0.0.1 answered HTTP {status[:3]} instead of the file" in error.message


async def test_an_empty_file_is_none(files: FileServer) -> None:
    assert "is empty" in (await failure(files, files.serve("/x", b""))).message


async def test_a_redirect_to_nowhere(files: FileServer) -> None:
    error = await failure(files, files.serve("/x", b"", status="302 Found"))
    assert "answered with a redirect that has no address" in error.message


# Too large


async def test_a_declared_length_is_refused_before_it_comes(files: FileServer) -> None:
    def declare(connection: socket.socket) -> None:
        connection.sendall(head("200 OK", "content-length: 1000000000"))
        files.wait_for_close(connection)

    assert isinstance(await failure(files, files.answer("/x", declare)), RequestTooLarge)


async def test_what_is_not_declared_is_counted(files: FileServer) -> None:
    sent = 0

    def flood(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(head("200 OK"))
        while sent < 100 * LIMIT:
            sent += connection.send(bytes(65536))

    error = await failure(files, files.answer("/x", flood))
    assert (error.status, error.code) == (413, "request_too_large")
    assert sent < 10 * LIMIT  # the rest was in the kernel's buffers


def test_exactly_the_limit_is_not_too_much() -> None:
    kept = Spool(max_bytes=3)
    kept.write_now(b"abc")
    with pytest.raises(RequestTooLarge, match=r"3 bytes.*MAX_FILE_BYTES"):
        kept.write_now(b"d")
    kept.close()


# Compressed, although nobody asked for it


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", gzip.compress(LARGE, mtime=0)),
        ("X-GZip", gzip.compress(LARGE[:1000], mtime=0) + gzip.compress(LARGE[1000:])),
        ("deflate", zlib.compress(LARGE)),
        ("identity", LARGE),
        ("", LARGE),
    ],
)
async def test_a_compressed_file_is_unpacked(files: FileServer, encoding: str, data: bytes) -> None:
    assert (await content(files, files.serve("/x", data, f"content-encoding: {encoding}")))[0] == LARGE


@pytest.mark.parametrize(
    ("encoding", "data", "words"),
    [
        ("gzip", gzip.compress(LARGE, mtime=0)[:-20], "ends too early"),
        (
            "gzip",
            gzip.compress(bytes(STEP_BYTES + 1), mtime=0)[:-8],
            "ends too early",
        ),  # with one byte still held back
        ("gzip", b"no gzip", "is broken: "),
        ("gzip", gzip.compress(b"x", mtime=0) + b"more", "is broken: "),
        ("br", b"x", "unsupported encoding: 'br'"),
        ("gzip, gzip", b"x", "unsupported encoding: 'gzip, gzip'"),
    ],
)
async def test_what_cannot_be_unpacked_is_no_file(
    files: FileServer, encoding: str, data: bytes, words: str
) -> None:
    assert words in (await failure(files, files.serve("/x", data, f"content-encoding: {encoding}"))).message


async def test_what_unpacks_to_nothing_for_ever_is_cut_off(files: FileServer) -> None:
    members = gzip.compress(b"", mtime=0) * (LIMIT // 10)
    answer = head("200 OK", "content-encoding: gzip", "transfer-encoding: chunked") + chunked(members)
    assert isinstance(await failure(files, files.answer("/x", answer)), RequestTooLarge)


async def test_a_decompression_bomb_is_cut_off(files: FileServer) -> None:
    """Four gibibytes in four megabytes: what is unpacked is counted, and never much of it at once."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1024 * 1024)
    block = packer.compress(zeros * 64) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(zeros * 64) + packer.flush(zlib.Z_FULL_FLUSH)
    bomb = block + again * (4 * GIBIBYTE // len(zeros) // 64 - 1)
    url = files.serve("/x", bomb, "content-encoding: gzip")
    tracemalloc.start()
    try:
        error = await failure(files, url, max_bytes=50 * 1024 * 1024)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(error, RequestTooLarge)
    assert peak < 3 * 1024 * 1024


# Slow


async def test_a_silent_server_is_left(files: FileServer) -> None:
    def begin(connection: socket.socket) -> None:
        connection.sendall(head("200 OK", "content-length: 10") + b"12345")
        files.wait_for_close(connection)

    for behaviour in (files.wait_for_close, begin):
        error = await failure(files, files.answer("/x", behaviour), idle_s=0.05)
        assert error.code == "invalid_file"
        assert "127.0.0.1 stopped sending" in error.message


async def test_a_server_that_drips_for_ever_is_left(files: FileServer) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(head("200 OK"))
        while True:
            connection.sendall(b".")
            connection.settimeout(0.01)
            try:
                if not connection.recv(10):
                    return
            except TimeoutError:
                continue

    error = await failure(files, files.answer("/x", drip), total_s=0.2)
    assert "was not complete within 0.2 s" in error.message


async def test_nobody_listening_is_no_file(files: FileServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        host = f"127.0.0.1:{unused.getsockname()[1]}"
    refused = Fetcher(allow_hosts=(host,), limits=FetchLimits(connect_s=1, idle_s=1))
    with pytest.raises(InvalidRequest, match=r"could not connect to 127\.0\.0\.1"):
        async with refused.fetch(f"http://{host}/", max_bytes=1):
            pass


# Given up


async def test_what_is_cancelled_leaves_no_file_behind(files: FileServer, opened_files: list[Any]) -> None:
    def begin(connection: socket.socket) -> None:
        connection.sendall(head("200 OK") + LARGE)
        files.wait_for_close(connection)

    async def fetch() -> None:
        async with fetcher(files).fetch(files.answer("/x", begin), max_bytes=LIMIT):
            pass

    task = asyncio.create_task(fetch())
    await eventually(lambda: opened_files and opened_files[0].tell() > SPOOL_BYTES)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert [file.closed for file in opened_files] == [True]


async def test_a_full_disk_is_a_file_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Spool(max_bytes=LIMIT)

    def fail(_: bytes) -> int:
        raise OSError(number, "full")

    monkeypatch.setattr(kept._file, "write", fail)
    number = errno.ENOSPC
    with pytest.raises(RequestTooLarge, match="no room"):
        await kept.write(LARGE)
    number = errno.EIO
    with pytest.raises(OSError, match="full"):
        await kept.write(b"x" * SPOOL_BYTES)
    kept.close()


async def test_a_fetcher_may_be_closed_unused_and_used(files: FileServer) -> None:
    unused = fetcher(files)
    await unused.aclose()
    used = fetcher(files)
    async with used.fetch(files.serve("/x", b"x"), max_bytes=1):
        pass
    await used.aclose()


async def test_a_fetched_file_is_a_context_of_its_own(files: FileServer) -> None:
    async with fetcher(files).fetch(files.serve("/x", b"x"), max_bytes=1) as file:
        with file:
            assert file.file.read() == b"x"
        assert file.file.closed
