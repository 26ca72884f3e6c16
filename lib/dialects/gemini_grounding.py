"""The sources of an answer in Google's form: chunks, and the segments of the text that they support."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, UnsetType

from lib.chat.answer import Answer, TextTrack
from lib.chat.events import Citation, ImageMade, TextDelta, Withdrawn


class _Web(msgspec.Struct):
    uri: str
    title: str


class _Chunk(msgspec.Struct):
    web: _Web


class _Segment(msgspec.Struct, rename="camel"):
    start_index: int
    """In bytes of the answer's text in UTF-8, as Google counts."""
    end_index: int
    text: str


class _Support(msgspec.Struct, rename="camel"):
    segment: _Segment
    grounding_chunk_indices: list[int]


class Grounding(msgspec.Struct, rename="camel"):
    grounding_chunks: list[_Chunk]
    grounding_supports: list[_Support]
    web_search_queries: list[str]
    """Always empty: the upstream does not tell its queries."""


class Place(msgspec.Struct, frozen=True):
    """A source, and the bytes of the text that its marker takes."""

    citation: Citation
    start: int
    end: int


class PlaceTrack:
    """Follows a streamed text in bytes. It does not keep the text."""

    def __init__(self) -> None:
        self._track = TextTrack()
        self._size = 0
        self._places: list[Place] = []

    def add(self, event: TextDelta | Citation | ImageMade | Withdrawn) -> str:
        """Return the words that the event adds."""
        text = self._track.add(event)
        start, self._size = self._size, self._size + _bytes(text)
        if isinstance(event, Citation):
            self._places.append(Place(event, start, self._size))
        return text

    def grounding(self) -> Grounding | UnsetType:
        return _grounding(self._places)


def grounding_of(answer: Answer) -> Grounding | UnsetType:
    text = answer.text
    places = [
        Place(placed.citation, _bytes(text[: placed.start]), _bytes(text[: placed.end]))
        for placed in answer.sources()
    ]
    return _grounding(places)


def _grounding(places: Sequence[Place]) -> Grounding | UnsetType:
    """Name each source once. An unmarked source supports no segment."""
    if not places:
        return UNSET
    numbers: dict[str, int] = {}
    chunks: list[_Chunk] = []
    supports: list[_Support] = []
    for place in places:
        citation = place.citation
        index = numbers.setdefault(citation.url, len(chunks))
        if index == len(chunks):
            chunks.append(_Chunk(_Web(citation.url, citation.title)))
        if citation.marked:
            supports.append(_Support(_Segment(place.start, place.end, citation.marker), [index]))
    return Grounding(chunks, supports, [])


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
