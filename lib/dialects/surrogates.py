"""Find the field of a body's JSON that holds half of a character, as a text that was cut: `\\ud83d`."""

from __future__ import annotations

import re
from typing import Any

import msgspec

MAX_REPLACED = 1_000
"""A text that was cut holds one. A body of 30 MB could hold five million, and take seconds."""
_LONE = re.compile(
    rb"\\u[dD](?:[89abAB]%(hex)b(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u[dD])[c-fC-F]%(hex)b)"
    % {b"hex": rb"[0-9a-fA-F]{2}"}
)
"""The search is ten times faster with the common beginning of both halves first."""
_PAIR, _NO_TEXT = rb"\\", b"\xff\xff"
"""An escaped backslash, and two bytes that no text has in UTF-8."""
_MARK = "\ufdd0"
"""Unicode keeps this code point free of characters (chapter 23.7), so no text has it."""
_MARK_BYTES = _MARK.encode()


def without_lone(body: bytes) -> bytes | None:
    """Return the body with a mark for each lone surrogate. None means that it has none, or too many."""
    if not 0 < body.count(rb"\ud") + body.count(rb"\uD") <= MAX_REPLACED or _NO_TEXT in body:
        return None
    # The pairs go first: in `\\ud83d` the `u` is not escaped.
    marked, count = _LONE.subn(_MARK_BYTES, body.replace(_PAIR, _NO_TEXT))
    return marked.replace(_NO_TEXT, _PAIR) if count else None


def place_of_mark(value: object) -> str | None:
    """Return the first place of a mark: `messages[0].content`. An empty place is the value itself."""
    written = msgspec.json.encode(value)
    return _place(msgspec.json.decode(written)) if _MARK_BYTES in written else None


def _place(value: Any) -> str | None:
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        place, value = waiting.pop()
        match value:
            case str() if _MARK in value:
                return place
            case dict():
                if any(_MARK in name for name in value):
                    return place
                within = f"{place}." if place else ""
                waiting += [(within + name, each) for name, each in reversed(value.items())]
            case list():
                waiting += [(f"{place}[{index}]", each) for index, each in reversed(list(enumerate(value)))]
    return None
