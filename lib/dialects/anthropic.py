"""Anthropic's Messages dialect: its answers here, its requests in `anthropic_request`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Literal, assert_never

import msgspec
from msgspec import UNSET, UnsetType

from lib.chat.answer import Answer, CallItem, Item, ReasoningItem, TextItem, TextTrack
from lib.chat.events import (
    Citation,
    Failed,
    Finished,
    ImageMade,
    InterceptedCall,
    Notice,
    ReasoningDelta,
    ReplyEvent,
    Rewritten,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
    Withdrawn,
)
from lib.dialects.anthropic_blocks import (
    AnswerBlock,
    BlockWriter,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
    encode,
    named_event,
    places,
    search_blocks,
    signature,
)
from lib.dialects.anthropic_errors import ERROR_FORM, error_body, error_event
from lib.dialects.anthropic_request import AskedMessage, parse
from lib.dialects.call_arguments import as_object
from lib.dialects.interface import Rendering

__all__ = ["ERROR_FORM", "HEARTBEAT", "count", "error_body", "parse", "render", "renderer"]

HEARTBEAT = b'event: ping\ndata: {"type":"ping"}\n\n'

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"]


class _ServerToolUse(msgspec.Struct):
    web_search_requests: int = 1
    web_fetch_requests: int = 0
    """Anthropic's type requires it."""


class _Usage(msgspec.Struct, kw_only=True):
    input_tokens: int
    """Without the tokens that a cache gave."""
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int
    output_tokens: int
    server_tool_use: _ServerToolUse | UnsetType = UNSET


class _Message(msgspec.Struct, kw_only=True):
    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[AnswerBlock]
    stop_reason: StopReason | None
    stop_sequence: str | None
    usage: _Usage


class _Opening(msgspec.Struct, tag_field="type", tag="message_start"):
    message: _Message


class _Delta(msgspec.Struct):
    stop_reason: StopReason
    stop_sequence: str | None


class _Ending(msgspec.Struct, tag_field="type", tag="message_delta"):
    delta: _Delta
    usage: _Usage


class _Count(msgspec.Struct):
    input_tokens: int


class MessageRenderer:
    """Turns a reply's events into a stream of events that build a message block by block."""

    def __init__(self, asked: AskedMessage, how: Rendering) -> None:
        self._asked = asked
        self._how = how
        self._track = TextTrack()
        self._citations: list[Citation] = []
        self._blocks = BlockWriter("")
        self._is_ended = False

    def feed(self, events: Sequence[ReplyEvent]) -> bytes:
        """Return the frames of these events. Neighbouring texts share one; nothing follows an ending."""
        frames = b""
        for event in events:
            if self._is_ended:
                break
            match event:
                case Started():
                    frames += self._opening(event)
                case Finished():
                    frames += self._end(event)
                case Failed():
                    self._is_ended = True
                    frames += self._blocks.take() + error_event(event.error, self._how.request_id)
                case _:
                    self._write(event)
        return frames + self._blocks.take()

    def _opening(self, event: Started) -> bytes:
        message_id = _message_id(event, self._how)
        self._blocks = BlockWriter(message_id)
        message = _Message(
            id=message_id,
            model=self._how.model,
            content=[],
            stop_reason=None,
            stop_sequence=None,
            usage=_usage(Usage(0, 0)),  # Both are known at the end, and said there.
        )
        return named_event(b"message_start", _Opening(message))

    def _write(
        self,
        event: TextDelta
        | ReasoningDelta
        | Citation
        | ImageMade
        | ToolCallDelta
        | InterceptedCall
        | Notice
        | Rewritten
        | Withdrawn,
    ) -> None:
        match event:
            case TextDelta() | ImageMade() | Withdrawn():
                self._blocks.text(self._track.add(event))
            case Citation():
                self._citations.append(event)
                self._blocks.text(self._track.add(event))
                self._blocks.cite(event)
            case ReasoningDelta():
                if self._asked.reasoning != "hidden":
                    self._blocks.think(event.text, is_shown=self._asked.reasoning == "whole")
            case ToolCallDelta():
                self._blocks.call(event.index, event.id or "", event.name or "", event.arguments)
            case Notice() | Rewritten() | InterceptedCall():
                pass
            case _:
                assert_never(event)

    def _end(self, event: Finished) -> bytes:
        self._is_ended = True
        searched = self._citations if self._asked.chat.web_search else []
        self._blocks.search(searched)
        self._blocks.close()
        ending = _Ending(
            _Delta(_stop_reason(event), event.stop_sequence), _usage(event.usage, has_searched=bool(searched))
        )
        stop = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
        return self._blocks.take() + named_event(b"message_delta", ending) + stop


def renderer(asked: AskedMessage, how: Rendering) -> MessageRenderer:
    return MessageRenderer(asked, how)


def render(asked: AskedMessage, answer: Answer, how: Rendering) -> bytes:
    """Return the whole message. Raise the error of a reply that failed or has no ending."""
    finished = answer.finished()
    message_id = _message_id(answer.started, how)
    blocks = list(_blocks(answer.items, asked, message_id))
    sources = [placed.citation for placed in answer.sources()] if asked.chat.web_search else []
    return encode(
        _Message(
            id=message_id,
            model=how.model,
            content=[*blocks, *search_blocks(message_id, sources)],
            stop_reason=_stop_reason(finished),
            stop_sequence=finished.stop_sequence,
            usage=_usage(finished.usage, has_searched=bool(sources)),
        )
    )


def count(tokens: int) -> bytes:
    return encode(_Count(tokens))


def _blocks(items: list[Item], asked: AskedMessage, message_id: str) -> Iterator[AnswerBlock]:
    """Make blocks as a stream makes them: one of neighbours of one kind."""
    shown = [item for item in items if not _is_hidden(item, asked)]
    index = 0
    for kind, group in groupby(shown, key=type):
        run = list(group)
        if kind is TextItem:
            yield _text_block([item for item in run if isinstance(item, TextItem)])
        elif kind is ReasoningItem:
            text = "".join(item.text for item in run if isinstance(item, ReasoningItem))
            is_shown = asked.reasoning == "whole"
            yield ThinkingBlock(text if is_shown else "", signature(message_id, index))
        else:
            yield from (_call_block(item) for item in run if isinstance(item, CallItem))
            index += len(run) - 1
        index += 1


def _is_hidden(item: Item, asked: AskedMessage) -> bool:
    return isinstance(item, ReasoningItem) and asked.reasoning == "hidden"


def _text_block(items: list[TextItem]) -> TextBlock:
    sources = [placed.citation for item in items for placed in item.track.sources()]
    return TextBlock("".join(item.text for item in items), places(sources) or UNSET)


def _call_block(call: CallItem) -> ToolUseBlock:
    return ToolUseBlock(call.id, call.name, as_object(call.arguments))


def _message_id(started: Started | None, how: Rendering) -> str:
    return f"msg_{how.answer_id(started) if started else ''}"


def _stop_reason(finished: Finished) -> StopReason:
    match finished.reason:
        case "stop":
            return "end_turn" if finished.stop_sequence is None else "stop_sequence"
        case "length":
            return "max_tokens"
        case "tool_calls":
            return "tool_use"
        case "content_filter":
            return "refusal"
        case _:
            assert_never(finished.reason)


def _usage(usage: Usage, *, has_searched: bool = False) -> _Usage:
    return _Usage(
        input_tokens=usage.prompt_tokens - usage.cached_tokens,
        cache_read_input_tokens=usage.cached_tokens,
        output_tokens=usage.completion_tokens,
        server_tool_use=_ServerToolUse() if has_searched else UNSET,
    )
