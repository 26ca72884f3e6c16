"""Splits a growing text into text that flows on and calls. Holds back only a possible beginning of a call."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from enum import Enum

import msgspec

from lib.tools.blocks import RESULT_LINE, Found, Held, PlainBlock, TaggedBlock, TextFence
from lib.tools.openers import MAX_OPENER_CHARS, Kind, Openers, Opening
from lib.tools.places import MAX_BLOCK_CHARS
from lib.tools.plain_calls import read_calls
from lib.tools.toolbox import Toolbox

MAX_RESULT_ATTEMPTS = 8
MAX_PLAIN_ATTEMPTS = 64
"""Each attempt may read the whole rest of an answer once: lines that only look like calls must not add up."""


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


class _Before(Enum):
    """The text before the place that is read. Line breaks behind a call are no part of the answer."""

    NOTHING = "the beginning of the answer"
    TEXT = "text that was shown"
    CALL = "a call"


class Scanner:
    """Text in, items out, in their order. An item is complete when it comes."""

    def __init__(self, box: Toolbox, openers: Openers | None = None) -> None:
        self._box = box
        self._openers = openers or Openers(box)
        self._in = _In.LINE_START
        self._before = _Before.NOTHING
        self._held = Held()
        self._fence: TextFence | None = None
        self._tags: TaggedBlock | None = None
        self._plain: PlainBlock | None = None
        self._packaging = ""
        """The fence that opened around calls, and has not closed yet."""
        self._attempts = MAX_RESULT_ATTEMPTS
        self.dropped_empty = False
        """A call without a name or an argument was left out."""

    @property
    def is_cut(self) -> bool:
        """The model goes on with a result that it invented: the rest is nothing."""
        return self._in is _In.CUT

    def passes(self, text: str) -> bool:
        """Tell whether the text is shown as it is, and changes nothing."""
        return self._in is _In.LINE and "\n" not in text and self._before is not _Before.NOTHING

    @property
    def is_in_call(self) -> bool:
        return self._in in (_In.TAGS, _In.PLAIN)

    def cut(self) -> None:
        """Nothing that comes now is a part of the answer."""
        self._held.take()
        self._in = _In.CUT

    def feed(self, text: str) -> Iterator[Item]:
        while text:
            match self._in:
                case _In.LINE_START:
                    text = yield from self._at_line_start(self._held.take() + text)
                case _In.LINE:
                    text = yield from self._in_line(text)
                case _In.FENCE:
                    text = yield from self._in_fence(text)
                case _In.TAGS:
                    text = yield from self._in_tags(text)
                case _In.THOUGHT:
                    text = yield from self._in_thought(self._held.take() + text)
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
                    if held := self._held.take():
                        yield Thought(held)
                case _:
                    yield from self.interrupt()
            return
        yield self._held.take()

    def interrupt(self) -> Iterator[Item]:
        """Something that is no text stands here: the characters held back are no beginning of a call."""
        held = self._held.take()
        if held and not (self._before is _Before.CALL and not held.strip()):
            yield self._shown(held)
        if self._in is _In.LINE_START:
            self._in = _In.LINE

    def _shown(self, text: str) -> str:
        follows_call = self._before is _Before.CALL
        self._before = _Before.TEXT
        return text.lstrip("\r\n") if follows_call else text

    # Lines

    def _at_line_start(self, text: str) -> Step:
        window = text[:MAX_OPENER_CHARS]
        opening = self._openers.decide(
            window,
            follows_call=self._before is _Before.CALL,
            is_first=self._before is _Before.NOTHING,
        )
        if opening.kind is Kind.MAYBE and len(text) < MAX_OPENER_CHARS:
            self._held.add(text)
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
                self._plain = PlainBlock(opening)
                self._packaging = opening.fence or self._packaging
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
        self._fence, self._in = TextFence(fence), _In.FENCE
        return text[end:]

    def _in_fence(self, text: str) -> Step:
        assert self._fence is not None
        end = self._fence.find_end(text)
        if end < 0:
            yield text
            return ""
        yield text[:end]
        self._in = _In.LINE_START
        return text[end:]

    # Calls in tags

    def _begin_tags(self, opening: Opening, text: str) -> str:
        self._tags = TaggedBlock(self._box, opening)
        self._in = _In.TAGS
        self._packaging = opening.fence or self._packaging
        self._held.add(text[: opening.start])
        return text[opening.start :]

    def _in_tags(self, text: str) -> Step:
        block = self._tags
        assert block is not None
        text = block.unquoted(text)
        self._held.add(text)
        written = block.reader.feed(text)
        if block.reader.is_aborted or self._held.chars > MAX_BLOCK_CHARS or block.is_talk(written):
            return (yield from self._not_a_call(block))
        yield from block.found(written, self._held)
        if not block.reader.is_over:
            return ""
        self._held.take()
        self.dropped_empty = self.dropped_empty or not written
        self._after_call()
        return block.rest

    def _after_call(self) -> None:
        self._in = _In.LINE_START
        self._before = _Before.CALL

    def _not_a_call(self, block: TaggedBlock) -> Step:
        """Show the opener as text, and look at the rest again."""
        text = self._held.take() + block.half_quote
        if block.fence:
            self._packaging = ""
            return (yield from self._begin_fence(block.fence, text))
        end = min(len(text), block.opener_end + 1)
        yield self._shown(text[:end])
        self._in = _In.LINE
        return text[end:]

    def _end_tags(self, *, is_whole: bool) -> Iterator[Item]:
        block = self._tags
        assert block is not None
        written = block.reader.feed(block.half_quote) + block.reader.finish() if is_whole else []
        if written and not block.is_talk(written):
            yield from block.found(written, self._held)
        elif is_whole and not block.reader.is_aborted and not written:
            self.dropped_empty = True
            self._held.take()
        else:
            yield self._shown(self._held.take() + block.half_quote)

    # Calls in plain text

    def _in_plain(self, text: str) -> Step:
        block = self._plain
        assert block is not None
        self._held.add(text)
        has_result = block.may_hold_result(text)
        if self._held.chars > MAX_BLOCK_CHARS:
            yield self._shown(self._held.take())
            self._in = _In.LINE
        elif has_result and self._attempts:
            self._attempts -= 1
            yield from self._cut_at_result(block.start)
        return ""

    def _cut_at_result(self, start: int) -> Iterator[Item]:
        """Calls, and then a result that the model invented: read the calls now, the rest is nothing."""
        text = self._held.take()
        found = RESULT_LINE.search(text, start)
        until = text[start : found.start()] if found else ""
        written = read_calls(until, self._box, is_whole=True)
        is_whole = written is not None and not any(draft.is_cut for draft in written.drafts)
        if written and is_whole and not until[written.end :].strip(" \t\r\n`~"):
            yield Found(written.drafts, text[: start + written.end])
            self._in = _In.CUT
        else:
            self._held.add(text)

    def _end_plain(self, *, is_whole: bool) -> Step:
        block = self._plain
        assert block is not None
        text = self._held.take()
        written = read_calls(text[block.start :], self._box, is_whole=is_whole)
        if written is None:
            return (yield from self._plain_text(block, text))
        fence, self._packaging = self._packaging, ""
        end = block.start + written.end
        rest = text[end:]
        if fence and (closer := re.match(rf"\s*{fence}[^\n]*", rest)):
            rest = rest[closer.end() :]
        yield Found(written.drafts, text[:end])
        self._after_call()
        return rest

    def _plain_text(self, block: PlainBlock, text: str) -> Step:
        if block.fence:
            self._packaging = ""
            return (yield from self._begin_fence(block.fence, text))
        end = text.find("\n", block.start)
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
            self._held.add(text[-kept:])
        return ""
