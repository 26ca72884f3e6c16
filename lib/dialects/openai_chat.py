"""The OpenAI chat dialect: its answers here, its requests in `openai_chat_request`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, assert_never

import msgspec
from msgspec import UNSET, UnsetType

from lib import sse
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
    TextDelta,
    ToolCallDelta,
    Usage,
)
from lib.chat.request import ChatRequest
from lib.dialects.openai_chat_request import parse_request
from lib.dialects.openai_errors import error_event
from lib.errors import UpstreamProtocolError

__all__ = ["ChunkRenderer", "parse_request", "render_completion"]

_encode = msgspec.json.Encoder().encode
_CONTENT = b'"content":'
_REASONING = b'"reasoning_content":'


class _UrlCitation(msgspec.Struct):
    start_index: int
    """In characters of the answer's text; both are its length where the source has no place in it."""
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


class AnswerText:
    """Where the answer's text has got to: what each event adds to it, and where its sources stand.

    It keeps the length and not the text, for a stream has no more use for what is sent.
    """

    def __init__(self) -> None:
        self._length = 0
        self._citations: list[tuple[Citation, int]] = []

    def add(self, event: TextDelta | Citation | ImageMade) -> str:
        """Return what the event says in the text."""
        match event:
            case TextDelta():
                text = event.text
            case Citation():
                text = event.marker
                self._citations.append((event, self._length))
            case ImageMade():
                text = event.markdown
            case _:
                assert_never(event)
        self._length += len(text)
        return text

    def annotations(self) -> list[_Annotation]:
        """Say where the sources stand in the complete text: unmarked ones are at its end."""
        annotations = []
        for citation, at in self._citations:
            start = at if citation.marked else self._length
            place = _UrlCitation(start, start + len(citation.marker), citation.url, citation.title)
            annotations.append(_Annotation(url_citation=place))
        return annotations


class ChunkRenderer:
    """Turn a reply's events into a stream of chunks; `default_model` is for a caller who named none."""

    def __init__(self, chat: ChatRequest, *, answer_id: str, created: int, default_model: str = "") -> None:
        # There is a chunk for every few characters, and most of its bytes are the same each time.
        self._head = (
            b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,"choices":['
            % (_json(answer_id), created, _json(chat.model or default_model))
        )
        self._delta = self._head + b'{"index":0,"delta":{'
        self._tail = b',"usage":null}\n\n' if chat.include_usage else b"}\n\n"
        self._delta_tail = b'},"finish_reason":null}]' + self._tail
        self._include_usage = chat.include_usage
        self._text = AnswerText()
        self._is_started = False
        self._is_ended = False

    def feed(self, events: Sequence[ReplyEvent]) -> bytes:
        """Return the chunks of these events: neighbouring texts share one, and nothing follows an end.

        The first call, even with no events, opens the stream with the role.
        """
        if self._is_ended:
            return b""
        frames = [] if self._is_started else [self._opening()]
        field, run = _CONTENT, ""
        for event in events:
            match event:
                case TextDelta() | Citation() | ImageMade():
                    of, text = _CONTENT, self._text.add(event)
                case ReasoningDelta():
                    of, text = _REASONING, event.text
                case Notice() | Rewritten() | InterceptedCall():
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

    def _opening(self) -> bytes:
        self._is_started = True
        return self._delta + b'"role":"assistant","content":""' + self._delta_tail

    def _saying(self, field: bytes, text: str) -> bytes:
        return self._delta + field + _json(text) + self._delta_tail if text else b""

    def _calling(self, event: ToolCallDelta) -> bytes:
        return self._delta + b'"tool_calls":[' + _json(_call_delta(event)) + b"]" + self._delta_tail

    def _end(self, event: Finished | Failed) -> bytes:
        if isinstance(event, Failed):
            return error_event(event.error)
        annotations = self._text.annotations()
        sources = b'"annotations":' + _json(annotations) if annotations else b""
        last = self._delta + sources + b'},"finish_reason":' + _json(event.reason) + b"}]" + self._tail
        if self._include_usage:
            last += self._head + b'],"usage":' + _json(_usage(event.usage)) + b"}\n\n"
        return last + sse.DONE


def render_completion(
    chat: ChatRequest, events: Iterable[ReplyEvent], *, answer_id: str, created: int, default_model: str = ""
) -> bytes:
    """Raise the error of a `Failed`, and UpstreamProtocolError for a reply without an end."""
    reply = _Reply()
    for event in events:
        if finished := reply.add(event):
            break
    else:
        raise UpstreamProtocolError("Expected the reply to end with its reason, got no end.")
    choice = _Choice(message=reply.message(), finish_reason=finished.reason)
    return _encode(
        _Completion(
            id=answer_id,
            created=created,
            model=chat.model or default_model,
            choices=[choice],
            usage=_usage(finished.usage),
        )
    )


class _Reply:
    """All that a reply has said."""

    def __init__(self) -> None:
        self._text = AnswerText()
        self._said: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, list[ToolCallDelta]] = {}

    def add(self, event: ReplyEvent) -> Finished | None:
        """Return the event if it is the end."""
        match event:
            case TextDelta() | Citation() | ImageMade():
                self._said.append(self._text.add(event))
            case ReasoningDelta():
                self._reasoning.append(event.text)
            case ToolCallDelta():
                self._calls.setdefault(event.index, []).append(event)
            case Rewritten():
                self._text, self._said, self._reasoning = AnswerText(), [], []
                for said in event.events:
                    self.add(said)
            case Notice() | InterceptedCall():
                pass
            case Finished():
                return event
            case Failed():
                raise event.error
            case _:
                assert_never(event)
        return None

    def message(self) -> _Message:
        calls = [_call(pieces) for _, pieces in sorted(self._calls.items())]
        text = "".join(self._said)
        return _Message(
            content=None if calls and not text else text,
            reasoning_content="".join(self._reasoning) or UNSET,
            annotations=self._text.annotations(),
            tool_calls=calls or UNSET,
        )


def _call_delta(event: ToolCallDelta) -> _ToolCall:
    if event.id is None:
        return _ToolCall(index=event.index, function=_Function(arguments=event.arguments))
    function = _Function(name=event.name or "", arguments=event.arguments)
    return _ToolCall(index=event.index, id=event.id, type="function", function=function)


def _call(pieces: list[ToolCallDelta]) -> _ToolCall:
    arguments = "".join([piece.arguments for piece in pieces])
    function = _Function(name=pieces[0].name or "", arguments=arguments)
    return _ToolCall(id=pieces[0].id or "", type="function", function=function)


def _usage(usage: Usage) -> _Usage:
    return _Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
        prompt_tokens_details=_PromptDetails(),
        completion_tokens_details=_CompletionDetails(usage.reasoning_tokens),
    )


def _json(value: object) -> bytes:
    return sse.line_safe(_encode(value))
