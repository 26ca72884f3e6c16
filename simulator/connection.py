"""Break a connection on purpose; ASGI itself has no way to do it."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import Send

ABORT_EXTENSION = "simulator.abort"
"""The scope's key of a function that resets the connection, if the server allows it."""


def find_abort(send: Send) -> Any:
    """Find uvicorn's way to reset the connection."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    return getattr(transport, "abort", None)


async def disconnect(abort: Any, send: Send) -> None:
    """Close the connection without an answer."""
    if abort is not None:
        abort()
        await asyncio.sleep(0.01)  # until uvicorn has noticed, or it would answer 500
        return
    head = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]}
    await send(head)
