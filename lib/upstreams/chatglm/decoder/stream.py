"""Decodes chatglm.cn's answer stream: bytes in, neutral events out. No I/O, no clock."""

from __future__ import annotations

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
from lib.upstreams.chatglm.decoder.answer import Answer
from lib.upstreams.chatglm.decoder.blocks import FOLLOWED_KINDS, Blocks
from lib.upstreams.chatglm.decoder.citations import Sources
from lib.upstreams.chatglm.wire.protocol import (
    Event,
    Item,
    Part,
    ToolResult,
    decode_event,
    image_urls,
    intercepted_calls,
    intervention_text,
    whole_characters,
)
from lib.upstreams.chatglm.wire.refusals import is_unexplained, stream_error

_TERMINAL = frozenset(("finish", "error", "intervene"))

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
        self._intercepted: set[InterceptedCall] | None = set() if expects_calls else None
        """The calls that the upstream's own layer took. None: the request has no tools."""
        self._splitter = EventSplitter()
        self._answer = Answer(Sources(), joins_texts=expects_calls)
        self._blocks = Blocks(self._answer.sources)

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
        for block in self._blocks:
            events += self._answer.write(block, block.followed.end())
        events += self._answer.complete_current()
        return events

    def conclude(self) -> list[ReplyEvent]:
        """End the reply as it is: with the held text, a rewritten text, and the unmentioned sources."""
        events = self.interrupt()
        if self._answer.differs_from_sent:
            events += [Notice("rewritten"), Rewritten(self._answer.sent_again())]
        return [*events, *self._answer.sources.unmentioned()]

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
        key = part.logic_id or self._blocks.keys.key_of(part, position)
        for index, item in enumerate(part.content or ()):
            kind = FOLLOWED_KINDS.get(item.type)
            if kind is not None:
                place = (key, index, kind)
                block, fresh = self._blocks.follow(part, place, flag=flag, is_terminal=is_terminal)
                if block is not None:
                    events += self._answer.write(block, fresh)
                    if part.status == "finish":
                        events += self._answer.complete(block)
            elif item.type == "image":
                for url in image_urls(item):
                    image = ImageMade(url, prompt=whole_characters(item.code or ""))
                    events += self._answer.add_image(self._blocks.new("image"), image)
            else:
                self._answer.turn_to(item.type)
            if item.type == "system_error" and isinstance(item.content, str):
                self._answer.complaint = whole_characters(item.content[:200])

    def _new_calls(self, item: Item) -> list[InterceptedCall]:
        """Return the calls of an item that are new."""
        if self._intercepted is None:
            return []
        new = [call for call in intercepted_calls(item) if call not in self._intercepted]
        self._intercepted.update(new)
        return new

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
            self._answer.sources.add(result.url, title, key)

    def _finish(self, event: Event, events: list[ReplyEvent]) -> None:
        self.upstream_ended = True
        events += self.interrupt()
        if event.status == "error" and not (self._intercepted and is_unexplained(event)):
            events.append(Failed(stream_error(event)))
        elif event.status == "intervene":
            events += [Withdrawn(intervention_text(event)), Finished("content_filter")]
        elif self._answer.is_empty and self._intercepted is None:
            reason = self._answer.complaint or "a refusal, or a limit of the account"
            message = f"The upstream finished without an answer ({reason})."
            events.append(Failed(UpstreamRejected(message, retry="elsewhere")))
        else:
            events += [*self.conclude(), Finished("stop")]
