"""The parts of a text that span lines, while they are read: a fence, calls in tags, calls in plain text."""

from __future__ import annotations

import re

import msgspec

from lib.tools.drafts import Draft
from lib.tools.markup import MarkupReader
from lib.tools.openers import Opening
from lib.tools.places import Written
from lib.tools.toolbox import Toolbox

MAX_RESULT_MARK_CHARS = 24
MAX_FENCE_CHARS = 80
"""A closing fence with its indent fits in so many characters of a line."""
_QUOTE = re.compile(r"\n[ \t]{0,3}> ?")
_HALF_QUOTE = re.compile(r"\n[ \t]{0,3}>?\Z")
RESULT_LINE = re.compile(
    r"\n[ \t]*(?:Observation[:：]|<\|(?:user|observation)\|>"
    r"|</?(?:bridge_result|tool_response)|## (?:Results|User)\s)"
)


class Found(msgspec.Struct, frozen=True):
    drafts: tuple[Draft, ...]
    raw: str
    """The words that the calls were read from."""


class Held:
    """Text that may still become a part of a call."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self.chars = 0

    def add(self, text: str) -> None:
        self._pieces.append(text)
        self.chars += len(text)

    def take(self) -> str:
        text = "".join(self._pieces)
        self._pieces, self.chars = [], 0
        return text


class TextFence:
    """A fence around something that is no call, up to its closing line."""

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._line = ""
        """The beginning of the last line."""

    def find_end(self, text: str) -> int:
        """Read more text. Return the place behind the closing line, or -1."""
        place = 0
        while (end := text.find("\n", place)) >= 0:
            is_end = self._closes(text[place:end])
            self._line = ""
            if is_end:
                return end
            place = end + 1
        self._line += text[place : place + MAX_FENCE_CHARS]
        return -1

    def _closes(self, line: str) -> bool:
        mark = (self._line + line[:MAX_FENCE_CHARS]).strip(" \t\r>")
        return len(mark) >= len(self._mark) and not mark.strip(self._mark[0])


class TaggedBlock:
    """Calls in tags, and the marks of the quote or the fence around them."""

    def __init__(self, box: Toolbox, opening: Opening) -> None:
        assert opening.family is not None
        self._box = box
        self.reader = MarkupReader(box, opening.family)
        self.reader.feed(opening.prefix)
        self.fence = opening.fence
        self.opener_end = opening.start
        self.half_quote = ""
        """A quote's mark that may be cut in two."""
        self._is_quoted = opening.is_quoted
        self._read_before = len(opening.prefix) - opening.start
        """The place in the reader's text at which the held text begins."""

    @property
    def rest(self) -> str:
        """The text behind the block, once it is over."""
        return self.reader.rest + self.half_quote if self.reader.is_over else ""

    def unquoted(self, text: str) -> str:
        """Take the quote's mark off every line."""
        if not self._is_quoted:
            return text
        text = self.half_quote + text
        half = _HALF_QUOTE.search(text)
        self.half_quote = half[0] if half else ""
        return _QUOTE.sub("\n", text[: len(text) - len(self.half_quote)])

    def is_talk(self, written: list[Written]) -> bool:
        """A fence around a call of no declared tool is an example, and no packaging."""
        return bool(self.fence and written) and not any(self._box.find(call.draft.name) for call in written)

    def found(self, written: list[Written], held: Held) -> list[Found]:
        """Give each call the held words that it was read from. The words behind the last one stay held."""
        if not written:
            return []
        text = held.take()
        found = []
        for call in written:
            end = max(call.end - self._read_before, 0)
            found.append(Found((call.draft,), text[:end]))
            text, self._read_before = text[end:], call.end
        held.add(text)
        return found


class PlainBlock:
    """Text that begins as calls in plain text do: the whole rest decides."""

    def __init__(self, opening: Opening) -> None:
        self.fence = opening.fence
        self.start = opening.start
        self._ending = ""
        """The last characters."""

    def may_hold_result(self, text: str) -> bool:
        """Read more text; tell whether it shows a line that begins a result."""
        ending = self._ending + text
        self._ending = ending[-MAX_RESULT_MARK_CHARS:]
        return "\n" in ending and RESULT_LINE.search(ending) is not None
