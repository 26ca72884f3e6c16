"""Decodes chatglm.cn's answer stream: bytes in, neutral events out. No I/O, no clock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

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

MAX_LOOKED_AT = 64
"""A repeated text is looked for among so many others: 6,000 parts without an id stopped the loop for 10 s."""


class ReplyDecoder:
    """Follows one stream to its end. After `ended` it returns no more events."""

    def __init__(self, *, continues_conversation: bool = False, expects_calls: bool = False) -> None:
        self.conversation_id = ""
        self.history_id = ""
        self.model = ""
        """The model that serves, in the upstream's words (`moe_53f`). The first part names it."""
        self.accepted = False
        """The first event has come: the upstream has begun, and a conversation exists."""
        self.ended = False
        """This decoder returns no more events."""
        self.upstream_ended = False
        """The upstream has ended its reply, or closed the stream. Otherwise a generation may still run."""
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
        self._complaint = ""  # The text of a `system_error` item (2024, one observer).

    def feed(self, data: bytes) -> list[ReplyEvent]:
        """Take the next bytes, cut anywhere; return the events that they complete."""
        events: list[ReplyEvent] = []
        for payload in self._splitter.feed(data):
            self._take_payload(payload, events)
        return events

    def end(self) -> list[ReplyEvent]:
        """Take the upstream's close of the stream: without a terminal event it is a failure."""
        events: list[ReplyEvent] = []
        for payload in self._splitter.end():
            self._take_payload(payload, events)
        self.upstream_ended = True
        if self.ended:
            return events
        events += self.interrupt()
        if not self.accepted and self._continues:
            # The upstream answers an unknown conversation with HTTP 200 and no bytes (observed 2026).
            error: UpstreamProtocolError | ConversationNotFound = ConversationNotFound(
                "The upstream does not know this conversation.", param="conversation_id"
            )
        else:
            error = UpstreamProtocolError("The upstream closed its stream before the answer was complete.")
        return [*events, Failed(error)]

    def interrupt(self) -> list[ReplyEvent]:
        """End the reading, and return everything that was held."""
        self.ended = True
        events: list[ReplyEvent] = []
        for block in self._blocks.values():
            events += self._answer.write(block, block.followed.end())
        events += self._answer.complete_current()
        return events

    def conclude(self) -> list[ReplyEvent]:
        """End the reply as it is: with the held text, a rewritten text, and the unmentioned sources."""
        events = self.interrupt()
        if self._answer.differs_from_sent:
            events += [Notice("rewritten"), Rewritten(self._answer.sent_again())]
        return [*events, *self._sources.unmentioned()]

    def _take_payload(self, payload: bytes, events: list[ReplyEvent]) -> None:
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
            self._take_part(part, position, flag, is_terminal, events)
        if is_terminal:
            self._finish(event, events)

    def _take_part(
        self, part: Part, position: int, flag: bool | None, is_terminal: bool, events: list[ReplyEvent]
    ) -> None:
        for item in part.content or ():
            if item.type in ("tool_calls", "tool_result"):
                events += self._new_calls(item)
        if part.role == "tool" and part.status == "error":
            events.append(Notice("tool_failed"))  # The answer goes on after a failed server-side tool (2026).
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
                    events += self._answer.write(block, fresh)
            elif item.type == "image":
                for url in image_urls(item):
                    image = ImageMade(url, prompt=whole_characters(item.code or ""))
                    events += self._answer.add_image(self._new_block("image"), image)
            else:
                self._answer.turn_to(item.type)
            if item.type == "system_error" and isinstance(item.content, str):
                self._complaint = whole_characters(item.content[:200])
            if part.status == "finish" and kind is not None and (key, index, kind) in self._blocks:
                events += self._answer.complete(self._blocks[key, index, kind])

    def _new_calls(self, item: Item) -> list[InterceptedCall]:
        """Return the calls of an item that are new."""
        if not self._expects_calls:
            return []
        new = [call for call in intercepted_calls(item) if call not in self._intercepted]
        self._intercepted.update(new)
        return new

    def _mended(self, value: str, place: tuple[object, int, str]) -> str:
        """Join a character that two increments cut into surrogates; replace a lone surrogate."""
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

    def _finish(self, event: Event, events: list[ReplyEvent]) -> None:
        self.upstream_ended = True
        events += self.interrupt()
        if event.status == "error" and not (self._intercepted and is_unexplained(event)):
            events.append(Failed(stream_error(event)))
        elif event.status == "intervene":
            events += [Withdrawn(intervention_text(event)), Finished("content_filter")]
        elif self._answer.is_empty and not self._expects_calls:
            reason = self._complaint or "a refusal, or a limit of the account"
            message = f"The upstream finished without an answer ({reason})."
            events.append(Failed(UpstreamRejected(message, retry="elsewhere")))
        else:
            events += [*self.conclude(), Finished("stop")]


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
