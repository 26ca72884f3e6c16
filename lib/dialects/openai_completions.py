"""OpenAI's legacy completions, POST /v1/completions: a prompt in, its continuation out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, assert_never

import msgspec

from lib import sse
from lib.chat.answer import Answer, TextTrack
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
from lib.chat.request import ChatRequest, Message, TextPart
from lib.dialects.fields import read_limit, read_model, refuse_several
from lib.dialects.interface import Address, Rendering
from lib.dialects.json_body import decode_body, invalid_value, missing_field, unsupported
from lib.dialects.openai_errors import error_body, error_event
from lib.dialects.stops import read_stops

__all__ = ["HEARTBEAT", "error_body", "parse", "render", "renderer"]

HEARTBEAT = sse.COMMENT

_encode = msgspec.json.Encoder().encode


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Body(msgspec.Struct):
    """Fields that are not listed here are ignored, whatever their type."""

    prompt: str | list[Any] | None = None
    model: str | None = None
    suffix: str | None = None
    echo: bool | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: int | float | None = None
    stop: str | list[str] | None = None
    n: int | float | None = None
    best_of: int | float | None = None


class _Choice(msgspec.Struct, kw_only=True):
    text: str
    index: int = 0
    logprobs: None = None
    finish_reason: FinishReason | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class _Completion(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A whole answer, or a chunk of a stream."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[_Choice]
    usage: _Usage | None = None


_decoder = msgspec.json.Decoder(_Body)


class AskedCompletion(msgspec.Struct, frozen=True, kw_only=True):
    """A chat of one message, and the form in which this dialect answers it."""

    chat: ChatRequest
    stream: bool = False
    include_usage: bool = False
    echo: str = ""
    """The text that the answer begins with: the prompt, if the client wants it back."""


def parse(body: bytes, _address: Address) -> AskedCompletion:
    """Raise InvalidRequest, and nothing else, for any mistake in the body."""
    wire = decode_body(body, _decoder)
    if wire.suffix:
        raise unsupported("suffix", "a text cannot be filled in between two others")
    refuse_several(wire.n, "n")
    refuse_several(wire.best_of, "best_of")
    prompt = _prompt(wire.prompt)
    chat = ChatRequest(
        model=read_model(wire.model),
        messages=(Message(role="user", parts=(TextPart(prompt),)),),
        stop=read_stops(wire.stop, "stop"),
        max_tokens=read_limit(wire.max_tokens, "max_tokens"),
    )
    return AskedCompletion(
        chat=chat,
        stream=bool(wire.stream),
        include_usage=wire.stream_options is not None and bool(wire.stream_options.include_usage),
        echo=prompt if wire.echo else "",
    )


def _prompt(prompt: str | list[Any] | None) -> str:
    if prompt is None:
        raise missing_field("prompt")
    if isinstance(prompt, list):
        if len(prompt) > 1 and all(isinstance(one, str) for one in prompt):
            raise unsupported("prompt", "one prompt is answered per request; send a list of one, or a string")
        if len(prompt) != 1 or not isinstance(prompt[0], str):
            raise invalid_value("prompt", "a string, or a list of one string and no tokens", len(prompt))
        prompt = prompt[0]
    if not prompt:
        raise invalid_value("prompt", "a text", prompt)
    return prompt


class ChunkRenderer:
    """Turns a reply's events into a stream of chunks. Reasoning has no place in this form."""

    def __init__(self, asked: AskedCompletion, how: Rendering) -> None:
        self._asked = asked
        self._how = how
        self._id = ""
        self._track = TextTrack()
        self._is_ended = False

    def feed(self, events: Sequence[ReplyEvent]) -> bytes:
        """Return the chunks of these events. Neighbouring texts share one; nothing follows an ending."""
        text, frames = "", b""
        for event in events:
            if self._is_ended:
                break
            match event:
                case Started():
                    self._id = self._how.answer_id(event)
                    text += self._asked.echo
                case TextDelta() | Citation() | ImageMade() | Withdrawn():
                    text += self._track.add(event)
                case Finished() | Failed():
                    self._is_ended = True
                    frames = self._end(event)
                case Notice() | Rewritten() | InterceptedCall() | ReasoningDelta() | ToolCallDelta():
                    pass
                case _:
                    assert_never(event)
        return (self._chunk([_Choice(text=text)]) if text else b"") + frames

    def _end(self, event: Finished | Failed) -> bytes:
        if isinstance(event, Failed):
            return error_event(event.error)
        last = self._chunk([_Choice(text="", finish_reason=event.reason)])
        usage = self._chunk([], _usage(event.usage)) if self._asked.include_usage else b""
        return last + usage + sse.DONE

    def _chunk(self, choices: list[_Choice], usage: _Usage | None = None) -> bytes:
        return sse.encode_data(_encode(_completion(self._id, choices, usage, self._how)))


def renderer(asked: AskedCompletion, how: Rendering) -> ChunkRenderer:
    return ChunkRenderer(asked, how)


def render(asked: AskedCompletion, answer: Answer, how: Rendering) -> bytes:
    """Return the whole answer. Raise the error of a reply that failed or has no ending."""
    finished = answer.finished()
    choice = _Choice(text=asked.echo + answer.text, finish_reason=finished.reason)
    answer_id = how.answer_id(answer.started) if answer.started else ""
    return _encode(_completion(answer_id, [choice], _usage(finished.usage), how))


def _completion(answer_id: str, choices: list[_Choice], usage: _Usage | None, how: Rendering) -> _Completion:
    return _Completion(
        id=answer_id,
        object="text_completion",
        created=how.created,
        model=how.model,
        choices=choices,
        usage=usage,
    )


def _usage(usage: Usage) -> _Usage:
    return _Usage(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
