"""Splits a growing text into text that flows on and calls. Holds back only a possible beginning of a call."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from enum import Enum

import msgspec

from lib.tools.drafts import Draft
from lib.tools.markup import MarkupReader
from lib.tools.openers import MAX_OPENER_CHARS, Kind, Openers, Opening
from lib.tools.places import MAX_BLOCK_CHARS, Written
from lib.tools.plain_calls import read_calls
from lib.tools.toolbox import Toolbox

MAX_RESULT_MARK_CHARS = 24
MAX_RESULT_ATTEMPTS = 8
MAX_PLAIN_ATTEMPTS = 64
"""Each attempt may read the whole rest of an answer once: lines that only look like calls must not add up."""


class Found(msgspec.Struct, frozen=True):
    drafts: tuple[Draft, ...]
    raw: str
    """The words that the calls were read from."""


class Thought(msgspec.Struct, frozen=True):
    """A text between `<think>` tags."""

    text: str


Item = str | Found | Thought
Step = Generator[Item, None, str]
"""Yields items and returns the text that is still to be read."""


class _In(Enum):
    LINE_START = "before the first characters that decide"
    LINE = "within a line of text"
    FENCE = "within a fence that is text"
    TAGS = "within calls in tags"
    PLAIN = "behind a beginning of calls in plain text"
    THOUGHT = "within <think>"
    CUT = "behind an invented result"


class Scanner:
    """Text in, items out, in their order. An item is complete when it comes."""

    def __init__(self, box: Toolbox, openers: Openers | None = None) -> None:
        self._box = box
        self._openers = openers or Openers(box)
        self._in = _In.LINE_START
        self._held: list[str] = []
        self._held_chars = 0
        self._block: MarkupReader | None = None
        self._fence = ""
        self._fence_line = ""
        self._packaging = ""
        self._quote = ""
        self._is_quoted = False
        self._opener_end = 0
        self._held_from = 0
        """The place in the block at which the held text begins."""
        self._follows_call = False
        self._is_first = True
        self._attempts = MAX_RESULT_ATTEMPTS
        self._ending = ""
        """The last characters of calls in plain text."""
        self.dropped_empty = False
        """A call without a name or an argument was left out."""

    @property
    def is_cut(self) -> bool:
        """The model goes on with a result that it invented: the rest is nothing."""
        return self._in is _In.CUT

    def passes(self, text: str) -> bool:
        """Tell whether the text is shown as it is, and changes nothing."""
        return self._in is _In.LINE and "\n" not in text and not self._is_first

    @property
    def is_in_call(self) -> bool:
        return self._in in (_In.TAGS, _In.PLAIN)

    def cut(self) -> None:
        """Nothing that comes now is a part of the answer."""
        self._released()
        self._in = _In.CUT

    def feed(self, text: str) -> Iterator[Item]:
        while text:
            match self._in:
                case _In.LINE_START:
                    text = yield from self._at_line_start(self._released() + text)
                case _In.LINE:
                    text = yield from self._in_line(text)
                case _In.FENCE:
                    text = yield from self._in_fence(text)
                case _In.TAGS:
                    text = yield from self._in_tags(text)
                case _In.THOUGHT:
                    text = yield from self._in_thought(self._released() + text)
                case _In.PLAIN:
                    text = yield from self._in_plain(text)
                case _In.CUT:
                    return

    def finish(self, *, is_whole: bool) -> Iterator[Item]:
        """End the text: `is_whole` if the model ended it, not a limit."""
        for _ in range(MAX_PLAIN_ATTEMPTS):
            match self._in:
                case _In.TAGS:
                    yield from self._end_tags(is_whole=is_whole)
                case _In.PLAIN:
                    rest = yield from self._end_plain(is_whole=is_whole)
                    yield from self.feed(rest)
                    continue
                case _In.THOUGHT:
                    if held := self._released():
                        yield Thought(held)
                case _:
                    yield from self.interrupt()
            return
        yield self._released()

    def interrupt(self) -> Iterator[Item]:
        """Something that is no text stands here: the characters held back are no beginning of a call."""
        held = self._released()
        if held and not (self._follows_call and not held.strip()):
            yield self._shown(held)
        if self._in is _In.LINE_START:
            self._in = _In.LINE

    def _hold(self, text: str) -> None:
        self._held.append(text)
        self._held_chars += len(text)

    def _released(self) -> str:
        held = "".join(self._held)
        self._held, self._held_chars = [], 0
        return held

    def _shown(self, text: str) -> str:
        self._is_first = False
        if self._follows_call:
            self._follows_call = False
            return text.lstrip("\r\n")
        return text

    # Lines

    def _at_line_start(self, text: str) -> Step:
        window = text[:MAX_OPENER_CHARS]
        opening = self._openers.decide(window, follows_call=self._follows_call, is_first=self._is_first)
        if opening.kind is Kind.MAYBE and len(text) < MAX_OPENER_CHARS:
            self._hold(text)
            return ""
        return (yield from self._begin(opening, text))

    def _begin(self, opening: Opening, text: str) -> Step:
        match opening.kind:
            case Kind.DROPPED:
                self._in = _In.LINE_START
                return text[opening.end :]
            case Kind.THOUGHT:
                self._in = _In.THOUGHT
                return text[opening.end :]
            case Kind.RESULT:
                self._in = _In.CUT
                return ""
            case Kind.TAGS:
                return self._begin_tags(opening, text)
            case Kind.PLAIN:
                self._in = _In.PLAIN
                self._fence, self._ending = opening.fence, ""
                self._packaging = opening.fence or self._packaging
                self._opener_end = opening.start
                return text
            case Kind.FENCED_TEXT:
                return (yield from self._begin_fence(opening.fence, text))
            case _:
                return (yield from self._begin_line(text))

    def _begin_line(self, text: str) -> Step:
        start = len(text) - len(text.lstrip("\r\n"))
        self._in = _In.LINE
        if start:
            shown = self._shown(text[:start])
            if shown:
                yield shown
        return text[start:]

    def _in_line(self, text: str) -> Step:
        end = text.find("\n")
        if end < 0:
            yield self._shown(text)
            return ""
        if end:
            yield self._shown(text[:end])
        self._in = _In.LINE_START
        return text[end:]

    # Fences

    def _begin_fence(self, fence: str, text: str) -> Step:
        if self._packaging:  # the fence around calls ends
            self._packaging = ""
            start = text.find(fence)
            self._in = _In.LINE_START
            return text[start + len(fence) :]
        end = text.index("\n", text.index(fence))
        yield self._shown(text[:end])
        self._fence, self._fence_line, self._in = fence, "", _In.FENCE
        return text[end:]

    def _in_fence(self, text: str) -> Step:
        place = 0
        while (end := text.find("\n", place)) >= 0:
            is_end = self._ends_fence(text[place:end])
            self._fence_line = ""
            if is_end:
                yield text[:end]
                self._in = _In.LINE_START
                return text[end:]
            place = end + 1
        self._fence_line += text[place : place + 80]
        yield text
        return ""

    def _ends_fence(self, line: str) -> bool:
        mark = (self._fence_line + line[:80]).strip(" \t\r>")
        return len(mark) >= len(self._fence) and not mark.strip(self._fence[0])

    # Calls in tags

    def _begin_tags(self, opening: Opening, text: str) -> str:
        assert opening.family is not None
        self._block = MarkupReader(self._box, opening.family)
        self._block.feed(opening.prefix)
        self._in = _In.TAGS
        self._is_quoted, self._quote = opening.is_quoted, ""
        self._fence = opening.fence
        self._packaging = opening.fence or self._packaging
        self._hold(text[: opening.start])
        self._opener_end = opening.start
        self._held_from = len(opening.prefix) - opening.start
        return text[opening.start :]

    def _in_tags(self, text: str) -> Step:
        block = self._block
        assert block is not None
        if self._is_quoted:
            text = self._unquoted(text)
        self._hold(text)
        written = block.feed(text)
        rest = block.rest + self._quote if block.is_over else ""
        if block.is_aborted or self._held_chars > MAX_BLOCK_CHARS or self._is_talk(written):
            return (yield from self._not_a_call())
        yield from self._found(written)
        if block.is_over:
            self._released()
            self.dropped_empty = self.dropped_empty or not written
            self._after_call()
        return rest

    def _is_talk(self, written: list[Written]) -> bool:
        """A fence around a call of no declared tool is an example, and no packaging."""
        return bool(self._fence and written) and not any(self._box.find(call.draft.name) for call in written)

    def _found(self, written: list[Written]) -> Iterator[Item]:
        if not written:
            return
        held = self._released()
        for call in written:
            end = max(call.end - self._held_from, 0)
            yield Found((call.draft,), held[:end])
            held, self._held_from = held[end:], call.end
        self._hold(held)

    def _after_call(self) -> None:
        self._block = None
        self._fence = ""
        self._in = _In.LINE_START
        self._follows_call = True
        self._is_first = False

    def _not_a_call(self) -> Step:
        """Show the opener as text, and look at the rest again."""
        text = self._released() + self._quote
        self._block = None
        if self._fence:
            self._packaging = ""
            return (yield from self._begin_fence(self._fence, text))
        end = min(len(text), self._opener_end + 1)
        yield self._shown(text[:end])
        self._in = _In.LINE
        return text[end:]

    def _unquoted(self, text: str) -> str:
        """Take the quote's mark off every line; a mark may be cut in two."""
        text = self._quote + text
        half = _HALF_QUOTE.search(text)
        self._quote = half[0] if half else ""
        return _QUOTE.sub("\n", text[: len(text) - len(self._quote)])

    def _end_tags(self, *, is_whole: bool) -> Iterator[Item]:
        block = self._block
        assert block is not None
        written = block.feed(self._quote) + block.finish() if is_whole else []
        if written and not self._is_talk(written):
            yield from self._found(written)
        elif is_whole and not block.is_aborted and not written:
            self.dropped_empty = True
            self._released()
        else:
            yield self._shown(self._released() + self._quote)

    # Calls in plain text

    def _in_plain(self, text: str) -> Step:
        ending = self._ending + text
        self._ending = ending[-MAX_RESULT_MARK_CHARS:]
        self._hold(text)
        if self._held_chars > MAX_BLOCK_CHARS:
            yield self._shown(self._released())
            self._in = _In.LINE
        elif self._attempts and "\n" in ending and _RESULT_LINE.search(ending):
            self._attempts -= 1
            yield from self._cut_at_result()
        return ""

    def _cut_at_result(self) -> Iterator[Item]:
        """Calls, and then a result that the model invented: read the calls now, the rest is nothing."""
        text, start = self._released(), self._opener_end
        found = _RESULT_LINE.search(text, start)
        until = text[start : found.start()] if found else ""
        written = read_calls(until, self._box, is_whole=True)
        is_whole = written is not None and not any(draft.is_cut for draft in written.drafts)
        if written and is_whole and not until[written.end :].strip(" \t\r\n`~"):
            yield Found(written.drafts, text[: start + written.end])
            self._in = _In.CUT
        else:
            self._hold(text)

    def _end_plain(self, *, is_whole: bool) -> Step:
        text, start = self._released(), self._opener_end
        self._opener_end = 0
        written = read_calls(text[start:], self._box, is_whole=is_whole)
        if written is None:
            return (yield from self._plain_text(text, start))
        fence, self._packaging = self._packaging, ""
        end = start + written.end
        rest = text[end:]
        if fence and (closer := re.match(rf"\s*{fence}[^\n]*", rest)):
            rest = rest[closer.end() :]
        yield Found(written.drafts, text[:end])
        self._after_call()
        return rest

    def _plain_text(self, text: str, start: int) -> Step:
        if self._fence:
            self._packaging = ""
            return (yield from self._begin_fence(self._fence, text))
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield self._shown(text[:end])
        self._in = _In.LINE_START
        return text[end:]

    # Thoughts

    def _in_thought(self, text: str) -> Step:
        end = text.find("</think>")
        if end >= 0:
            if end:
                yield Thought(text[:end])
            self._in = _In.LINE_START
            return text[end + len("</think>") :]
        kept = next(
            (size for size in range(min(8, len(text)), 0, -1) if "</think>".startswith(text[-size:])), 0
        )
        if text[: len(text) - kept]:
            yield Thought(text[: len(text) - kept])
        if kept:
            self._hold(text[-kept:])
        return ""


_QUOTE = re.compile(r"\n[ \t]{0,3}> ?")
_HALF_QUOTE = re.compile(r"\n[ \t]{0,3}>?\Z")
_RESULT_LINE = re.compile(
    r"\n[ \t]*(?:Observation[:：]|<\|(?:user|observation)\|>"
    r"|</?(?:bridge_result|tool_response)|## (?:Results|User)\s)"
)
