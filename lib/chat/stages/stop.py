"""Stop sequences, for an upstream that does not search for them itself."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence

from lib.chat.events import Failed, Finished, ReplyEvent, Rewritten, TextDelta, Told, Withdrawn, visible_text

_NO_MORE_OF_THIS_TEXT = (Finished, Failed, Rewritten, Withdrawn)


class StopSearch:
    """Ends the reply before the earliest stop sequence.

    It holds back, in order, only a text that may be the start of a sequence. Positions count the characters
    of the visible text. If one sequence is complete while an earlier start of another may still become one
    ("bc" within "abcd"), the end waits for that.
    """

    repair = None

    def __init__(self, stops: Iterable[str]) -> None:
        self.is_done = False
        self._stops = tuple(filter(None, stops))
        self._first_letters = re.compile(f"[{re.escape(''.join(stop[0] for stop in self._stops))}]")
        self._held: deque[tuple[ReplyEvent, str]] = deque()
        self._restart()

    def _restart(self) -> None:
        self._open = [_Stop(text) for text in self._stops]
        """The sequences that have not appeared in the text yet."""
        self._cut: int | None = None
        """The position of the earliest complete sequence."""
        self._found: str | None = None
        """That sequence."""
        self._passed = 0
        self._seen = 0

    def feed(self, events: Sequence[ReplyEvent]) -> list[ReplyEvent]:
        passed: list[ReplyEvent] = []
        for event in events:
            if self.is_done:
                break
            passed += self._take_in(event)
        return passed

    def _take_in(self, event: ReplyEvent) -> list[ReplyEvent]:
        if isinstance(event, TextDelta) and not self._held and not self._first_letters.search(event.text):
            self._seen += len(event.text)
            self._passed = self._seen
            return [event]
        return self._pass(event)

    def _release_all(self) -> list[ReplyEvent]:
        """Give the held events, or the end that waited for more text: no more of this text will come."""
        return self._take(self._seen) if self._cut is None else self._end(self._cut)

    def _pass(self, event: ReplyEvent) -> list[ReplyEvent]:
        passed = self._release_all() if isinstance(event, _NO_MORE_OF_THIS_TEXT) else []
        if self.is_done:
            return passed
        if isinstance(event, Finished | Failed | Withdrawn):
            return [*passed, event]
        if isinstance(event, Rewritten):
            self._restart()
        text = _searched_text(event)
        self._held.append((event, text))
        self._look_through(text)
        return passed + self._release()

    def _look_through(self, text: str) -> None:
        for stop in tuple(self._open):
            end = stop.find_end(text)
            if end is not None:
                start = self._seen + end - len(stop.text)
                if self._cut is None or start < self._cut:
                    self._cut, self._found = start, stop.text
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
        self.is_done = True
        return [*passed, Finished("stop", stop_sequence=self._found)]

    def _take(self, position: int) -> list[ReplyEvent]:
        """Pass the held events up to a position of the text; only a TextDelta can be divided there."""
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


class _Stop:
    """The search for one stop sequence, by Knuth, Morris and Pratt: it looks at each character once."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.matched = 0
        """The text so far ends with this many characters of the sequence's beginning."""
        self._fallbacks = _fallbacks(text)

    def find_end(self, text: str) -> int | None:
        """Go on with a text. Return the position in it after the first complete sequence, or None."""
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
    """For each beginning of the text, return the length of its longest proper suffix that begins the text."""
    lengths = [0]
    length = 0
    for character in text[1:]:
        while length and text[length] != character:
            length = lengths[length - 1]
        length += text[length] == character
        lengths.append(length)
    return lengths


def _searched_text(event: ReplyEvent) -> str:
    if isinstance(event, Rewritten):
        return "".join(map(visible_text, event.events))
    return visible_text(event)


def _first_characters(event: ReplyEvent, size: int) -> tuple[ReplyEvent, ...]:
    """Cut an event's text; the rest of a marker or of an image's Markdown is plain text."""
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
