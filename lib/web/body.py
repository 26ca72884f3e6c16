"""Reading a request's body, no more of it than is allowed."""

from __future__ import annotations

from starlette.requests import Request

from lib.errors import RequestTooLarge


async def read_body(request: Request, *, limit: int) -> bytes:
    """Return the whole body; more than `limit` bytes are refused before they are read."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        pieces.append(piece)
    return b"".join(pieces)


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"The body is larger than the {limit} bytes that are accepted here.")
