"""The contract of a stage. A stage makes up for one thing that an upstream does not do itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lib.chat.events import ReplyEvent


class Stage(Protocol):
    """Takes batches of events and returns the events that the next stage, or the dialect, may see.

    A stage passes exactly one ending (`Finished` or `Failed`) on, and nothing after it. It does no I/O.
    """

    @property
    def is_done(self) -> bool:
        """The reply is complete although the upstream still generates: stop the upstream."""
        ...

    @property
    def repair(self) -> str | None:
        """Words for one more turn of the model, or None.

        A stage sets it in place of passing `Finished` on. The flow then asks the upstream again with these
        words, in the same conversation, and feeds this stage the new turn's events: it starts with a
        `TextDelta`, `ReasoningDelta` or an ending, and has no `Started`. The first `feed` resets `repair`.
        """
        ...

    def feed(self, events: Sequence[ReplyEvent]) -> list[ReplyEvent]: ...
