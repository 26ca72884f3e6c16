"""The items of an accumulated reply."""

from __future__ import annotations

from lib.chat.answer import Answer, ReasoningItem, TextItem
from lib.chat.events import Citation, ReasoningDelta, ReplyEvent, TextDelta


def test_an_empty_text_begins_no_item() -> None:
    empty: list[ReplyEvent] = [
        TextDelta(""),
        ReasoningDelta(""),
        TextDelta("a"),
        ReasoningDelta(""),
        TextDelta("b"),
    ]
    [item] = Answer(empty).items
    assert isinstance(item, TextItem)
    assert item.text == "ab"
    [thought] = Answer([ReasoningDelta("a"), TextDelta(""), ReasoningDelta("b")]).items
    assert isinstance(thought, ReasoningItem)
    assert thought.text == "ab"


def test_a_source_without_a_place_begins_a_text() -> None:
    source = Citation(1, "https://a.example/", "A", marked=False)
    [item] = Answer([source]).items
    assert isinstance(item, TextItem)
    assert [placed.citation for placed in item.track.sources()] == [source]


def test_a_text_says_the_words_that_an_event_adds() -> None:
    item = TextItem()
    assert item.add(TextDelta("a")) == "a"
    assert item.add(Citation(2, "https://a.example/", "A")) == "[2]"
    assert item.text == "a[2]"
