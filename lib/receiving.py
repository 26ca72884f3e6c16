"""Reads the upstream's answers: with a limit, and with errors of lib/errors.py in place of httpx's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Protocol

import httpx
import msgspec

from lib.errors import UpstreamNotReached, UpstreamProtocolError, UpstreamTimeout, UpstreamUnreachable
from lib.files.inflate import BrokenCompression, UnknownEncoding, unpacked
from lib.patience import patience
from lib.transport.pool import Body

MAX_ANSWER_BYTES = 2 * 1024 * 1024
"""Most JSON answers that we ask for are much smaller. A larger one is not read to its end."""


class Read(Protocol):
    """Returns the next bytes of an answer as they arrive, empty at the end.

    At `until` (loop time) it raises TimeoutError.
    """

    def __call__(self, until: float | None = None, /) -> Awaitable[bytes]: ...


class Answer(msgspec.Struct, frozen=True):
    """A whole answer, not interpreted yet."""

    status_code: int
    content_type: str
    body: bytes


class UpstreamStream:
    """An open answer stream; its owner closes it."""

    def __init__(self, response: httpx.Response, read: Read, first: bytes) -> None:
        self._response = response
        self._read = read
        self._first = first

    async def read(self, until: float | None = None) -> bytes:
        """Return the next bytes as they arrive, empty at the end. At `until` raise TimeoutError."""
        if self._first:
            first, self._first = self._first, b""
            return first
        with errors_of_http():
            return await self._read(until)

    async def aclose(self) -> None:
        await self._response.aclose()


@asynccontextmanager
async def answered_within(seconds: float) -> AsyncIterator[None]:
    try:
        async with patience(seconds):
            yield
    except TimeoutError:
        raise _too_late(seconds) from None


@asynccontextmanager
async def taken_within(seconds: float) -> AsyncIterator[asyncio.Timeout]:
    """Do the same without a last read after a freeze. The block gets the timeout, and can move its end."""
    try:
        async with asyncio.timeout(seconds) as bound:
            yield bound
    except TimeoutError:
        raise _too_late(seconds) from None


async def watched(
    pieces: AsyncIterator[bytes], bound: asyncio.Timeout, silence_s: float, end_at: float
) -> AsyncIterator[bytes]:
    """Move the end of the wait with each piece that is sent. After the last one, the answer is waited for."""
    async for piece in pieces:
        yield piece
        bound.reschedule(min(end_at, asyncio.get_running_loop().time() + silence_s))


def _too_late(seconds: float) -> UpstreamTimeout:
    return UpstreamTimeout(f"The upstream did not answer within {seconds:g} s.")


class errors_of_http:  # noqa: N801 - used as a function; unlike a generator, a class costs little in each network read
    """Turn httpx's errors into ours."""

    def __enter__(self) -> None: ...

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: object) -> None:
        match error:
            case httpx.ConnectTimeout():
                raise UpstreamNotReached("The gateway could not connect to the upstream in time.") from error
            case httpx.ConnectError():
                raise UpstreamNotReached("The gateway could not connect to the upstream.") from error
            case UnknownEncoding():
                message = "The upstream compressed its answer in a format that the gateway does not read."
                raise UpstreamProtocolError(message) from error
            case BrokenCompression():
                raise UpstreamProtocolError("The upstream's answer has a broken compression.") from error
            case httpx.HTTPError() | httpx.StreamError():
                raise UpstreamUnreachable("The connection to the upstream broke.") from error


def reader_of(response: httpx.Response) -> Read:
    """Return the way to read the body: in pieces as they arrive, or unpacked in small steps.

    httpx unpacks each piece as a whole, and encoding upon encoding: 5 kB of `gzip, gzip` became 12 GB.
    """
    encoding = response.headers.get("content-encoding", "")
    body = response.extensions.get("body")
    if isinstance(body, Body) and encoding in ("", "identity"):
        return body.read  # httpx would put four generators around each read.
    return reader_over(unpacked(response.aiter_raw(), encoding))


def reader_over(chunks: AsyncIterator[bytes]) -> Read:
    async def read(until: float | None = None, /) -> bytes:
        async with asyncio.timeout_at(until):
            return await anext(chunks, b"")

    return read


async def pieces_of(read: Read) -> AsyncIterator[bytes]:
    while piece := await read():
        yield piece


async def read_rest(first: bytes, read: Read, *, max_bytes: int = MAX_ANSWER_BYTES) -> bytes:
    pieces, size = [first], len(first)
    with errors_of_http():
        while piece := await read():
            pieces.append(piece)
            size += len(piece)
            if size > max_bytes:
                raise UpstreamProtocolError("The upstream's answer is too large.")
    return b"".join(pieces)
