"""What the caller asked a reply to be kept to: stop sequences, a number of tokens, silence; and its usage.

An event passes the search for stop sequences, which may hold it back, and then the meter, which counts it.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec

from lib.chat.events import (
    Citation,
    Failed,
    Finished,
    ImageMade,
    ReasoningDelta,
    ReplyEvent,
    Rewritten,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from lib.chat.usage import TokenCounter

Told = TextDelta | ReasoningDelta | Citation | ImageMade
Event = TypeVar("Event", bound=ReplyEvent)


class ReplyLimiter:
    """Passes a reply on, batch by batch, within the caller's limits; fills in `Finished.usage`.

    `prompt_tokens` is asked at the end: to count a long prompt first would keep the answer waiting.
    """

    def __init__(
        self, *, stop: tuple[str, ...], max_tokens: int | None, silent: bool, prompt_tokens: Callable[[], int]
    ) -> None:
        stop = tuple(filter(None, stop))
        self._search = _StopSearch(stop) if stop else None
        self._meter = _Meter(max_tokens=max_tokens, silent=silent, prompt_tokens=prompt_tokens)
        self._silent = silent
        self._only_counts = not stop and max_tokens is None and not silent

    @property
    def ended(self) -> bool:
        """A limit of ours was reached: the reply is complete, and the upstream must be stopped."""
        return self._meter.is_full or (self._search is not None and self._search.has_ended)

    def feed(self, events: Sequence[ReplyEvent]) -> list[ReplyEvent]:
        if self._only_counts:
            return self._count(events)
        end = _start_of_withdrawal(events)
        passed: list[ReplyEvent] = []
        for event in _without_citations(events[:end]) if self._silent else events[:end]:
            for found in (event,) if self._search is None else self._search.feed(event):
                passed += self._meter.feed(found)
        if end < len(events) and not self.ended:
            passed += self._withdraw(events[end:])
        return passed

    def _withdraw(self, events: Sequence[ReplyEvent]) -> list[ReplyEvent]:
        """Release what is held; then the words of the moderation, whole."""
        released = [] if self._search is None else self._search.conclude()
        passed = [passed for event in released for passed in self._meter.feed(event)]
        return passed if self.ended else passed + self._count(events)

    def _count(self, events: Sequence[ReplyEvent]) -> list[ReplyEvent]:
        """Count, and return the very same list: only the last event of a reply needs to be written anew."""
        for event in events:
            self._meter.count(event)
        if events and isinstance(events[-1], Finished):
            return [*events[:-1], self._meter.with_usage(events[-1])]
        return events if isinstance(events, list) else list(events)


def visible_text(event: ReplyEvent) -> str:
    """What the event adds to the text that a client shows."""
    if isinstance(event, TextDelta):
        return event.text
    if isinstance(event, Citation):
        return event.marker
    if isinstance(event, ImageMade):
        return event.markdown
    return ""


def _start_of_withdrawal(events: Sequence[ReplyEvent]) -> int:
    """Say from where on the events are the words of a moderation: not the model's, so no limit is theirs.

    They are told as a TextDelta, the same words as a Rewritten, and the end. Cut by a stop sequence, the
    withdrawn answer would stand, as if it were complete.
    """
    if not events or not isinstance(events[-1], Finished) or events[-1].reason != "content_filter":
        return len(events)
    start = len(events) - 1
    if start and isinstance(rewritten := events[start - 1], Rewritten):
        start -= 1
        words = "".join(map(visible_text, rewritten.events))
        if start and words and visible_text(events[start - 1]).endswith(words):
            start -= 1
    return start


def _without_citations(events: Iterable[ReplyEvent]) -> Iterator[ReplyEvent]:
    for event in events:
        if isinstance(event, Rewritten):
            yield Rewritten(tuple(part for part in event.events if not isinstance(part, Citation)))
        elif not isinstance(event, Citation):
            yield event


def _searched_text(event: ReplyEvent) -> str:
    if isinstance(event, Rewritten):
        return "".join(map(visible_text, event.events))
    return visible_text(event)


def _first_characters(event: ReplyEvent, size: int) -> tuple[ReplyEvent, ...]:
    """Cut an event's text; what is left of a marker or of an image's Markdown is plain text."""
    if not isinstance(event, Rewritten):
        return (TextDelta(visible_text(event)[:size]),) if size else ()
    kept: list[Told] = []
    for part in event.events:
        text = visible_text(part)
        if len(text) <= size:
            kept.append(part)
        elif size > 0:
            kept.append(TextDelta(text[:size]))
        size -= len(text)
    return (Rewritten(tuple(kept)),)


class _Stop:
    """One stop sequence, searched for as Knuth, Morris and Pratt do: no character is looked at again."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.matched = 0
        """How long a beginning of the sequence the text so far ends with."""
        self._fallbacks = _fallbacks(text)

    def find_end(self, text: str) -> int | None:
        """Go on with a text: where in it the sequence is complete for the first time, if it is."""
        position = 0
        while position < len(text):
            if not self.matched:
                position = text.find(self.text[0], position)
                if position < 0:
                    return None
            while self.matched and self.text[self.matched] != text[position]:
                self.matched = self._fallbacks[self.matched - 1]
            if self.text[self.matched] == text[position]:
                self.matched += 1
            position += 1
            if self.matched == len(self.text):
                return position
        return None


def _fallbacks(text: str) -> list[int]:
    """For each beginning of the text: how long its longest proper suffix is that is a beginning, too."""
    lengths = [0]
    length = 0
    for character in text[1:]:
        while length and text[length] != character:
            length = lengths[length - 1]
        length += text[length] == character
        lengths.append(length)
    return lengths


class _StopSearch:
    """Ends the reply before the earliest stop sequence; holds back, in order, what may be the start of one.

    Positions count the characters of the visible text. Where one sequence is found while an earlier start of
    another may still become one ("bc" within "abcd"), the end waits for that.
    """

    def __init__(self, stops: Iterable[str]) -> None:
        self.has_ended = False
        self._stops = tuple(stops)
        self._first_letters = re.compile(f"[{re.escape(''.join(stop[0] for stop in self._stops))}]")
        self._held: deque[tuple[ReplyEvent, str]] = deque()
        self._restart()

    def _restart(self) -> None:
        self._open = [_Stop(text) for text in self._stops]
        """The sequences not found yet."""
        self._cut: int | None = None
        """Where the earliest of those found begins."""
        self._passed = 0
        self._seen = 0

    def feed(self, event: ReplyEvent) -> list[ReplyEvent]:
        if self.has_ended:
            return []
        if isinstance(event, TextDelta) and not self._held and not self._first_letters.search(event.text):
            self._seen += len(event.text)
            self._passed = self._seen
            return [event]
        return self._pass(event)

    def conclude(self) -> list[ReplyEvent]:
        """Give all that is held, or the end that waited for more text: no more of this text will come."""
        return self._take(self._seen) if self._cut is None else self._end(self._cut)

    def _pass(self, event: ReplyEvent) -> list[ReplyEvent]:
        passed = self.conclude() if isinstance(event, (Finished, Failed, Rewritten)) else []
        if self.has_ended:
            return passed
        if isinstance(event, (Finished, Failed)):
            return [*passed, event]
        if isinstance(event, Rewritten):
            self._restart()  # whoever accumulates begins again with it; a stream passes over it
        text = _searched_text(event)
        self._held.append((event, text))
        self._look_through(text)
        return passed + self._release()

    def _look_through(self, text: str) -> None:
        for stop in tuple(self._open):
            end = stop.find_end(text)
            if end is not None:
                start = self._seen + end - len(stop.text)
                self._cut = start if self._cut is None else min(start, self._cut)
                self._open.remove(stop)
        self._seen += len(text)

    def _release(self) -> list[ReplyEvent]:
        undecided = min((self._seen - stop.matched for stop in self._open), default=self._seen)
        if self._cut is not None and self._cut <= undecided:
            return self._end(self._cut)
        return self._take(undecided)

    def _end(self, cut: int) -> list[ReplyEvent]:
        passed = self._take(cut)
        event = self._held[0][0]
        passed += _first_characters(event, cut - self._passed)
        self._held.clear()
        self.has_ended = True
        return [*passed, Finished("stop")]

    def _take(self, position: int) -> list[ReplyEvent]:
        """Pass what is held on up to a position of the text; only a TextDelta can be divided there."""
        passed: list[ReplyEvent] = []
        while self._held and self._passed + len(self._held[0][1]) <= position:
            event, text = self._held.popleft()
            self._passed += len(text)
            passed.append(event)
        size = position - self._passed
        if size and isinstance(self._held[0][0], TextDelta):
            text = self._held[0][1]
            passed.append(TextDelta(text[:size]))
            self._held[0] = (TextDelta(text[size:]), text[size:])
            self._passed = position
        return passed


class _Meter:
    """Counts what passes; cuts the event that would exceed the limit, and ends the reply there."""

    def __init__(self, *, max_tokens: int | None, silent: bool, prompt_tokens: Callable[[], int]) -> None:
        self.is_full = False
        self._limit = math.inf if max_tokens is None else max_tokens
        self._sure = self._limit
        """So many characters can pass without a count, as no character is more than a token."""
        self._silent = silent
        self._prompt_tokens = prompt_tokens
        self._begin_again()
        self._calls = TokenCounter()

    def feed(self, event: ReplyEvent) -> tuple[ReplyEvent, ...]:
        if self.is_full:
            return ()
        if isinstance(event, TextDelta) and len(event.text) <= self._sure:
            self._sure -= len(event.text)
            self._text.add(event.text)
            return (event,)
        return self._pass(event)

    def _pass(self, event: ReplyEvent) -> tuple[ReplyEvent, ...]:
        if isinstance(event, Finished):
            return (self.with_usage(event),)
        passed = (self._rewrite(event),) if isinstance(event, Rewritten) else self._admit(event)
        return (*passed, self.with_usage(Finished("length"))) if self.is_full else passed

    def count(self, event: ReplyEvent) -> None:
        if isinstance(event, TextDelta):
            self._text.add(event.text)
        elif isinstance(event, Rewritten):
            self._begin_again()
            for part in event.events:
                self.count(part)
        else:
            counter, text = self._counted(event)
            counter.add(text)

    def with_usage(self, event: Finished) -> Finished:
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
            if self.is_full:
                break
        return Rewritten(tuple(kept))

    def _admit(self, event: Event) -> tuple[Event, ...]:
        counter, text = self._counted(event)
        room = len(text) if len(text) <= self._sure else self._room(counter, text)
        if room < len(text):
            self.is_full = True
            if not room or not isinstance(event, (TextDelta, ReasoningDelta)):
                return ()  # half a marker, an image or a call would be worse than none
            text = text[:room]
            event = msgspec.structs.replace(event, text=text)
        self._sure -= len(text)
        counter.add(text)
        return () if self._silent and isinstance(event, ReasoningDelta) else (event,)

    def _room(self, counter: TokenCounter, text: str) -> int:
        """Count how many characters of the text may still pass."""
        others = sum(c.total for c in (self._text, self._reasoning, self._calls) if c is not counter)
        self._sure = self._limit - others - counter.total
        return counter.longest_fit(text, self._limit - others)
