"""How long a reply may be silent, and its ending if it is silent for longer. `Silence` reads no clock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from lib.chat.events import Content, Failed, Finished, ReplyEvent
from lib.errors import UpstreamTimeout

MAX_SILENCE_S = 45.0
"""After so long a stream begins although nothing has accepted yet: nginx gives up on a silent upstream after
60 s, and waiting for an account and then for a model can take longer."""

DEADLINE_MARGIN_S = 10.0
"""So much of the host's time is left for the last words and the clean-up, or a tenth if that is less."""


class Silence:
    """Watches one reply: its first content, the pauses in it, and the host's end of the request."""

    def __init__(self, *, first_content_s: float, idle_s: float, stop_at: float | None) -> None:
        self.has_content = False
        """A turn of the reply has said something."""
        self._turn_has_content = False
        self._first_content_s = first_content_s
        self._idle_s = idle_s
        self.stop_at = stop_at
        self._quiet_until = 0.0

    @property
    def until(self) -> float:
        """The next read must return by then, in the loop's time."""
        return self._quiet_until if self.stop_at is None else min(self._quiet_until, self.stop_at)

    def begin(self, now: float) -> None:
        """An account was asked: the wait for the first content of a turn begins."""
        self._turn_has_content = False
        self._quiet_until = now + self._first_content_s

    def hear(self, events: Sequence[ReplyEvent], now: float) -> None:
        """Put the end of the patience off. Any event does, also a thought that the client will not see."""
        if events:
            self._quiet_until = now + self._idle_s
            self._turn_has_content |= any(isinstance(event, Content) for event in events)
            self.has_content |= self._turn_has_content

    def ending(self) -> Finished | Failed:
        """Return the ending of a reply whose read did not return in time.

        A later turn without a word is no answer: the words of the turn before it were wrong.
        """
        is_deadline = self.until == self.stop_at
        if is_deadline and self._turn_has_content:
            return Finished("length")
        if is_deadline:
            words = "The host ends this request before the upstream has said anything."
        elif self._turn_has_content:
            words = f"The upstream fell silent for {self._idle_s:g} s in mid-answer."
        else:
            words = f"The upstream said nothing for {self._first_content_s:g} s."
        return Failed(UpstreamTimeout(words))


def stop_time(deadline_at: float) -> float:
    """Return the time to stop the upstream, so that last words and clean-up are done by the deadline."""
    left_s = deadline_at - asyncio.get_running_loop().time()
    return deadline_at - min(DEADLINE_MARGIN_S, left_s / 10)
