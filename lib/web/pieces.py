"""An answer that is sent piece by piece: a sound, or a JSON text of many megabytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lib.web.streaming import SEND_TIMEOUT_S


class PiecesResponse(Response):
    """It owns the resources that the pieces come from. An error between them cuts the answer."""

    def __init__(
        self,
        pieces: AsyncIterator[bytes],
        headers: dict[str, str],
        *,
        media_type: str,
        resources: AsyncExitStack | None = None,
    ) -> None:
        super().__init__(headers=headers, media_type=media_type)
        del self.headers["content-length"]
        self._pieces = pieces
        self._resources = resources or AsyncExitStack()

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        try:
            await send(start)
            async for piece in self._pieces:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            raise ClientDisconnect from None
        finally:
            await self._resources.aclose()
