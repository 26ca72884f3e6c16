"""Play the steps of one answer to one client, and notice that the client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from starlette.types import Receive, Scope, Send

from .connection import ABORT_EXTENSION
from .steps import Abort, Head, Json, Pace, Pause, Split, Step

MAX_PAUSES_S = 125.0
"""All pauses of one answer take at most this long; the silent scenes ask for 120 s."""
STEPS_PER_TURN = 16
"""After so many sends the event loop gets a turn, so that other calls are served and a stop is noticed."""


class Player:
    """An ASGI application that plays steps; an upstream says how its events look and how an answer ends."""

    def __init__(self, steps: Iterator[Step], *, pace_s: Callable[[], float]) -> None:
        self.client_gone = False
        self._steps = steps
        self._pace_s = pace_s
        self._head = Head()
        self._head_sent = False
        self._abort: Abort | None = None
        self._paused_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._send: Send = _send_nothing

    def encode(self, event: Json) -> bytes:
        """Return an event as it stands on the wire."""
        raise NotImplementedError

    def begin(self) -> None:
        """Run before every write of the body."""

    def end(self) -> None:
        """Run when the answer is over; may run twice."""

    def leave(self) -> None:
        """Run as soon as the client has closed the connection."""

    async def conclude(self) -> None:
        """Close the response after the last step."""
        await self._close()

    @property
    def is_interrupted(self) -> bool:
        return self.client_gone

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._send = send
        watcher = asyncio.create_task(self._watch(receive))
        try:
            await self._play()
            if self._abort is not None:
                self.end()
                self._break_off(scope, self._abort)
                return
            await self.conclude()
        finally:
            watcher.cancel()
            self.end()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.client_gone = True
        self.leave()
        self._woken.set()

    async def _play(self) -> None:
        sends = 0
        for step in self._steps:
            if self.is_interrupted:
                return
            match step:
                case bytes() | dict():
                    await self._send_body(step if isinstance(step, bytes) else self.encode(step))
                    sends += 1
                    if sends % STEPS_PER_TURN == 0:
                        await asyncio.sleep(0)
                case Pace():
                    if pace_s := self._pace_s():
                        await self._pause(pace_s)
                case Pause(seconds):
                    await self._pause(seconds)
                case Split(data, size):
                    await self._send_pieces(data, size)
                case Head():
                    self._head = step
                    await self._send_head()
                case Abort():
                    self._abort = step
                    return
                case _:
                    raise TypeError(f"expected a step of a stream, got {step!r}")

    def _break_off(self, scope: Scope, abort: Abort) -> None:
        # Without a reset, uvicorn closes the connection: the call returns before the body is complete.
        reset: Callable[[], None] | None = scope.get(ABORT_EXTENSION)
        if abort.hard and reset:
            reset()

    async def _pause(self, seconds: float) -> None:
        seconds = min(seconds, MAX_PAUSES_S - self._paused_s)
        if seconds > 0:
            self._paused_s += seconds
            await self._wait(seconds, until=lambda: self.is_interrupted)

    async def _wait(self, seconds: float, *, until: Callable[[], bool]) -> None:
        give_up_at = self._loop.time() + seconds
        while not until() and (left_s := give_up_at - self._loop.time()) > 0:
            self._woken.clear()
            try:
                await asyncio.wait_for(self._woken.wait(), left_s)
            except TimeoutError:
                return

    async def _send_pieces(self, data: bytes, size: int) -> None:
        for start in range(0, len(data), size):
            if self.is_interrupted:
                return
            await self._send_body(data[start : start + size])
            await self._pause(self._pace_s())  # Without one, a reader finds many pieces at once.
            await asyncio.sleep(0)

    async def _send_body(self, data: bytes) -> None:
        await self._send_head()
        self.begin()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _send_head(self) -> None:
        if self._head_sent:
            return
        self._head_sent = True
        headers = [(b"cache-control", b"no-cache")]
        if self._head.content_type is not None:
            headers.append((b"content-type", self._head.content_type.encode()))
        await self._send({"type": "http.response.start", "status": self._head.status, "headers": headers})

    async def _close(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send_nothing(message: Any) -> None:
    raise RuntimeError(f"not running: {message!r}")
