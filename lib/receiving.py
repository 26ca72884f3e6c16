"""Reads the upstream's answers: with a limit, and with errors of lib/errors.py in place of httpx's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec

from lib.errors import UpstreamNotReached, UpstreamProtocolError, UpstreamTimeout, UpstreamUnreachable
from lib.files.inflate import BrokenCompression, UnknownEncoding, unpacked
from lib.patience import patience

MAX_ANSWER_BYTES = 2 * 1024 * 1024
"""Most JSON answers that we ask for are much smaller. A larger one is not read to its end."""


class Answer(msgspec.Struct, frozen=True):
    """A whole answer, not interpreted yet."""

    status_code: int
    content_type: str
    body: bytes


class UpstreamStream:
    """An open answer stream; its owner closes it."""

    def __init__(self, response: httpx.Response, chunks: AsyncIterator[bytes], first: bytes) -> None:
        self._response = response
        self._chunks = chunks
        self._first = first

    async def read(self) -> bytes:
        """Return the next bytes as they arrive, empty at the end."""
        if self._first:
            first, self._first = self._first, b""
            return first
        return await next_chunk(self._chunks)

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


def body_of(response: httpx.Response) -> AsyncIterator[bytes]:
    """Yield the body in small steps.

    httpx unpacks each piece as a whole, and encoding upon encoding: 5 kB of `gzip, gzip` became 12 GB.
    """
    return unpacked(response.aiter_raw(), response.headers.get("content-encoding", ""))


async def next_chunk(chunks: AsyncIterator[bytes]) -> bytes:
    with errors_of_http():
        async for chunk in chunks:
            return chunk
    return b""


async def read_rest(
    first: bytes, chunks: AsyncIterator[bytes], *, max_bytes: int = MAX_ANSWER_BYTES
) -> bytes:
    pieces, size = [first], len(first)
    while chunk := await next_chunk(chunks):
        pieces.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            raise UpstreamProtocolError("The upstream's answer is too large.")
    return b"".join(pieces)
