"""Google's Gemini dialect: its answers here, its requests in `gemini_request`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, assert_never

import msgspec
from msgspec import UNSET, UnsetType

from lib import sse
from lib.chat.answer import Answer, CallItem, ReasoningItem, TextItem
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
from lib.dialects.gemini_errors import ERROR_FORM, error_body
from lib.dialects.gemini_grounding import Grounding, PlaceTrack, grounding_of
from lib.dialects.gemini_parts import AnswerPart, CallPart, TextPart, ThoughtPart, call_part, encode
from lib.dialects.gemini_request import EVENTS, AskedContent, parse
from lib.dialects.interface import Rendering

__all__ = ["ERROR_FORM", "HEARTBEAT", "count", "error_body", "parse", "render", "renderer"]

HEARTBEAT = EVENTS.heartbeat

Reason = Literal["STOP", "MAX_TOKENS", "SAFETY"]


class _Content(msgspec.Struct):
    role: Literal["model"]
    parts: list[AnswerPart]


class _Candidate(msgspec.Struct, kw_only=True, rename="camel"):
    content: _Content
    finish_reason: Reason | UnsetType = UNSET
    """Only in the last chunk of a stream."""
    index: int = 0
    grounding_metadata: Grounding | UnsetType = UNSET


class _Feedback(msgspec.Struct, rename="camel"):
    block_reason: Literal["SAFETY"] = "SAFETY"


class _Usage(msgspec.Struct, kw_only=True, rename="camel"):
    prompt_token_count: int
    cached_content_token_count: int | UnsetType
    candidates_token_count: int
    """Without the tokens of thoughts."""
    thoughts_token_count: int | UnsetType
    total_token_count: int


class _Response(msgspec.Struct, kw_only=True, rename="camel"):
    candidates: list[_Candidate]
    prompt_feedback: _Feedback | UnsetType = UNSET
    usage_metadata: _Usage | UnsetType = UNSET
    """Only in the last chunk of a stream: until then it is not known."""
    model_version: str
    response_id: str


class _Count(msgspec.Struct, rename="camel"):
    total_tokens: int


class ChunkRenderer:
    """Turns a reply's events into a stream of responses, each with the parts that are new."""

    def __init__(self, asked: AskedContent, how: Rendering) -> None:
        self._asked = asked
        self._how = how
        self._id = ""
        self._track = PlaceTrack()
        self._calls: dict[int, CallItem] = {}
        """A call must be whole, so all of them wait for the end."""
        self._comma = b"["
        self._is_ended = False

    def feed(self, events: Sequence[ReplyEvent]) -> bytes:
        """Return the frames of these events. Neighbouring texts share a part; nothing follows an ending."""
        parts: list[AnswerPart] = []
        for event in events:
            if self._is_ended:
                break
            match event:
                case Started():
                    self._id = self._how.answer_id(event)
                case Finished():
                    self._is_ended = True
                    return self._end(event, parts)
                case Failed():
                    self._is_ended = True
                    return self._saying(parts) + self._frame(error_body(event.error), is_last=True)
                case _:
                    self._take(event, parts)
        return self._saying(parts)

    def _take(
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
        parts: list[AnswerPart],
    ) -> None:
        match event:
            case TextDelta() | Citation() | ImageMade() | Withdrawn():
                _append(parts, TextPart(self._track.add(event)))
            case ReasoningDelta():
                if self._asked.shows_thoughts:
                    _append(parts, ThoughtPart(event.text))
            case ToolCallDelta():
                self._calls.setdefault(event.index, CallItem(event.index)).add(event)
            case Notice() | Rewritten() | InterceptedCall():
                pass
            case _:
                assert_never(event)

    def _saying(self, parts: list[AnswerPart]) -> bytes:
        if not parts:
            return b""
        return self._frame(encode(self._response(_Candidate(content=_Content("model", parts)))))

    def _end(self, event: Finished, parts: list[AnswerPart]) -> bytes:
        parts += _call_parts(list(self._calls.values()))
        response = self._response(_last_candidate(parts, event, self._track.grounding()))
        return self._frame(encode(_ended(response, event)), is_last=True)

    def _frame(self, payload: bytes, *, is_last: bool = False) -> bytes:
        """Make an event, or an element of the array. The last element closes the array."""
        if self._asked.form == "events":
            return sse.encode_data(payload)
        comma, self._comma = self._comma, b",\r\n"
        return comma + payload + (b"]" if is_last else b"")

    def _response(self, candidate: _Candidate) -> _Response:
        return _Response(candidates=[candidate], model_version=self._how.model, response_id=self._id)


def renderer(asked: AskedContent, how: Rendering) -> ChunkRenderer:
    return ChunkRenderer(asked, how)


def render(asked: AskedContent, answer: Answer, how: Rendering) -> bytes:
    """Return the whole response. Raise the error of a reply that failed or has no ending."""
    finished = answer.finished()
    parts = _said_parts(answer, asked) + _call_parts(answer.calls)
    response = _Response(
        candidates=[_last_candidate(parts, finished, grounding_of(answer))],
        model_version=how.model,
        response_id=how.answer_id(answer.started) if answer.started else "",
    )
    return encode(_ended(response, finished))


def count(tokens: int) -> bytes:
    return encode(_Count(tokens))


def _append(parts: list[AnswerPart], part: TextPart | ThoughtPart) -> None:
    """Add a part, or its text to the last part if both are of one kind."""
    if not part.text:
        return
    if parts and type(last := parts[-1]) is type(part) and not isinstance(last, CallPart):
        last.text += part.text
    else:
        parts.append(part)


def _said_parts(answer: Answer, asked: AskedContent) -> list[AnswerPart]:
    """Make parts as a stream makes them: one of neighbours of one kind, and the calls behind all of them."""
    parts: list[AnswerPart] = []
    for item in answer.items:
        if isinstance(item, TextItem):
            _append(parts, TextPart(item.text))
        elif isinstance(item, ReasoningItem) and asked.shows_thoughts:
            _append(parts, ThoughtPart(item.text))
    return parts


def _call_parts(calls: list[CallItem]) -> list[AnswerPart]:
    return [call_part(call) for call in sorted(calls, key=lambda call: call.index)]


def _last_candidate(
    parts: list[AnswerPart], finished: Finished, grounding: Grounding | UnsetType
) -> _Candidate:
    # Google ends an answer that has no more to say with an empty text; some clients insist on a part.
    content = _Content("model", parts or [TextPart("")])
    return _Candidate(content=content, finish_reason=_reason(finished), grounding_metadata=grounding)


def _ended(response: _Response, finished: Finished) -> _Response:
    response.usage_metadata = _usage(finished.usage)
    if finished.reason == "content_filter":
        response.prompt_feedback = _Feedback()
    return response


def _reason(finished: Finished) -> Reason:
    match finished.reason:
        case "stop" | "tool_calls":
            return "STOP"
        case "length":
            return "MAX_TOKENS"
        case "content_filter":
            return "SAFETY"
        case _:
            assert_never(finished.reason)


def _usage(usage: Usage) -> _Usage:
    return _Usage(
        prompt_token_count=usage.prompt_tokens,
        cached_content_token_count=usage.cached_tokens or UNSET,
        candidates_token_count=usage.completion_tokens - usage.reasoning_tokens,
        thoughts_token_count=usage.reasoning_tokens or UNSET,
        total_token_count=usage.total_tokens,
    )
