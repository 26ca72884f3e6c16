"""The answer of one reply: its texts, thoughts, code and images, in their order of arrival.

The upstream sends parts; a client reads one text. Here the parts become blocks of that text, with line breaks
and fences between them. If the upstream changed a text that was sent, the whole answer can be sent again.
"""

from __future__ import annotations

import re
from typing import Literal

from lib.chat.events import Citation, ImageMade, ReasoningDelta, TextDelta
from lib.upstreams.chatglm.decoder.citations import MarkerReader, Sources
from lib.upstreams.chatglm.decoder.following import FollowedText

BlockKind = Literal["text", "think", "code", "execution_output", "image"]
Visible = TextDelta | ReasoningDelta | Citation | ImageMade

_BACKTICKS = re.compile(r"`{3,}")
_LANGUAGES = {"code": "python", "execution_output": ""}


class Block:
    """One item of one part, in all events that carry it."""

    __slots__ = ("followed", "image", "is_begun", "kind", "markers")

    def __init__(self, kind: BlockKind, followed: FollowedText, sources: Sources) -> None:
        self.kind = kind
        self.followed = followed
        self.markers = MarkerReader(sources)
        self.is_begun = False
        self.image: ImageMade | None = None


class Answer:
    """Takes the new text of each block and returns the events that it adds to the reply."""

    def __init__(self, sources: Sources, *, joins_texts: bool = False) -> None:
        self.sources = sources
        self._joins_texts = joins_texts
        """Join neighbouring texts: glm-5.3 cuts a text into parts of a few characters (2026-10)."""
        self.is_empty = True
        """Nothing is visible yet. Reasoning alone is not an answer."""
        self.complaint = ""
        """The text of a `system_error` item (2024, one observer)."""
        self._blocks: list[Block] = []
        self._current: Block | None = None
        self._at_line_start = True
        self._last_kind: str = ""
        self._has_reasoning = False
        self._is_disordered = False
        self._image_urls: set[str] = set()

    @property
    def differs_from_sent(self) -> bool:
        """The sent deltas, joined, are not the whole text: it was rewritten, or came out of order."""
        return self._is_disordered or any(block.followed.rewritten for block in self._blocks)

    def write(self, block: Block, fresh: str) -> list[Visible]:
        """Add new text of a text or a thought. Code waits for `complete`: its fence depends on the whole."""
        if not fresh:
            return []
        events = self._enter(block) if block is not self._current else []
        return events + self._deltas(block, fresh)

    def add_image(self, block: Block, image: ImageMade) -> list[Visible]:
        """Add a picture once: several events may carry it."""
        if image.url in self._image_urls:
            return []
        self._image_urls.add(image.url)
        events = self._enter(block)
        block.image = image
        return [*events, *self._shown([image])]

    def turn_to(self, kind: str) -> None:
        """Note an item that adds nothing to the text: the next text begins on a new line."""
        self._last_kind = kind

    def complete(self, block: Block) -> list[Visible]:
        """End a block, and return the rest of it."""
        if block.kind == "text":
            return self._shown(block.markers.end())
        if block.kind in _LANGUAGES and block is self._current:
            self._current = None
            return self._shown([TextDelta(self._fenced(block))])
        return []

    def complete_current(self) -> list[Visible]:
        """End the block that was written last, and return the rest of it."""
        if self._current is None:
            return []
        events = self._deltas(self._current, self._current.followed.end())
        return events + self.complete(self._current)

    def sent_again(self) -> tuple[Visible, ...]:
        """Return the whole reply again, each block with its final text."""
        again = Answer(self.sources, joins_texts=self._joins_texts)
        events: list[Visible] = []
        for old in self._blocks:
            block = Block(old.kind, old.followed, self.sources)
            if old.image is not None:
                events += again.add_image(block, old.image)
            else:
                events += again.write(block, old.followed.whole)
        return (*events, *again.complete_current())

    def _deltas(self, block: Block, fresh: str) -> list[Visible]:
        if not fresh:
            return []
        if block.kind == "text":
            return self._shown(block.markers.feed(fresh))
        if block.kind == "think":
            self._has_reasoning = True
            return [ReasoningDelta(fresh)]
        return []

    def _enter(self, block: Block) -> list[Visible]:
        """Turn to a block: end the one before, and begin a new line."""
        events = self.complete_current()
        continues_text = self._joins_texts and self._last_kind == block.kind == "text"
        self._current, self._last_kind = block, block.kind
        if block.is_begun:
            # An earlier block goes on. Its text is sent here now, and at its place by `sent_again`.
            self._is_disordered = True
            return events
        block.is_begun = True
        self._blocks.append(block)
        if block.kind == "think":
            events += [ReasoningDelta("\n")] if self._has_reasoning else []
        elif not self._at_line_start and not continues_text:
            events += self._shown([TextDelta("\n")])
        return events

    def _shown(self, events: list[TextDelta | Citation] | list[ImageMade] | list[TextDelta]) -> list[Visible]:
        if events:
            last = events[-1]
            self.is_empty = False
            self._at_line_start = isinstance(last, ImageMade) or (
                isinstance(last, TextDelta) and last.text.endswith("\n")
            )
        return list(events)

    def _fenced(self, block: Block) -> str:
        code = block.followed.whole
        longest = max((len(run) for run in _BACKTICKS.findall(code)), default=2)
        fence = "`" * (longest + 1)
        line_end = "" if code.endswith("\n") else "\n"
        return f"{fence}{_LANGUAGES[block.kind]}\n{code}{line_end}{fence}\n"
