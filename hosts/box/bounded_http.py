"""uvicorn's HTTP protocol with limits, and for HTTP/1.0 without chunks.

uvicorn itself takes a head of any length, and waits for any time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

MAX_HEAD_BYTES = 64 * 1024
"""A head may have this many bytes after the request's first ones. The trailers and the framing of a body
count, too."""
FRAMING_BYTES = 8
"""Each byte of a body may have this many bytes of framing. A body in chunks of one byte has five."""
PATIENCE_S = 75.0
"""A connection may wait this long for its first request, for the rest of a head, and for the rest of a body
after its answer. A kept connection waits as long for its next request."""


class BoundedHttp(HttpToolsProtocol):
    """Ends a connection that sends too much before its request begins, or that is too slow."""

    _uncounted = 0
    _is_whole = True
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._uncounted += len(data)
        super().data_received(data)
        if self.transport.is_closing():  # uvicorn has refused the request.
            return
        if self._uncounted > MAX_HEAD_BYTES:
            self._refuse()
        elif self._is_whole and self._patience is None and self._is_answered():
            self._wait()  # No request began: uvicorn never ends a connection that sends empty lines.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._uncounted = 0
        self._is_whole = False
        self._wait()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.scope["http_version"] < "1.1":
            # uvicorn has made the task, and it has not begun.
            self.cycle.send = _Unchunked(self.cycle).send  # type: ignore[method-assign]
        self._wait_no_more()  # lib/web/body.py limits the time of a body.

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._uncounted = max(0, self._uncounted - len(body) * (1 + FRAMING_BYTES))

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._is_whole = True

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_answered() and not self._is_whole:
            self._wait()

    def _is_answered(self) -> bool:
        return bool(getattr(self.cycle, "response_complete", True))  # `cycle` is None before a request.

    def _refuse(self) -> None:
        if self._is_answered():
            self.send_400_response(f"Expected a request's head of at most {MAX_HEAD_BYTES} bytes, got more.")
        else:
            self.transport.close()

    def _wait(self) -> None:
        self._wait_no_more()
        self._patience = self.loop.call_later(PATIENCE_S, self.transport.close)

    def _wait_no_more(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


class _Unchunked:
    """Sends an answer of HTTP/1.0: a body without a length goes on until the connection closes.

    uvicorn 0.54 sends it in chunks, which HTTP/1.0 does not know (RFC 9112, 6.1). It closes the connection.
    """

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._send = cycle.send
        self._has_length = False

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            self._has_length = any(
                name.lower() == b"content-length" for name, _ in message.get("headers", ())
            )
            if not self._has_length:
                self._cycle.chunked_encoding = False
        elif message["type"] == "http.response.body" and not self._has_length:
            self._cycle.expected_content_length = len(message.get("body", b""))  # uvicorn compares the two.
        await self._send(message)
