"""chatglm.cn's answer stream: bytes in, neutral events out. No I/O, no clock."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lib.chat.events import (
    Failed,
    Finished,
    ImageMade,
    InterceptedCall,
    Notice,
    ReplyEvent,
    Rewritten,
    Withdrawn,
)
from lib.errors import ConversationNotFound, UpstreamProtocolError, UpstreamRejected
from lib.sse import EventSplitter
from lib.upstreams.chatglm.decoder.answer import Answer, Block, BlockKind
from lib.upstreams.chatglm.decoder.citations import Sources
from lib.upstreams.chatglm.decoder.following import FollowedText, Reading
from lib.upstreams.chatglm.wire.protocol import (
    Event,
    Item,
    Part,
    ToolResult,
    decode_event,
    image_urls,
    intercepted_calls,
    intervention_text,
    is_unexplained,
    stream_error,
    whole_characters,
)

_SURROGATE = re.compile("[\ud800-\udfff]")
_TERMINAL = frozenset(("finish", "error", "intervene"))
_FOLLOWED_KINDS: dict[str, BlockKind] = {
    "text": "text",
    "think": "think",
    "code": "code",
    "execution_output": "execution_output",
}


class ReplyDecoder:
    """Follows one stream to its end; after `ended` there is nothing more to read in it."""

    def __init__(self, *, continues_conversation: bool = False, expects_calls: bool = False) -> None:
        self.conversation_id = ""
        self.history_id = ""
        self.model = ""
        """What serves, in the upstream's words (`moe_53f`); known with the first part."""
        self.accepted = False
        """The first event came: the upstream has begun, and a conversation exists."""
        self.ended = False
        """No more events come of this decoder."""
        self.upstream_ended = False
        """The upstream has ended its reply, or closed; otherwise a generation may still be running."""
        self._continues = continues_conversation
        self._expects_calls = expects_calls
        self._intercepted: set[InterceptedCall] = set()
        self._splitter = EventSplitter()
        self._sources = Sources()
        self._answer = Answer(self._sources, joins_texts=expects_calls)
        self._blocks: dict[tuple[object, int, str], Block] = {}
        self._keys = PartKeys()
        self._halves: dict[tuple[object, int, str], str] = {}
        self._readings: dict[BlockKind, Reading] = dict.fromkeys(_FOLLOWED_KINDS.values(), Reading.UNDECIDED)
        self._complaint = ""  # a `system_error` item of 2024

    def feed(self, data: bytes) -> list[ReplyEvent]:
        """Take the next bytes, cut anywhere; return what they complete."""
        told: list[ReplyEvent] = []
        for payload in self._splitter.feed(data):
            self._take_payload(payload, told)
        return told

    def end(self) -> list[ReplyEvent]:
        """The upstream closed the stream; without a terminal event that is a failure."""
        told: list[ReplyEvent] = []
        for payload in self._splitter.end():
            self._take_payload(payload, told)
        self.upstream_ended = True
        if self.ended:
            return told
        told += self.interrupt()
        if not self.accepted and self._continues:
            # Observed 2026: an unknown conversation is answered with HTTP 200 and no bytes at all.
            error: UpstreamProtocolError | ConversationNotFound = ConversationNotFound(
                "The upstream does not know this conversation.", param="conversation_id"
            )
        else:
            error = UpstreamProtocolError("The upstream closed its stream before the answer was complete.")
        return [*told, Failed(error)]

    def interrupt(self) -> list[ReplyEvent]:
        """Nothing more will be read: release whatever was held back."""
        self.ended = True
        told: list[ReplyEvent] = []
        for block in self._blocks.values():
            told += self._answer.write(block, block.followed.end())
        told += self._answer.complete_current()
        return told

    def conclude(self) -> list[ReplyEvent]:
        """End the reply as it is: with what was held back, what was changed, and unmentioned sources."""
        told = self.interrupt()
        if self._answer.differs_from_told:
            told += [Notice("rewritten"), Rewritten(self._answer.retold())]
        return [*told, *self._sources.unmentioned()]

    def _take_payload(self, payload: bytes, told: list[ReplyEvent]) -> None:
        event = None if self.ended else decode_event(payload)
        if event is None:
            return
        self.accepted = True
        if event.conversation_id:
            self.conversation_id = event.conversation_id
        if event.id:
            self.history_id = event.id
        is_terminal = event.status in _TERMINAL
        flag = event.meta_data.if_increase_push if event.meta_data is not None else None
        for position, part in enumerate(event.parts or ()):
            self._take_part(part, position, flag, is_terminal, told)
        if is_terminal:
            self._finish(event, told)

    def _take_part(
        self, part: Part, position: int, flag: bool | None, is_terminal: bool, told: list[ReplyEvent]
    ) -> None:
        for item in part.content or ():
            if item.type in ("tool_calls", "tool_result"):
                told += self._new_calls(item)
        if part.role == "tool" and part.status == "error":
            told.append(Notice("tool_failed"))  # a failed server-side tool is not a failed answer
            return
        if part.model:
            self.model = part.model
        self._note_sources(part)
        items = part.content or ()
        key = part.logic_id or self._keys.key_of(part, position)
        for index, item in enumerate(items):
            kind = _FOLLOWED_KINDS.get(item.type)
            if kind is not None:
                value = self._mended(_text_of(item, kind), (key, index, kind))
                if value:
                    is_whole = is_terminal or part.status == "finish" or flag is False
                    block = self._blocks.get((key, index, kind)) or (
                        self._moved(key, items, kind, value) if is_whole else None
                    )
                    block = block or self._block(key, index, kind, value, is_terminal and not part.logic_id)
                    fresh = self._follow(block, value, flag, part.status, is_terminal)
                    told += self._answer.write(block, fresh)
            elif item.type == "image":
                for url in image_urls(item):
                    image = ImageMade(url, prompt=whole_characters(item.code or ""))
                    told += self._answer.add_image(self._new_block("image"), image)
            else:
                self._answer.turn_to(item.type)
            if item.type == "system_error" and isinstance(item.content, str):
                self._complaint = whole_characters(item.content[:200])
            if part.status == "finish" and kind is not None and (key, index, kind) in self._blocks:
                told += self._answer.complete(self._blocks[key, index, kind])

    def _new_calls(self, item: Item) -> list[InterceptedCall]:
        """Return the calls of an item that no earlier event had."""
        if not self._expects_calls:
            return []
        new = [call for call in intercepted_calls(item) if call not in self._intercepted]
        self._intercepted.update(new)
        return new

    def _mended(self, value: str, place: tuple[object, int, str]) -> str:
        """Put a character together that was cut into two surrogates, by an increment's border or for good."""
        value = self._halves.pop(place, "") + value
        if value.isascii() or not _SURROGATE.search(value):
            return value
        if value[-1] <= "\udbff" and _SURROGATE.match(value[-1]):
            self._halves[place] = value[-1]
            value = value[:-1]
        return whole_characters(value)

    def _follow(
        self, block: Block, value: str, flag: bool | None, status: str | None, is_terminal: bool
    ) -> str:
        """Apply the rule of increments and snapshots (protocol: 2024 … 2026-09)."""
        followed = block.followed
        if flag is False or (status == "finish" and flag is None):
            return followed.settle(value)
        if status == "finish" or is_terminal:
            # Contradictory marks: whatever repeats all that we have is the whole text.
            known = followed.whole
            return followed.settle(value) if value.startswith(known) else followed.append(value)
        if flag is True:
            self._readings[block.kind] = Reading.INCREMENTS
            return followed.append(value)
        fresh = followed.take(value)
        self._readings[block.kind] = followed.reading
        return fresh

    def _block(self, key: object, index: int, kind: BlockKind, value: str, may_be_repeated: bool) -> Block:
        block = self._blocks.get((key, index, kind))
        if block is None:
            block = self._repeated(kind, value) if may_be_repeated else None
            block = block or self._new_block(kind)
            self._blocks[key, index, kind] = block
        return block

    def _moved(self, key: object, items: Sequence[Item], kind: BlockKind, value: str) -> Block | None:
        """Find the block that a finishing part repeats at another index.

        A part may stream a thought and then a text at one index, and repeat both at two (2026-09).
        """
        for (of, index, of_kind), block in self._blocks.items():
            if (of, of_kind) != (key, kind) or not block.followed.whole:
                continue
            is_elsewhere = index >= len(items) or items[index].type != kind
            if is_elsewhere and value.startswith(block.followed.whole):
                return block
        return None

    def _repeated(self, kind: BlockKind, value: str) -> Block | None:
        """Find the block that a terminal event's part without a logic_id repeats, by its text."""
        for block in reversed(self._blocks.values()):
            if block.kind == kind and block.followed.whole and value.startswith(block.followed.whole):
                return block
        return None

    def _new_block(self, kind: BlockKind) -> Block:
        return Block(kind, FollowedText(self._readings.get(kind, Reading.UNDECIDED)), self._sources)

    def _note_sources(self, part: Part) -> None:
        if part.meta_data is None:
            return
        results = list(part.meta_data.metadata_list or ())
        if part.meta_data.tool_result_extra is not None:
            results += part.meta_data.tool_result_extra.search_results or ()
        for result in results:
            self._note_source(result)

    def _note_source(self, result: ToolResult) -> None:
        if isinstance(result.url, str) and result.url:
            title = result.title if isinstance(result.title, str) else ""
            key = result.match_key if isinstance(result.match_key, str) else None
            self._sources.add(result.url, title, key)

    def _finish(self, event: Event, told: list[ReplyEvent]) -> None:
        self.upstream_ended = True
        told += self.interrupt()
        if event.status == "error" and not (self._intercepted and is_unexplained(event)):
            told.append(Failed(stream_error(event)))
        elif event.status == "intervene":
            told += [Withdrawn(intervention_text(event)), Finished("content_filter")]
        elif self._answer.is_empty and not self._expects_calls:
            said = self._complaint or "a refusal, or a limit of the account"
            message = f"The upstream finished without an answer ({said})."
            told.append(Failed(UpstreamRejected(message, retry="elsewhere")))
        else:
            told += [*self.conclude(), Finished("stop")]


class PartKeys:
    """Tells parts apart that carry no logic_id, by their place and by what they consist of.

    An event carries only the parts that changed, so one place is used by one part after another:
    a thought, then a tool, then a text (fixtures of 2025).
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
