"""The answer of one reply: its texts, thoughts, code and images, in their order of arrival.

The upstream sends parts; a client reads one text. Here the parts become blocks of that text, with what
must stand between them, and the whole can be told again when the upstream changed what it had said.
"""

from __future__ import annotations

import re
from typing import Literal

from lib.chat.events import Citation, ImageMade, ReasoningDelta, TextDelta
from lib.upstreams.chatglm.decoder.citations import MarkerReader, Sources
from lib.upstreams.chatglm.decoder.following import FollowedText

BlockKind = Literal["text", "think", "code", "execution_output", "image"]
Told = TextDelta | ReasoningDelta | Citation | ImageMade

_BACKTICKS = re.compile(r"`{3,}")
_LANGUAGES = {"code": "python", "execution_output": ""}


class Block:
    """One item of one part, from its first appearance on."""

    __slots__ = ("followed", "image", "is_begun", "kind", "markers")

    def __init__(self, kind: BlockKind, followed: FollowedText, sources: Sources) -> None:
        self.kind = kind
        self.followed = followed
        self.markers = MarkerReader(sources)
        self.is_begun = False
        self.image: ImageMade | None = None


class Answer:
    """Takes what is new of each block and says what that adds to the reply."""

    def __init__(self, sources: Sources, *, joins_texts: bool = False) -> None:
        self.sources = sources
        self._joins_texts = joins_texts
        """Neighbouring texts are one: glm-5.3 cuts a text into parts of a few characters (2026-10)."""
        self.is_empty = True
        """Nothing visible yet; reasoning alone is no answer."""
        self._blocks: list[Block] = []
        self._current: Block | None = None
        self._at_line_start = True
        self._last_kind: str = ""
        self._has_reasoning = False
        self._is_disordered = False
        self._image_urls: set[str] = set()

    @property
    def differs_from_told(self) -> bool:
        """What was told, joined, is not the whole text: something was rewritten, or came out of order."""
        return self._is_disordered or any(block.followed.rewritten for block in self._blocks)

    def write(self, block: Block, fresh: str) -> list[Told]:
        """Add what is new of a text or a thought; code waits for `complete`, its fence depends on it all."""
        if not fresh:
            return []
        told = self._enter(block) if block is not self._current else []
        return told + self._tell(block, fresh)

    def add_image(self, block: Block, image: ImageMade) -> list[Told]:
        """Add a picture once, however often it is mentioned."""
        if image.url in self._image_urls:
            return []
        self._image_urls.add(image.url)
        told = self._enter(block)
        block.image = image
        return [*told, *self._visible([image])]

    def turn_to(self, kind: str) -> None:
        """Note an item that adds nothing to the text: the next text begins a line of its own."""
        self._last_kind = kind

    def complete(self, block: Block) -> list[Told]:
        """End a block: nothing of it is held back any more."""
        if block.kind == "text":
            return self._visible(block.markers.end())
        if block.kind in _LANGUAGES and block is self._current:
            self._current = None
            return self._visible([TextDelta(self._fenced(block))])
        return []

    def complete_current(self) -> list[Told]:
        """End the block that was written last, with what it still held back."""
        if self._current is None:
            return []
        told = self._tell(self._current, self._current.followed.end())
        return told + self.complete(self._current)

    def retold(self) -> tuple[Told, ...]:
        """Tell the whole reply again, each block with its final text."""
        again = Answer(self.sources, joins_texts=self._joins_texts)
        told: list[Told] = []
        for old in self._blocks:
            block = Block(old.kind, old.followed, self.sources)
            if old.image is not None:
                told += again.add_image(block, old.image)
            else:
                told += again.write(block, old.followed.whole)
        return (*told, *again.complete_current())

    def _tell(self, block: Block, fresh: str) -> list[Told]:
        if not fresh:
            return []
        if block.kind == "text":
            return self._visible(block.markers.feed(fresh))
        if block.kind == "think":
            self._has_reasoning = True
            return [ReasoningDelta(fresh)]
        return []

    def _enter(self, block: Block) -> list[Told]:
        """Turn to a block: end the one before, and begin a line of its own."""
        told = self.complete_current()
        continues_text = self._joins_texts and self._last_kind == block.kind == "text"
        self._current, self._last_kind = block, block.kind
        if block.is_begun:
            self._is_disordered = (
                True  # an earlier block goes on: told where it came, retold where it belongs
            )
            return told
        block.is_begun = True
        self._blocks.append(block)
        if block.kind == "think":
            told += [ReasoningDelta("\n")] if self._has_reasoning else []
        elif not self._at_line_start and not continues_text:
            told += self._visible([TextDelta("\n")])
        return told

    def _visible(self, told: list[TextDelta | Citation] | list[ImageMade] | list[TextDelta]) -> list[Told]:
        if told:
            last = told[-1]
            self.is_empty = False
            self._at_line_start = isinstance(last, ImageMade) or (
                isinstance(last, TextDelta) and last.text.endswith("\n")
            )
        return list(told)

    def _fenced(self, block: Block) -> str:
        code = block.followed.whole
        longest = max((len(run) for run in _BACKTICKS.findall(code)), default=2)
        fence = "`" * (longest + 1)
        line_end = "" if code.endswith("\n") else "\n"
        return f"{fence}{_LANGUAGES[block.kind]}\n{code}{line_end}{fence}\n"
