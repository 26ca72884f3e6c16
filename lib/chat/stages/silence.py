"""A silent answer: no sources and no reasoning.

Two stages, because sources go before the search for stop sequences and the count, reasoning after them: the
caller pays for reasoning that is not shown, and a stop sequence may stand around a source that is not shown.
"""

from __future__ import annotations

from collections.abc import Sequence

from lib.chat.events import Citation, ReasoningDelta, ReplyEvent, Rewritten


class _Without:
    """Drops the events of one type."""

    is_done = False
    repair = None
    dropped: type[Citation] | type[ReasoningDelta]

    def feed(self, events: Sequence[ReplyEvent]) -> list[ReplyEvent]:
        return [self._within(event) for event in events if not isinstance(event, self.dropped)]

    def _within(self, event: ReplyEvent) -> ReplyEvent:
        if not isinstance(event, Rewritten):
            return event
        return Rewritten(tuple([part for part in event.events if not isinstance(part, self.dropped)]))


class WithoutSources(_Without):
    """Drops the sources."""

    dropped = Citation


class WithoutReasoning(_Without):
    """Drops the reasoning."""

    dropped = ReasoningDelta
