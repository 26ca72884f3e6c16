"""The blocks of one reply: each follows one item through all events that carry it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from lib.upstreams.chatglm.decoder.answer import Block, BlockKind
from lib.upstreams.chatglm.decoder.citations import Sources
from lib.upstreams.chatglm.decoder.following import FollowedText, Reading
from lib.upstreams.chatglm.wire.protocol import Item, Part, whole_characters

Place = tuple[object, int, BlockKind]
"""The part's key, the item's index in it, and the kind of its text."""

_SURROGATE = re.compile("[\ud800-\udfff]")
FOLLOWED_KINDS: dict[str, BlockKind] = {
    "text": "text",
    "think": "think",
    "code": "code",
    "execution_output": "execution_output",
}

MAX_LOOKED_AT = 64
"""A repeated text is looked for among so many others: 6,000 parts without an id stopped the loop for 10 s."""


class Blocks:
    """Finds the block of each item, and the new text in it."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._blocks: dict[Place, Block] = {}
        self.keys = PartKeys()
        """The keys of parts without a logic_id."""
        self._halves: dict[Place, str] = {}
        """The first halves of characters that an increment cut into surrogates."""
        self._readings: dict[BlockKind, Reading] = dict.fromkeys(FOLLOWED_KINDS.values(), Reading.UNDECIDED)

    def __iter__(self) -> Iterator[Block]:
        return iter(self._blocks.values())

    def new(self, kind: BlockKind) -> Block:
        return Block(kind, FollowedText(self._readings.get(kind, Reading.UNDECIDED)), self._sources)

    def follow(
        self, part: Part, place: Place, *, flag: bool | None, is_terminal: bool
    ) -> tuple[Block | None, str]:
        """Return the block of the item at this place, and its new text; None: the item never had a text."""
        key, index, kind = place
        items = part.content or ()
        value = self._mended(_text_of(items[index], kind), place)
        block = self._blocks.get(place)
        if not value:
            return block, ""
        if block is None and (is_terminal or part.status == "finish" or flag is False):
            block = self._moved(key, items, kind, value)
        if block is None:
            block = self._repeated(kind, value) if is_terminal and not part.logic_id else None
            block = self._blocks[place] = block or self.new(kind)
        return block, self._fresh(block, value, flag, part.status, is_terminal)

    def _mended(self, value: str, place: Place) -> str:
        """Join a character that two increments cut into surrogates; replace a lone surrogate."""
        value = self._halves.pop(place, "") + value
        if value.isascii() or not _SURROGATE.search(value):
            return value
        if value[-1] <= "\udbff" and _SURROGATE.match(value[-1]):
            self._halves[place] = value[-1]
            value = value[:-1]
        return whole_characters(value)

    def _fresh(
        self, block: Block, value: str, flag: bool | None, status: str | None, is_terminal: bool
    ) -> str:
        """Apply the rule of increments and snapshots (observed 2024 … 2026-09).

        An increment is flagged, and its part has the status `init`. A part of status `finish` carries the
        whole text, and the terminal event repeats it (captured 2026-09-26).
        """
        followed = block.followed
        if flag is False or (status == "finish" and flag is None):
            return followed.settle(value)
        if status == "finish" or is_terminal:
            # The marks contradict each other: a value that repeats all that we have is the whole text.
            known = followed.whole
            return followed.settle(value) if value.startswith(known) else followed.append(value)
        if flag is True:
            self._readings[block.kind] = Reading.INCREMENTS
            return followed.append(value)
        fresh = followed.take(value)
        self._readings[block.kind] = followed.reading
        return fresh

    def _moved(self, key: object, items: Sequence[Item], kind: BlockKind, value: str) -> Block | None:
        """Find the block that a finishing part repeats at another index.

        A part may stream a thought and then a text at one index, and repeat both at two (2026-09).
        """
        for index in range(MAX_LOOKED_AT):
            block = self._blocks.get((key, index, kind))
            if block is None or not block.followed.whole:
                continue
            is_elsewhere = index >= len(items) or items[index].type != kind
            if is_elsewhere and value.startswith(block.followed.whole):
                return block
        return None

    def _repeated(self, kind: BlockKind, value: str) -> Block | None:
        """Find the block that a terminal event's part without a logic_id repeats, by its text."""
        for block in islice(reversed(self._blocks.values()), MAX_LOOKED_AT):
            if block.kind == kind and block.followed.whole and value.startswith(block.followed.whole):
                return block
        return None


class PartKeys:
    """Identifies parts without a logic_id, by their place and the types of their items.

    An event carries only the parts that changed. So one place holds one part after another: a thought, then a
    tool, then a text (fixtures of 2025).
    """

    def __init__(self) -> None:
        self._runs: dict[tuple[str, int], tuple[tuple[str, ...], bool, int]] = {}

    def key_of(self, part: Part, position: int) -> tuple[str, int, int]:
        place = (part.id or "", position)
        kinds = tuple(item.type for item in part.content or ())
        is_finished = part.status == "finish"
        known, was_finished, serial = self._runs.get(place, (kinds, False, 0))
        shorter = min(len(known), len(kinds))
        if known[:shorter] != kinds[:shorter] or (was_finished and not is_finished):
            serial += 1
        self._runs[place] = (kinds, is_finished, serial)
        return (*place, serial)


def _text_of(item: Item, kind: BlockKind) -> str:
    match kind:
        case "text":
            return item.text or ""
        case "think":
            return item.think or ""
        case "code":
            return item.code or ""
        case _:
            return item.content if isinstance(item.content, str) else ""
