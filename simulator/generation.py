"""Run one answer: play its steps, notice stop_stream and clients that leave, know when it really ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from starlette.types import Receive, Scope, Send

from .accounts import Account
from .conversations import Conversation
from .steps import Abort, Cue, Head, Pace, Pause, Script, Split, Step, frame

MAX_PAUSES_S = 125.0
"""All pauses of one answer together; the silent scenes ask for 120 s."""
STEPS_PER_TURN = 16
"""After so many sends without a wait the event loop gets a turn: others are served, a stop is noticed."""

ABORT_EXTENSION = "simulator.abort"
"""Scope key of a function that resets the connection, where the server lets us."""


class Generation:
    """One answer under way, as an ASGI application."""

    def __init__(
        self,
        *,
        cue: Cue,
        steps: Iterator[Step],
        account: Account,
        conversation: Conversation,
        pace_s: Callable[[], float],
        linger_s: float,
        close_delay_s: float,
        on_first_event: Callable[[Generation], None],
        on_end: Callable[[Generation], None],
    ) -> None:
        self.cue = cue
        self.account = account
        self.conversation = conversation
        self.stopped = False
        self.client_gone = False
        self._steps = steps
        self._pace_s = pace_s
        self._linger_s = linger_s
        self._close_delay_s = close_delay_s
        self._on_first_event = on_first_event
        self._on_end = on_end
        self._head = Head()
        self._head_sent = False
        self._is_announced = False
        self._breaks_off = False
        self._paused_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._has_ended = asyncio.Event()
        self._send: Send = _send_nothing

    def stop(self) -> None:
        """End the answer early; may be called from any thread."""
        self.stopped = True
        with contextlib.suppress(RuntimeError):  # its loop is closed: it has ended anyway
            self._loop.call_soon_threadsafe(self._woken.set)

    async def wait_for_end(self, timeout_s: float) -> None:
        """Give a stopped answer the moment it needs to close."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._has_ended.wait(), timeout_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._send = send
        watcher = asyncio.create_task(self._watch(receive))
        try:
            await self._play()
            if self._breaks_off:
                self._end()
                self._break_off(scope)
                return
            await self._conclude()
        finally:
            watcher.cancel()
            self._end()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.client_gone = True
        self._woken.set()

    async def _play(self) -> None:
        sends = 0
        for step in self._steps:
            if self._is_interrupted:
                return
            match step:
                case bytes() | dict():
                    data = step if isinstance(step, bytes) else frame(self.cue.complete(step))
                    await self._send_body(data)
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
                    self._breaks_off = True
                    return
                case _:
                    raise TypeError(f"expected a step of a stream, got {step!r}")

    async def _conclude(self) -> None:
        if self.client_gone and not self.stopped:
            # The upstream notices a client that left only after a while; stop_stream tells it at once.
            await self._wait(self._linger_s, until=lambda: self.stopped)
        if self.client_gone:
            return
        if self.stopped:
            await self._send_body(frame(Script(self.cue).error(10024, "generator exit")))
        await self._send_head()
        await self._pause(self._close_delay_s)
        # Ended before the client can know: its next call must not find the account busy.
        self._end()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def _break_off(self, scope: Scope) -> None:
        # Otherwise: an ASGI call that returns before the body is complete makes uvicorn close the connection.
        step: Callable[[], None] | None = scope.get(ABORT_EXTENSION)
        if self._hard and step:
            step()

    @property
    def _hard(self) -> bool:
        return bool(self.cue.args.get("hard"))

    @property
    def is_open(self) -> bool:
        """Whether a client still reads; false as soon as it has stopped or left."""
        return not self._is_interrupted

    @property
    def _is_interrupted(self) -> bool:
        return self.stopped or self.client_gone

    async def _pause(self, seconds: float) -> None:
        seconds = min(seconds, MAX_PAUSES_S - self._paused_s)
        if seconds > 0:
            self._paused_s += seconds
            await self._wait(seconds, until=lambda: self._is_interrupted)

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
            if self._is_interrupted:
                return
            await self._send_body(data[start : start + size])
            await asyncio.sleep(0)

    async def _send_body(self, data: bytes) -> None:
        if not self._is_announced:
            self._is_announced = True
            await self._send_head()
            self._on_first_event(self)
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _send_head(self) -> None:
        if self._head_sent:
            return
        self._head_sent = True
        headers = [(b"cache-control", b"no-cache")]
        if self._head.content_type is not None:
            headers.append((b"content-type", self._head.content_type.encode()))
        await self._send({"type": "http.response.start", "status": self._head.status, "headers": headers})

    def _end(self) -> None:
        if not self._has_ended.is_set():
            self._has_ended.set()
            self._on_end(self)


async def _send_nothing(message: Any) -> None:
    raise RuntimeError(f"not running: {message!r}")
