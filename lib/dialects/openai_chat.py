"""The OpenAI chat dialect: its answers here, its requests in `openai_chat_request`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, assert_never

import msgspec
from msgspec import UNSET, UnsetType

from lib import sse
from lib.chat.answer import Answer, CallItem, PlacedSource, TextTrack
from lib.chat.events import (
    Citation,
    Failed,
    Finished,
    FinishReason,
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
from lib.dialects.interface import Rendering
from lib.dialects.openai_chat_request import AskedChat, parse
from lib.dialects.openai_errors import error_body, error_event

__all__ = ["HEARTBEAT", "ChunkRenderer", "error_body", "parse", "render", "renderer"]

HEARTBEAT = sse.COMMENT

_encode = msgspec.json.Encoder().encode
_CONTENT = b'"content":'
_REASONING = b'"reasoning_content":'


class _UrlCitation(msgspec.Struct):
    start_index: int
    """Both indexes count characters of the answer's text. A source without a place has its length in both."""
    end_index: int
    url: str
    title: str


class _Annotation(msgspec.Struct, kw_only=True):
    type: Literal["url_citation"] = "url_citation"
    url_citation: _UrlCitation


class _Function(msgspec.Struct, kw_only=True):
    name: str | UnsetType = UNSET
    arguments: str


class _ToolCall(msgspec.Struct, kw_only=True):
    index: int | UnsetType = UNSET
    """Only in deltas."""
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET
    function: _Function


class _PromptDetails(msgspec.Struct):
    cached_tokens: int = 0


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: int


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: _PromptDetails
    completion_tokens_details: _CompletionDetails


class _Message(msgspec.Struct, kw_only=True):
    role: Literal["assistant"] = "assistant"
    content: str | None
    reasoning_content: str | UnsetType
    refusal: None = None
    annotations: list[_Annotation]
    tool_calls: list[_ToolCall] | UnsetType


class _Choice(msgspec.Struct, kw_only=True):
    index: int = 0
    message: _Message
    finish_reason: FinishReason
    logprobs: None = None


class _Completion(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[_Choice]
    usage: _Usage


class ChunkRenderer:
    """Turns a reply's events into a stream of chunks."""

    def __init__(self, asked: AskedChat, how: Rendering) -> None:
        self._how = how
        self._include_usage = asked.include_usage
        self._tail = b',"usage":null}\n\n' if asked.include_usage else b"}\n\n"
        self._delta_tail = b'},"finish_reason":null}]' + self._tail
        self._head = self._delta = b""
        self._track = TextTrack()
        self._is_ended = False

    def feed(self, events: Sequence[ReplyEvent]) -> bytes:
        """Return the chunks of these events. Neighbouring texts share one; nothing follows an ending."""
        if self._is_ended:
            return b""
        frames: list[bytes] = []
        field, run = _CONTENT, ""
        for event in events:
            match event:
                case TextDelta() | Citation() | ImageMade() | Withdrawn():
                    of, text = _CONTENT, self._track.add(event)
                case ReasoningDelta():
                    of, text = _REASONING, event.text
                case Notice() | Rewritten() | InterceptedCall():
                    continue
                case Started():
                    frames.append(self._opening(event))
                    continue
                case ToolCallDelta():
                    frames += (self._saying(field, run), self._calling(event))
                    run = ""
                    continue
                case Finished() | Failed():
                    self._is_ended = True
                    frames += (self._saying(field, run), self._end(event))
                    return b"".join(frames)
                case _:
                    assert_never(event)
            if of is not field:
                frames.append(self._saying(field, run))
                field, run = of, ""
            run += text
        frames.append(self._saying(field, run))
        return b"".join(frames)

    def _opening(self, event: Started) -> bytes:
        # A stream has a chunk for every few characters, and most bytes of a chunk never change.
        self._head = (
            b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,"choices":['
            % (_json(event.id), self._how.created, _json(self._how.model))
        )
        self._delta = self._head + b'{"index":0,"delta":{'
        return self._delta + b'"role":"assistant","content":""' + self._delta_tail

    def _saying(self, field: bytes, text: str) -> bytes:
        return self._delta + field + _json(text) + self._delta_tail if text else b""

    def _calling(self, event: ToolCallDelta) -> bytes:
        return self._delta + b'"tool_calls":[' + _json(_call_delta(event)) + b"]" + self._delta_tail

    def _end(self, event: Finished | Failed) -> bytes:
        if isinstance(event, Failed):
            return error_event(event.error)
        annotations = _annotations(self._track.sources())
        sources = b'"annotations":' + _json(annotations) if annotations else b""
        last = self._delta + sources + b'},"finish_reason":' + _json(event.reason) + b"}]" + self._tail
        if self._include_usage:
            last += self._head + b'],"usage":' + _json(_usage(event.usage)) + b"}\n\n"
        return last + sse.DONE


def renderer(asked: AskedChat, how: Rendering) -> ChunkRenderer:
    return ChunkRenderer(asked, how)


def render(_asked: AskedChat, answer: Answer, how: Rendering) -> bytes:
    """Return the whole answer. Raise the error of a reply that failed or has no ending."""
    finished = answer.finished()
    choice = _Choice(message=_message(answer), finish_reason=finished.reason)
    return _encode(
        _Completion(
            id=answer.started.id if answer.started else "",
            created=how.created,
            model=how.model,
            choices=[choice],
            usage=_usage(finished.usage),
        )
    )


def _message(answer: Answer) -> _Message:
    calls, text = [_call(call) for call in answer.calls], answer.text
    return _Message(
        content=None if calls and not text else text,
        reasoning_content=answer.reasoning or UNSET,
        annotations=_annotations(answer.sources()),
        tool_calls=calls or UNSET,
    )


def _annotations(sources: list[PlacedSource]) -> list[_Annotation]:
    return [
        _Annotation(
            url_citation=_UrlCitation(placed.start, placed.end, placed.citation.url, placed.citation.title)
        )
        for placed in sources
    ]


def _call_delta(event: ToolCallDelta) -> _ToolCall:
    if event.id is None:
        return _ToolCall(index=event.index, function=_Function(arguments=event.arguments))
    function = _Function(name=event.name or "", arguments=event.arguments)
    return _ToolCall(index=event.index, id=event.id, type="function", function=function)


def _call(call: CallItem) -> _ToolCall:
    return _ToolCall(
        id=call.id, type="function", function=_Function(name=call.name, arguments=call.arguments)
    )


def _usage(usage: Usage) -> _Usage:
    return _Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
        prompt_tokens_details=_PromptDetails(usage.cached_tokens),
        completion_tokens_details=_CompletionDetails(usage.reasoning_tokens),
    )


def _json(value: object) -> bytes:
    return sse.line_safe(_encode(value))
