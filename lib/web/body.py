"""Reading a request's body: no more of it than is allowed, and no longer than is reasonable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import Request

from lib.errors import RequestTimeout, RequestTooLarge, UnsupportedEncoding
from lib.web.overload import share_of

IDLE_TIMEOUT_S = 20.0
"""Without one byte."""
GRACE_S = 30.0
"""For any body, before its pace counts."""
SLOWEST_BYTES_PER_S = 16 * 1024
"""The slowest line that is waited for: 32 MiB may take half an hour, a kilobyte 30 s."""


async def read_body(request: Request, *, limit: int) -> bytes:
    """Return the whole body; more than `limit` bytes are refused before they are read."""
    # No list of pieces: a body that comes byte by byte would take thirty times its size.
    body = bytearray()
    await take_body(request, body.extend, limit=limit)
    return bytes(body)


async def take_body(request: Request, take: Callable[[bytes], object], *, limit: int) -> None:
    """Hand the body on, piece by piece.

    Raises `UnsupportedEncoding`, `RequestTooLarge` and `Overloaded`, before anything is read where the
    declared length tells it; and `RequestTimeout`. Only what has come takes room: to declare a length costs
    nothing, and would keep the others out.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedEncoding("The body must not be compressed: send it without Content-Encoding.")
    share = share_of(request)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal():
        if len(declared) > len(str(limit)) or int(declared) > limit:
            raise _too_large(limit)
        share.check_room(int(declared), limit=limit)
    clock = asyncio.get_running_loop().time
    began_at, size = clock(), 0
    try:
        async with asyncio.timeout(IDLE_TIMEOUT_S) as patience:
            async for piece in request.stream():
                size += len(piece)
                if size > limit:
                    raise _too_large(limit)
                share.hold(size, limit=limit)
                take(piece)
                whole_by = began_at + GRACE_S + size / SLOWEST_BYTES_PER_S
                patience.reschedule(min(clock() + IDLE_TIMEOUT_S, whole_by))
    except TimeoutError:
        raise RequestTimeout(f"The body did not come in time; {size} bytes of it did.") from None


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"The body is larger than the {limit} bytes that are accepted here.")
