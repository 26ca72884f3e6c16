"""The official API's stream, turned into neutral events (official.md §3 and §4, 2026-11). It does no I/O."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from lib.chat.events import (
    Citation,
    Failed,
    Finished,
    FinishReason,
    ReasoningDelta,
    ReplyEvent,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from lib.errors import GatewayError, InvalidRequest, UpstreamProtocolError
from lib.sse import EventSplitter
from lib.upstreams.official.boxes import BoxReader
from lib.upstreams.official.wire import refusals

_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "sensitive": "content_filter",
    "content_filter": "content_filter",
}
WINDOW_EXCEEDED = "model_context_window_exceeded"
NETWORK_ERROR = "network_error"
MAX_TOKENS = 2**53
"""A larger number is no count, and not every client can read it."""


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: Any = None
    """A string in practice, an object in one of the vendor's schemas."""


class _Call(msgspec.Struct):
    id: str | None = None
    index: int | None = None
    """It is -1 for whole calls (seen 2025-09)."""
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: Any = None
    web_search: Any = None
    """Its form and that of the usage are not checked: an answer is good without them."""
    error: Any = None
    code: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode
_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Decoder:
    """Follows one stream. Its last event is a `Finished` or a `Failed`, and none comes after it."""

    def __init__(self, *, now: float, may_box: bool = False) -> None:
        self.id = ""
        self.model = ""
        self.has_ended = False
        self._now = now
        self._splitter = EventSplitter()
        self._box = BoxReader() if may_box else None
        self._blank = ""
        """The blank text before the first word. Some models begin with a line break."""
        self._has_said = False
        """A word, a thought or a call has come."""
        self._calls = _Calls()
        self._urls: dict[str, int] = {}
        self._reason = ""
        self._usage = Usage(0, 0)

    def feed(self, piece: bytes) -> list[ReplyEvent]:
        events: list[ReplyEvent] = []
        try:
            payloads = self._splitter.feed(piece)
        except UpstreamProtocolError as error:
            return self._fail(error)
        for payload in payloads:
            self._take(payload, events)
        return events

    def end(self) -> list[ReplyEvent]:
        """The connection has ended, properly or not: a stream without a reason is not complete."""
        events: list[ReplyEvent] = []
        for payload in self._splitter.end():
            self._take(payload, events)
        if not self.has_ended:
            events += self._conclude(is_done=False)
        return events

    def conclude_if_finished(self) -> list[ReplyEvent]:
        """Return the ending if the reason was told and only the last line is late; else nothing."""
        return self._conclude(is_done=False) if self._reason and not self.has_ended else []

    def _take(self, payload: bytes, events: list[ReplyEvent]) -> None:
        if self.has_ended or not payload:
            return
        if payload == b"[DONE]":
            events += self._conclude(is_done=True)
            return
        try:
            chunk = _decode(payload)
        except _UNDECODABLE:
            events += self._fail(UpstreamProtocolError("The official API sent an event that is no chunk."))
            return
        if chunk.error is not None or (chunk.choices is None and chunk.code is not None):
            events += self._fail(_error_of(payload, self._now))
            return
        self._read(chunk, events)

    def _read(self, chunk: _Chunk, events: list[ReplyEvent]) -> None:
        self.id = self.id or chunk.id or ""
        self.model = chunk.model or self.model
        for choice in chunk.choices or ():
            if choice.delta is not None:
                self._read_delta(choice.delta, events)
            self._reason = choice.finish_reason or self._reason
        if chunk.web_search:
            events += self._sources(chunk.web_search)
        if chunk.usage is not None:
            self._usage = _usage_of(chunk.usage)

    def _read_delta(self, delta: _Delta, events: list[ReplyEvent]) -> None:
        if delta.reasoning_content:
            self._has_said = True
            events.append(ReasoningDelta(delta.reasoning_content))
        if delta.content:
            for event in self._box.feed(delta.content) if self._box else (TextDelta(delta.content),):
                events += self._worded(event)
        for call in delta.tool_calls or ():
            if pieces := self._calls.read(call):
                self._has_said = True
                events += pieces

    def _worded(self, event: TextDelta | ReasoningDelta) -> list[ReplyEvent]:
        """Hold blank text back until a word comes: an answer of blanks alone is none."""
        if isinstance(event, TextDelta) and not self._has_said:
            if event.text.isspace():
                self._blank += event.text
                return []
            event, self._blank = TextDelta(self._blank + event.text), ""
        self._has_said = True
        return [event]

    def _sources(self, found: Any) -> Iterator[Citation]:
        for source in found if isinstance(found, list) else ():
            url, title = (_told(source, name) for name in ("link", "title"))
            if isinstance(url, str) and url.startswith(("http://", "https://")) and url not in self._urls:
                self._urls[url] = len(self._urls) + 1
                words = title if isinstance(title, str) and title else url
                yield Citation(self._urls[url], url, words, marked=False)

    def _conclude(self, *, is_done: bool) -> list[ReplyEvent]:
        events: list[ReplyEvent] = []
        for event in self._box.finish() if self._box else ():
            events += self._worded(event)
        events += self._ending(is_done=is_done)
        self.has_ended = True
        return events

    def _ending(self, *, is_done: bool) -> list[ReplyEvent]:
        reason = self._reason
        if reason == NETWORK_ERROR:
            return self._fail(UpstreamProtocolError("The official API ended with a network error."))
        if reason == WINDOW_EXCEEDED:
            return self._window_exceeded()
        if not self._has_said and reason not in ("sensitive", "content_filter"):
            return self._fail(_empty(reason))
        if not reason and not is_done:
            return self._fail(UpstreamProtocolError("The official API's answer broke off in the middle."))
        ours = _REASONS.get(reason, "stop")
        if self._calls.count and ours == "stop":
            ours = "tool_calls"
        return [Finished(ours, self._usage)]

    def _window_exceeded(self) -> list[ReplyEvent]:
        if self._has_said:
            return [Finished("length", self._usage)]
        message = "The conversation is longer than the model's context."
        return self._fail(InvalidRequest(message, code="context_length_exceeded", param="messages"))

    def _fail(self, error: GatewayError) -> list[ReplyEvent]:
        self.has_ended = True
        return [Failed(error)]


class _Calls:
    """The calls of an answer, numbered by their ids in the order in which they begin."""

    def __init__(self) -> None:
        self.count = 0
        self._by_id: dict[str, int] = {}
        self._by_index: dict[int, int] = {}

    def read(self, call: _Call) -> list[ReplyEvent]:
        function = call.function or _Function()
        arguments = _text_of(function.arguments)
        number = self._known(call, function)
        if number is not None:
            return [ToolCallDelta(number, arguments)] if arguments else []
        number = self._begin(call)
        return [ToolCallDelta(number, arguments, call.id or f"call_{number + 1}", function.name or "")]

    def _known(self, call: _Call, function: _Function) -> int | None:
        """Find the call that a piece goes on with: by its id, by its index, or the last one."""
        if call.id:
            return self._by_id.get(call.id)
        if call.index is not None and call.index >= 0:
            return self._by_index.get(call.index)
        return None if function.name or not self.count else self.count - 1

    def _begin(self, call: _Call) -> int:
        number = self.count
        self.count += 1
        if call.id:
            self._by_id[call.id] = number
        if call.index is not None and call.index >= 0:
            self._by_index[call.index] = number
        return number


def _text_of(arguments: Any) -> str:
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()


def _error_of(payload: bytes, now: float) -> GatewayError:
    found = refusals.error_in(json.loads(payload), now=now)
    return found or UpstreamProtocolError("The official API ended the answer with an error.")


def _empty(reason: str) -> GatewayError:
    """Return the error for an answer without a word. A schema that the API cannot read is one cause."""
    if reason == "length":
        return UpstreamProtocolError(
            "The official API reached the limit of tokens before the first word. Allow more max_tokens."
        )
    return UpstreamProtocolError("The official API answered without a single word.")


def _usage_of(usage: Any) -> Usage:
    return Usage(
        _count(_told(usage, "prompt_tokens")),
        _count(_told(usage, "completion_tokens")),
        _count(_told(_told(usage, "completion_tokens_details"), "reasoning_tokens")),
        _count(_told(_told(usage, "prompt_tokens_details"), "cached_tokens")),
    )


def _told(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _count(value: Any) -> int:
    """Return a number of tokens; 0 for everything that is none."""
    return int(value) if isinstance(value, int | float) and 0 <= value < MAX_TOKENS else 0
