"""A whole reply, accumulated from its events. Every answer that is not streamed is made from an `Answer`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import assert_never

import msgspec

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
from lib.errors import UpstreamProtocolError


class PlacedSource(msgspec.Struct, frozen=True):
    """A source, and its place in the text: characters from `start` to `end`, equal if no marker shows it."""

    citation: Citation
    start: int
    end: int


class TextTrack:
    """Follows one text: its length so far, and the places of its sources. It does not keep the text."""

    def __init__(self) -> None:
        self.length = 0
        self._citations: list[tuple[Citation, int]] = []

    def add(self, event: TextDelta | Citation | ImageMade | Withdrawn) -> str:
        """Return the words that the event adds to a text that cannot take anything back."""
        match event:
            case TextDelta():
                text = event.text
            case Citation():
                text = event.marker
                self._citations.append((event, self.length))
            case ImageMade():
                text = event.markdown
            case Withdrawn():
                text = f"\n\n{event.words}" if event.words and self.length else event.words
            case _:
                assert_never(event)
        self.length += len(text)
        return text

    def sources(self) -> list[PlacedSource]:
        """Place the sources in the complete text; the unmarked ones stand at its end."""
        return [
            PlacedSource(citation, start, start + len(citation.marker))
            for citation, at in self._citations
            for start in (at if citation.marked else self.length,)
        ]


class TextItem:
    """A run of text between two calls."""

    def __init__(self) -> None:
        self.track = TextTrack()
        self._pieces: list[str] = []

    def add(self, event: TextDelta | Citation | ImageMade | Withdrawn) -> str:
        """Return the words that the event adds."""
        self._pieces.append(words := self.track.add(event))
        return words

    @property
    def text(self) -> str:
        return "".join(self._pieces)


class ReasoningItem:
    """A run of reasoning."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def add(self, event: ReasoningDelta) -> None:
        self._pieces.append(event.text)

    @property
    def text(self) -> str:
        return "".join(self._pieces)


class CallItem:
    """A call of one of the client's tools."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self._pieces: list[str] = []

    def add(self, event: ToolCallDelta) -> None:
        self.id = self.id or event.id or ""
        self.name = self.name or event.name or ""
        self._pieces.append(event.arguments)

    @property
    def arguments(self) -> str:
        return "".join(self._pieces)


Item = TextItem | ReasoningItem | CallItem


class Answer:
    """The whole reply, in order. `Rewritten` and `Withdrawn` replace its earlier text."""

    def __init__(self, events: Iterable[ReplyEvent] = ()) -> None:
        self.started: Started | None = None
        self.items: list[Item] = []
        self.images: list[ImageMade] = []
        self.ending: Finished | Failed | None = None
        self.add_all(events)

    def add_all(self, events: Iterable[ReplyEvent]) -> None:
        for event in events:
            self.add(event)

    def add(self, event: ReplyEvent) -> None:
        if self.ending is not None:
            return
        match event:
            case Started():
                self.started = event
            case TextDelta(text="") | ReasoningDelta(text=""):
                pass  # an item begins with its first word
            case TextDelta() | Citation() | ImageMade():
                self._text_item().add(event)
                if isinstance(event, ImageMade):
                    self.images.append(event)
            case ReasoningDelta():
                self._reasoning_item().add(event)
            case ToolCallDelta():
                self._call_item(event.index).add(event)
            case Rewritten():
                self._begin_again(event.events)
            case Withdrawn():
                self._begin_again((TextDelta(event.words),) if event.words else ())
            case Notice() | InterceptedCall():
                pass
            case Finished() | Failed():
                self.ending = event
            case _:
                assert_never(event)

    @property
    def text(self) -> str:
        return "".join(item.text for item in self.items if isinstance(item, TextItem))

    @property
    def reasoning(self) -> str:
        return "".join(item.text for item in self.items if isinstance(item, ReasoningItem))

    @property
    def calls(self) -> list[CallItem]:
        """The calls in the order in which the model made them, by their index."""
        return sorted((i for i in self.items if isinstance(i, CallItem)), key=lambda call: call.index)

    def sources(self) -> list[PlacedSource]:
        """Place the sources in the whole text; the unmarked ones stand at its end."""
        texts = [item for item in self.items if isinstance(item, TextItem)]
        end = sum(item.track.length for item in texts)
        placed: list[PlacedSource] = []
        before = 0
        for item in texts:
            placed += (_moved(source, before, end) for source in item.track.sources())
            before += item.track.length
        return placed

    def finished(self) -> Finished:
        """Return the ending of a complete reply; raise the error of a failed one.

        A reply without an ending raises UpstreamProtocolError.
        """
        match self.ending:
            case Finished():
                return self.ending
            case Failed():
                raise self.ending.error
            case None:
                raise UpstreamProtocolError("Expected the reply to end with its reason, got no end.")
            case _:
                assert_never(self.ending)

    def _begin_again(self, events: Sequence[ReplyEvent]) -> None:
        self.items = [item for item in self.items if isinstance(item, CallItem)]
        self.images = []
        self.add_all(events)

    def _text_item(self) -> TextItem:
        if not self.items or not isinstance(last := self.items[-1], TextItem):
            self.items.append(last := TextItem())
        return last

    def _reasoning_item(self) -> ReasoningItem:
        if not self.items or not isinstance(last := self.items[-1], ReasoningItem):
            self.items.append(last := ReasoningItem())
        return last

    def _call_item(self, index: int) -> CallItem:
        for item in reversed(self.items):
            if isinstance(item, CallItem) and item.index == index:
                return item
        self.items.append(item := CallItem(index))
        return item


def _moved(source: PlacedSource, by: int, end: int) -> PlacedSource:
    if not source.citation.marked:
        return PlacedSource(source.citation, end, end)
    return PlacedSource(source.citation, source.start + by, source.end + by)
