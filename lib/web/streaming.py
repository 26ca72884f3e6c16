"""Answers that own their resources, and event streams with a heartbeat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, suppress

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lib.chat.events import Failed, Finished, ReplyEvent
from lib.dialects.interface import Renderer
from lib.errors import GatewayError
from lib.sse import COMMENT
from lib.tasks import beside
from lib.trace import current_trace
from lib.web.ending import told_as_error

EVENTS_TYPE = "text/event-stream"
STREAM_HEADERS = {
    "cache-control": "no-cache, no-transform",
    # nginx and similar proxies buffer an answer unless the answer itself forbids it.
    "x-accel-buffering": "no",
}


SEND_TIMEOUT_S = 60.0
"""If a client takes no byte for so long, we drop it: it is gone, or it blocks an account."""


class LastFrame(bytes):
    """The end of a stream. It goes out in one write with the end of the answer."""


class OwningResponse(Response):
    """A complete answer. It closes its resources after it is sent.

    Closing is part of the request, because a serverless host may freeze the process right after the request.
    """

    def __init__(self, content: bytes, headers: dict[str, str], *, resources: AsyncExitStack) -> None:
        super().__init__(content, headers=headers, media_type="application/json")
        self._resources = resources

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await super().__call__(scope, receive, send)
        except TimeoutError:
            raise ClientDisconnect from None
        finally:
            await self._resources.aclose()


class EventStreamResponse(Response):
    """A stream, mostly of server-sent events. The response owns the resources that it comes from."""

    def __init__(
        self,
        frames: AsyncGenerator[bytes],
        headers: dict[str, str],
        *,
        resources: AsyncExitStack,
        heartbeat_s: float,
        heartbeat: bytes = COMMENT,
        media_type: str = EVENTS_TYPE,
    ) -> None:
        super().__init__(headers={**STREAM_HEADERS, **headers}, media_type=media_type)
        del self.headers["content-length"]
        self._frames = frames
        self._resources = resources
        self._heartbeat_s = heartbeat_s
        self._heartbeat = heartbeat
        self._beating = asyncio.Lock()
        self._began_at: float | None = None
        """A frame is being sent since then."""
        self._sent_at = float("-inf")

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        try:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            await self._stream(send)
        finally:
            await self._resources.aclose()

    async def _stream(self, send: Send) -> None:
        bound = asyncio.timeout(None)
        try:
            async with bound:
                # The first beat is due at once. Content that is already there goes out before it.
                async with beside(self._watch(send, bound)), aclosing(self._frames):
                    is_over = False
                    async for frame in self._frames:
                        is_over = isinstance(frame, LastFrame)
                        await self._write(send, frame, is_last=is_over)
                if not is_over:
                    await self._write(send, b"", is_last=True)
        except TimeoutError:
            if bound.expired():
                raise ClientDisconnect from None
            raise

    async def _write(self, send: Send, frame: bytes, *, is_last: bool = False) -> None:
        clock = asyncio.get_running_loop().time
        if self._beating.locked():
            async with self._beating:
                pass
        self._began_at = clock()
        await send({"type": "http.response.body", "body": frame, "more_body": not is_last})
        self._began_at, self._sent_at = None, clock()

    async def _watch(self, send: Send, bound: asyncio.Timeout) -> None:
        """Send a heartbeat into each silence, so that no proxy takes the connection for dead. End the stream
        if the client takes no byte. One task for the whole stream: a frame costs neither timer nor lock."""
        clock = asyncio.get_running_loop().time
        with suppress(TimeoutError):
            while True:
                if self._began_at is not None:
                    left_s = self._began_at + SEND_TIMEOUT_S - clock()
                    if left_s <= 0:
                        break
                    await asyncio.sleep(min(self._heartbeat_s, left_s))
                elif (due_in_s := self._sent_at + self._heartbeat_s - clock()) > 0:
                    await asyncio.sleep(due_in_s)
                else:
                    await self._beat(send)
        bound.reschedule(clock())

    async def _beat(self, send: Send) -> None:
        """Raise TimeoutError if the client does not take it."""
        async with self._beating, asyncio.timeout(SEND_TIMEOUT_S):
            await send({"type": "http.response.body", "body": self._heartbeat, "more_body": True})
            self._sent_at = asyncio.get_running_loop().time()


async def render_stream(
    batches: AsyncIterator[Sequence[ReplyEvent]], renderer: Renderer
) -> AsyncGenerator[bytes]:
    """Turn batches into frames. An error between them becomes the dialect's error event."""
    try:
        with told_as_error():
            async for batch in batches:
                last = batch[-1] if batch else None
                if isinstance(last, Failed):
                    current_trace().failed(last.error)
                if frame := renderer.feed(batch):
                    yield LastFrame(frame) if isinstance(last, Failed | Finished) else frame
    except GatewayError as error:
        current_trace().failed(error)
        yield renderer.feed([Failed(error)])


async def spaced_frames(count: int = 5, gap_s: float = 0.2) -> AsyncGenerator[bytes]:
    """Send events with their sending times. If they arrive together, a proxy on the way buffers them."""
    clock = asyncio.get_running_loop().time
    began_at = clock()
    for number in range(1, count + 1):
        await asyncio.sleep(gap_s if number > 1 else 0)
        yield b'data: {"number":%d,"of":%d,"sent_ms":%d}\n\n' % (number, count, (clock() - began_at) * 1000)
