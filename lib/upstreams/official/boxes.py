"""Marks that vision models leave in their text: `<think>…</think>` and a box around the answer (4.5v)."""

from __future__ import annotations

from collections.abc import Iterator

from lib.chat.events import ReasoningDelta, TextDelta

_THINK, _END_THINK = "<think>", "</think>"
_BOXES = ("<|begin_of_box|>", "<|end_of_box|>")
_MARKS = (_THINK, _END_THINK, *_BOXES)


class BoxReader:
    """Drops the marks of boxes, and turns marked thoughts into reasoning. Marks may come in pieces."""

    def __init__(self) -> None:
        self._held = ""
        """The end of the text so far, if it may be the beginning of a mark."""
        self._thinks = False

    def feed(self, text: str) -> Iterator[TextDelta | ReasoningDelta]:
        text = self._held + text
        self._held = ""
        while found := _first_mark(text):
            place, mark = found
            yield from self._told(text[:place])
            text = text[place + len(mark) :]
            self._thinks = mark == _THINK or (self._thinks and mark in _BOXES)
        kept = _possible_start(text)
        if kept:
            text, self._held = text[:-kept], text[-kept:]
        yield from self._told(text)

    def finish(self) -> Iterator[TextDelta | ReasoningDelta]:
        held, self._held = self._held, ""
        yield from self._told(held)

    def _told(self, text: str) -> Iterator[TextDelta | ReasoningDelta]:
        if text:
            yield ReasoningDelta(text) if self._thinks else TextDelta(text)


def _first_mark(text: str) -> tuple[int, str] | None:
    if "<" not in text:
        return None
    return min(((text.index(mark), mark) for mark in _MARKS if mark in text), default=None)


def _possible_start(text: str) -> int:
    """Return the length of the longest end of the text that begins a mark."""
    if "<" not in text[-max(map(len, _MARKS)) :]:
        return 0
    return max(
        (size for mark in _MARKS for size in range(1, len(mark)) if text.endswith(mark[:size])), default=0
    )
