"""Read a request's body, within a limit of bytes and a limit of time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import Request

from lib.errors import RequestTimeout, RequestTooLarge, UnsupportedEncoding
from lib.web.overload import share_of

MB = 1_000_000
LIMIT_SETTING = "MAX_BODY_BYTES"


async def read_body(request: Request, *, limit: int, setting: str = LIMIT_SETTING) -> bytes:
    """Return the whole body. It is refused before more than `limit` bytes are read."""
    # A list of pieces would take thirty times the size of a body that comes byte by byte.
    body = bytearray()
    await take_body(request, body.extend, limit=limit, setting=setting)
    return bytes(body)


async def take_body(
    request: Request, take: Callable[[bytes], object], *, limit: int, setting: str = ""
) -> None:
    """Pass the body to `take`, piece by piece. `setting` is the name of the limit, for the refusal.

    Raise `UnsupportedEncoding`, `RequestTooLarge`, `Overloaded` or `RequestTimeout`. If the declared length
    is too large, nothing is read. Only received bytes take room: a stranger can declare any length for free,
    and would lock the others out.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedEncoding("The gateway takes no compressed body. Send it without Content-Encoding.")
    share = share_of(request)
    limits = share.limits
    declared = request.headers.get("content-length", "")
    if declared.isdecimal():
        if len(declared) > len(str(limit)) or int(declared) > limit:
            raise _too_large(limit, setting)
        share.check_room(int(declared), limit=limit)
    clock = asyncio.get_running_loop().time
    began_at, size = clock(), 0
    try:
        async with asyncio.timeout(limits.body_idle_s) as patience:
            async for piece in request.stream():
                size += len(piece)
                if size > limit:
                    raise _too_large(limit, setting)
                share.hold(size, limit=limit)
                take(piece)
                whole_by = began_at + limits.body_grace_s + size / limits.min_body_bytes_per_s
                patience.reschedule(min(clock() + limits.body_idle_s, whole_by))
    except TimeoutError:
        raise RequestTimeout(
            f"The body came too slowly: {size} bytes arrived before the timeout. Send the request again."
        ) from None


def _too_large(limit: int, setting: str) -> RequestTooLarge:
    expected = f"Expected a body of at most {limit / MB:.3g} MB ({limit} bytes), got a larger one."
    advice = f" Send a large file by its address, not inside the body. {setting} sets the limit."
    return RequestTooLarge(expected + (advice if setting else ""))
