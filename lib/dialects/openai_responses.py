"""OpenAI's Responses dialect: its answers here, its requests in `openai_responses_request`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

import msgspec

from lib import sse
from lib.chat.answer import Answer, CallItem, PlacedSource, ReasoningItem, TextItem
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
    Withdrawn,
)
from lib.dialects import openai_errors
from lib.dialects.interface import Rendering
from lib.dialects.openai_responses_items import (
    OutputItem,
    OutputText,
    SearchItem,
    Status,
    SummaryText,
    WireItem,
    annotation,
    begun_call,
    built,
    free_text,
    item_id,
    ordered_sources,
    output_of,
    output_text,
    with_search,
)
from lib.dialects.openai_responses_object import ended, failed, is_complete, ongoing, param_of
from lib.dialects.openai_responses_request import AskedResponse, parse
from lib.errors import GatewayError

__all__ = ["HEARTBEAT", "ResponseRenderer", "error_body", "parse", "render", "renderer"]

HEARTBEAT = sse.COMMENT


class _Open:
    """An item of the output, and its place in it."""

    def __init__(self, item: OutputItem, name: str, index: int) -> None:
        self.item = item
        self.name = name
        self.index = index
        self.is_done = False
        self.annotated = 0
        """How many of its sources have an event."""


class _Writer:
    """Writes events, each with the next number."""

    def __init__(self) -> None:
        self._number = 0

    def event(self, kind: str, /, **fields: object) -> bytes:
        event = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return b"event: %b\n" % kind.encode() + sse.encode_data(msgspec.json.encode(event))

    def of(self, kind: str, opened: _Open, /, **fields: object) -> bytes:
        """Write an event of an item."""
        return self.event(f"response.{kind}", item_id=opened.name, output_index=opened.index, **fields)

    def item(self, kind: str, opened: _Open, item: WireItem) -> bytes:
        return self.event(f"response.output_item.{kind}", output_index=opened.index, item=item)

    def response(self, kind: str, response: bytes) -> bytes:
        return self.event(f"response.{kind}", response=msgspec.Raw(response))


class ResponseRenderer:
    """Turns a reply's events into the events of a response.

    A call stays open until the reply ends, since its pieces may come at any time. A text or a run of
    reasoning ends with the beginning of another item.
    """

    def __init__(self, asked: AskedResponse, how: Rendering) -> None:
        self._asked = asked
        self._how = how
        self._write = _Writer()
        self._id = ""
        self._opened: list[_Open] = []
        self._current: _Open | None = None
        """The text or the reasoning that is being written."""
        self._calls: dict[int, _Open] = {}
        self._search: _Open | None = None
        self._is_ended = False

    def feed(self, events: Sequence[ReplyEvent]) -> bytes:
        """Return the frames of these events. Neighbouring texts share one; nothing follows an ending."""
        frames: list[bytes] = []
        for event in _joined(events):
            if self._is_ended:
                break
            frames += self._frames(event)
        return b"".join(frames)

    def _frames(self, event: ReplyEvent) -> Iterator[bytes]:
        match event:
            case Started():
                yield from self._begin(self._how.answer_id(event))
            case TextDelta() | Citation() | ImageMade() | Withdrawn():
                yield from self._say(event)
            case ReasoningDelta():
                yield from self._think(event)
            case ToolCallDelta():
                yield from self._call(event)
            case Notice() | Rewritten() | InterceptedCall():
                pass
            case Finished():
                yield from self._finish(event)
            case Failed():
                yield from self._fail(event.error)
            case _:
                assert_never(event)

    def _begin(self, name: str) -> Iterator[bytes]:
        self._id = name
        response = ongoing(self._asked, self._how, name)
        yield self._write.response("created", response)
        yield self._write.response("in_progress", response)

    def _say(self, event: TextDelta | Citation | ImageMade | Withdrawn) -> Iterator[bytes]:
        opened = self._current
        if opened is None or not isinstance(opened.item, TextItem):
            yield from self._close_current()
            opened = self._current = self._open(TextItem())
            yield self._added(opened)
            yield self._write.of("content_part.added", opened, content_index=0, part=OutputText())
        assert isinstance(opened.item, TextItem)
        if delta := opened.item.add(event):
            yield self._write.of("output_text.delta", opened, content_index=0, delta=delta, logprobs=())
        if isinstance(event, Citation):
            yield from self._cite(event, opened, opened.item)

    def _cite(self, event: Citation, opened: _Open, item: TextItem) -> Iterator[bytes]:
        if event.marked:
            end = item.track.length
            yield self._annotated(opened, PlacedSource(event, end - len(event.marker), end))
        if self._search is None:
            self._search = self._open(SearchItem())
            yield self._added(self._search)
            for stage in ("in_progress", "searching", "completed"):
                yield self._write.of(f"web_search_call.{stage}", self._search)
        assert isinstance(self._search.item, SearchItem)
        self._search.item.citations.append(event)

    def _think(self, event: ReasoningDelta) -> Iterator[bytes]:
        opened = self._current
        if opened is None or not isinstance(opened.item, ReasoningItem):
            yield from self._close_current()
            opened = self._current = self._open(ReasoningItem())
            yield self._added(opened)
            yield self._write.of("reasoning_summary_part.added", opened, summary_index=0, part=SummaryText())
        assert isinstance(opened.item, ReasoningItem)
        opened.item.add(event)
        yield self._write.of("reasoning_summary_text.delta", opened, summary_index=0, delta=event.text)

    def _call(self, event: ToolCallDelta) -> Iterator[bytes]:
        opened = self._calls.get(event.index)
        if opened is None:
            yield from self._close_current()
            opened = self._calls[event.index] = self._open(begun_call(event))
            yield self._added(opened)
        assert isinstance(opened.item, CallItem)
        opened.item.add(event)
        # A free-form input can be read from its JSON only when that is whole.
        if event.arguments and self._asked.toolbox.wire(opened.item.name).kind == "function":
            yield self._write.of("function_call_arguments.delta", opened, delta=event.arguments)

    def _finish(self, end: Finished) -> Iterator[bytes]:
        yield from self._close_current("completed" if is_complete(end) else "incomplete")
        for opened in self._opened:
            if not opened.is_done:
                yield from self._close(opened, "completed")
        output = output_of([opened.item for opened in self._opened], self._id, self._asked, end)
        response = ended(self._asked, self._how, self._id, output=output, end=end)
        self._is_ended = True
        yield self._write.response("completed" if is_complete(end) else "incomplete", response)

    def _fail(self, error: GatewayError) -> Iterator[bytes]:
        if not self._id:
            yield from self._begin(f"resp_{self._how.created:x}")
        output = [
            built(opened.item, opened.name, self._asked, "completed" if opened.is_done else "incomplete")
            for opened in self._opened
        ]
        self._is_ended = True
        response = failed(self._asked, self._how, self._id, output=output, error=error)
        yield self._write.response("failed", response)

    def _open(self, item: OutputItem) -> _Open:
        index = len(self._opened)
        self._opened.append(opened := _Open(item, item_id(item, self._id, index), index))
        return opened

    def _close_current(self, status: Status = "completed") -> Iterator[bytes]:
        if self._current is not None:
            yield from self._close(self._current, status)
            self._current = None

    def _close(self, opened: _Open, status: Status) -> Iterator[bytes]:
        opened.is_done = True
        match opened.item:
            case TextItem():
                yield from self._close_text(opened, opened.item)
            case ReasoningItem():
                yield from self._close_reasoning(opened, opened.item.text)
            case CallItem():
                yield from self._close_call(opened, opened.item)
            case SearchItem():
                pass
            case _:
                assert_never(opened.item)
        item = built(opened.item, opened.name, self._asked, status)
        yield self._write.item("done", opened, item)

    def _close_text(self, opened: _Open, item: TextItem) -> Iterator[bytes]:
        for source in ordered_sources(item):
            if not source.citation.marked:
                yield self._annotated(opened, source)
        part = output_text(item)
        yield self._write.of("output_text.done", opened, content_index=0, text=part.text, logprobs=())
        yield self._write.of("content_part.done", opened, content_index=0, part=part)

    def _close_reasoning(self, opened: _Open, text: str) -> Iterator[bytes]:
        yield self._write.of("reasoning_summary_text.done", opened, summary_index=0, text=text)
        part = SummaryText(text=text)
        yield self._write.of("reasoning_summary_part.done", opened, summary_index=0, part=part)

    def _close_call(self, opened: _Open, item: CallItem) -> Iterator[bytes]:
        kind = self._asked.toolbox.wire(item.name).kind
        if kind == "function":
            yield self._write.of("function_call_arguments.done", opened, arguments=item.arguments)
        if kind == "custom":
            text = free_text(item.arguments)
            yield self._write.of("custom_tool_call_input.delta", opened, delta=text)
            yield self._write.of("custom_tool_call_input.done", opened, input=text)

    def _added(self, opened: _Open) -> bytes:
        item = built(opened.item, opened.name, self._asked, "in_progress")
        return self._write.item("added", opened, item)

    def _annotated(self, opened: _Open, source: PlacedSource) -> bytes:
        index = opened.annotated
        opened.annotated += 1
        return self._write.of(
            "output_text.annotation.added",
            opened,
            content_index=0,
            annotation_index=index,
            annotation=annotation(source),
        )


def renderer(asked: AskedResponse, how: Rendering) -> ResponseRenderer:
    return ResponseRenderer(asked, how)


def render(asked: AskedResponse, answer: Answer, how: Rendering) -> bytes:
    """Return the whole answer. Raise the error of a reply that failed or has no ending."""
    end = answer.finished()
    name = how.answer_id(answer.started) if answer.started is not None else ""
    output = output_of(with_search(answer.items), name, asked, end)
    return ended(asked, how, name, output=output, end=end)


def error_body(error: GatewayError) -> bytes:
    return openai_errors.error_body(error, param=param_of(error))


def _joined(events: Sequence[ReplyEvent]) -> Iterator[ReplyEvent]:
    """Join neighbouring texts, and leave out empty ones."""
    kind: type[TextDelta] | type[ReasoningDelta] = TextDelta
    run = ""
    for event in events:
        if isinstance(event, TextDelta | ReasoningDelta):
            if run and type(event) is not kind:
                yield kind(run)
                run = ""
            kind, run = type(event), run + event.text
            continue
        if run:
            yield kind(run)
            run = ""
        yield event
    if run:
        yield kind(run)
