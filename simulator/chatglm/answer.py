"""The stream of one answer of chatglm.cn: how stop_stream and a client that leaves end it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

from simulator.player import Player
from simulator.records import Conversation
from simulator.steps import Cue, Json, Script, Step, frame

from .accounts import Account
from .generation import Generation


class Answer(Player):
    """A generation, played to its client."""

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
        on_first_event: Callable[[Answer], None],
        on_end: Callable[[Answer], None],
    ) -> None:
        super().__init__(steps, pace_s=pace_s)
        self.account = account
        self.generation = Generation(cue, conversation, self._wake)
        self._linger_s = linger_s
        self._close_delay_s = close_delay_s
        self._on_first_event: Callable[[Answer], None] | None = on_first_event
        self._on_end: Callable[[Answer], None] | None = on_end
        self._has_ended = asyncio.Event()

    def encode(self, event: Json) -> bytes:
        return frame(self.generation.cue.complete(event))

    def begin(self) -> None:
        # The conversation exists from now on: the client can know its id.
        if self._on_first_event is not None:
            announce, self._on_first_event = self._on_first_event, None
            announce(self)

    def leave(self) -> None:
        self.generation.is_open = False

    def end(self) -> None:
        if self._on_end is not None:
            conclude, self._on_end = self._on_end, None
            self._has_ended.set()
            conclude(self)

    @property
    def is_interrupted(self) -> bool:
        return self.generation.stopped or self.client_gone

    async def conclude(self) -> None:
        if self.client_gone and not self.generation.stopped:
            # The upstream notices only after a while that a client left; stop_stream tells it at once.
            await self._wait(self._linger_s, until=lambda: self.generation.stopped)
        if self.client_gone:
            return
        if self.generation.stopped:
            await self._send_body(frame(Script(self.generation.cue).error(10024, "generator exit")))
        await self._send_head()
        await self._pause(self._close_delay_s)
        # The generation ends before the client can know: its next call must not find the account busy.
        self.end()
        await self._close()

    async def wait_for_end(self, timeout_s: float) -> None:
        """Give a stopped answer the time that it needs to close."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._has_ended.wait(), timeout_s)

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # its loop is closed, so it has ended
            self._loop.call_soon_threadsafe(self._woken.set)
