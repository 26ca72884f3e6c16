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


class _Custom(msgspec.Struct, kw_only=True):
    name: str
    input: str


class _ToolCall(msgspec.Struct, kw_only=True):
    index: int | UnsetType = UNSET
    """Only in deltas."""
    id: str | UnsetType = UNSET
    type: Literal["function", "custom"] | UnsetType = UNSET
    function: _Function | UnsetType = UNSET
    custom: _Custom | UnsetType = UNSET
    """A call of a free-form tool."""


class _Freeform(msgspec.Struct):
    """The arguments of a free-form call inside the gateway."""

    input: str


_decode_freeform = msgspec.json.Decoder(_Freeform).decode


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
    function_call: _Function | UnsetType = UNSET
    """The form before 2023-11, for a request with `functions`."""


class _Choice(msgspec.Struct, kw_only=True):
    index: int = 0
    message: _Message
    finish_reason: FinishReason | Literal["function_call"]
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
        self._asked = asked
        self._freeform: dict[int, ToolCallDelta] = {}
        """Calls of free-form tools with incomplete arguments."""
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
        if self._asked.uses_functions:
            function = _Function(name=UNSET if event.name is None else event.name, arguments=event.arguments)
            return self._delta + b'"function_call":' + _json(function) + self._delta_tail
        call = self._custom_call(event) if self._is_freeform(event) else _call_delta(event)
        return (
            b"" if call is None else self._delta + b'"tool_calls":[' + _json(call) + b"]" + self._delta_tail
        )

    def _is_freeform(self, event: ToolCallDelta) -> bool:
        return event.index in self._freeform or event.name in _freeform_names(self._asked)

    def _custom_call(self, event: ToolCallDelta) -> _ToolCall | None:
        """Return the call as soon as its arguments, JSON around a text, are complete."""
        begun = self._freeform.get(event.index)
        if begun is not None:
            event = msgspec.structs.replace(begun, arguments=begun.arguments + event.arguments)
        text = _freeform_text(event.arguments)
        if text is None:
            self._freeform[event.index] = event
            return None
        self._freeform.pop(event.index, None)
        custom = _Custom(name=event.name or "", input=text)
        return _ToolCall(index=event.index, id=event.id or "", type="custom", custom=custom)

    def _end(self, event: Finished | Failed) -> bytes:
        if isinstance(event, Failed):
            return error_event(event.error)
        annotations = _annotations(self._track.sources())
        sources = b'"annotations":' + _json(annotations) if annotations else b""
        reason = _json(_reason(self._asked, event))
        last = self._delta + sources + b'},"finish_reason":' + reason + b"}]" + self._tail
        if self._asked.include_usage:
            last += self._head + b'],"usage":' + _json(_usage(event.usage)) + b"}\n\n"
        return last + sse.DONE


def renderer(asked: AskedChat, how: Rendering) -> ChunkRenderer:
    return ChunkRenderer(asked, how)


def render(asked: AskedChat, answer: Answer, how: Rendering) -> bytes:
    """Return the whole answer. Raise the error of a reply that failed or has no ending."""
    finished = answer.finished()
    choice = _Choice(message=_message(asked, answer), finish_reason=_reason(asked, finished))
    return _encode(
        _Completion(
            id=answer.started.id if answer.started else "",
            created=how.created,
            model=how.model,
            choices=[choice],
            usage=_usage(finished.usage),
        )
    )


def _reason(asked: AskedChat, finished: Finished) -> FinishReason | Literal["function_call"]:
    return "function_call" if asked.uses_functions and finished.reason == "tool_calls" else finished.reason


def _message(asked: AskedChat, answer: Answer) -> _Message:
    freeform = _freeform_names(asked)
    calls, text = [_call(call, freeform) for call in answer.calls], answer.text
    if calls and asked.uses_functions:
        function = calls[0].function
        return _Message(
            content=text or None,
            reasoning_content=answer.reasoning or UNSET,
            annotations=_annotations(answer.sources()),
            tool_calls=UNSET,
            function_call=function,
        )
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


def _call(call: CallItem, freeform: frozenset[str]) -> _ToolCall:
    text = _freeform_text(call.arguments) if call.name in freeform else None
    if text is not None:
        return _ToolCall(id=call.id, type="custom", custom=_Custom(name=call.name, input=text))
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


def _freeform_names(asked: AskedChat) -> frozenset[str]:
    return frozenset(tool.name for tool in asked.chat.tools if tool.is_freeform)


def _freeform_text(arguments: str) -> str | None:
    """Take the text of a free-form call out of its JSON. Return None if the JSON is not complete."""
    try:
        return _decode_freeform(arguments).input
    except msgspec.DecodeError:
        return None
