"""Counting tokens, and the limit on them, for an upstream that does not count itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from lib.chat.events import (
    Finished,
    ReasoningDelta,
    ReplyEvent,
    Rewritten,
    TextDelta,
    Told,
    ToolCallDelta,
    Usage,
    Withdrawn,
    visible_text,
)
from lib.chat.usage import TokenCounter

Event = TypeVar("Event", bound=ReplyEvent)


class Meter:
    """Counts the events that pass and fills in an empty `Finished.usage`; ends the reply at `max_tokens`.

    The event that would exceed the limit is cut. `prompt_tokens` is called at the end of the reply, because
    counting a long prompt first would delay the answer.
    """

    repair = None

    def __init__(self, *, max_tokens: int | None, prompt_tokens: Callable[[], int]) -> None:
        self.is_done = False
        self._only_counts = max_tokens is None
        self._limit = math.inf if max_tokens is None else max_tokens
        self._sure = self._limit
        """So many characters can pass without a count, because no character is more than a token."""
        self._prompt_tokens = prompt_tokens
        self._calls = TokenCounter()
        self._begin_again()

    def feed(self, events: Sequence[ReplyEvent]) -> list[ReplyEvent]:
        """Return the very same list if there is no limit and no end: most batches change nothing."""
        if self._only_counts:
            return self._count_all(events)
        passed: list[ReplyEvent] = []
        for index, event in enumerate(events):
            if self.is_done:
                break
            if isinstance(event, ToolCallDelta) and event.id is not None:
                self._reserve(events[index:], event.index)
            passed += self._pass(event)
        return passed

    def _reserve(self, events: Sequence[ReplyEvent], index: int) -> None:
        """End the reply if the whole call does not fit: half a call is worse than none."""
        pieces = [event for event in events if isinstance(event, ToolCallDelta) and event.index == index]
        text = "".join(self._counted(piece)[1] for piece in pieces)
        self.is_done = len(text) > self._sure and self._room(self._calls, text) < len(text)

    def _count_all(self, events: Sequence[ReplyEvent]) -> list[ReplyEvent]:
        for event in events:
            self._count(event)
        if events and isinstance(last := events[-1], Finished):
            return [*events[:-1], self._with_usage(last)]
        return events if isinstance(events, list) else list(events)

    def _count(self, event: ReplyEvent) -> None:
        match event:
            case TextDelta():
                self._text.add(event.text)
            case Rewritten():
                self._begin_again()
                for part in event.events:
                    self._count(part)
            case Withdrawn():
                self._begin_again()
                self._text.add(event.words)
            case _:
                counter, text = self._counted(event)
                counter.add(text)

    def _pass(self, event: ReplyEvent) -> tuple[ReplyEvent, ...]:
        match event:
            case _ if self.is_done:
                passed: tuple[ReplyEvent, ...] = ()
            case TextDelta() if len(event.text) <= self._sure:
                self._sure -= len(event.text)
                self._text.add(event.text)
                return (event,)
            case Finished():
                return (self._with_usage(event),)
            case Withdrawn():  # The words are not the model's: no limit of the caller is for them.
                self._count(event)
                return (event,)
            case Rewritten():
                passed = (self._rewrite(event),)
            case _:
                passed = self._admit(event)
        return (*passed, self._with_usage(Finished("length"))) if self.is_done else passed

    def _with_usage(self, event: Finished) -> Finished:
        if event.usage.total_tokens:  # The upstream has counted itself.
            return event
        reasoning = self._reasoning.total
        completion = self._text.total + reasoning + self._calls.total
        return msgspec.structs.replace(event, usage=Usage(self._prompt_tokens(), completion, reasoning))

    def _counted(self, event: ReplyEvent) -> tuple[TokenCounter, str]:
        if isinstance(event, ReasoningDelta):
            return self._reasoning, event.text
        if isinstance(event, ToolCallDelta):
            return self._calls, (event.name or "") + event.arguments
        return self._text, visible_text(event)

    def _begin_again(self) -> None:
        self._text = TokenCounter()
        self._reasoning = TokenCounter()

    def _rewrite(self, event: Rewritten) -> Rewritten:
        self._begin_again()
        kept: list[Told] = []
        for part in event.events:
            kept += self._admit(part)
            if self.is_done:
                break
        return Rewritten(tuple(kept))

    def _admit(self, event: Event) -> tuple[Event, ...]:
        counter, text = self._counted(event)
        room = len(text) if len(text) <= self._sure else self._room(counter, text)
        if room < len(text):
            self.is_done = True
            if not room or not isinstance(event, TextDelta | ReasoningDelta):
                return ()  # Half a marker, half an image or half a call is worse than no event.
            text = text[:room]
            event = msgspec.structs.replace(event, text=text)
        self._sure -= len(text)
        counter.add(text)
        return (event,)

    def _room(self, counter: TokenCounter, text: str) -> int:
        """Return the number of the text's characters that may still pass."""
        others = sum(c.total for c in (self._text, self._reasoning, self._calls) if c is not counter)
        self._sure = self._limit - others - counter.total
        return counter.longest_fit(text, self._limit - others)
