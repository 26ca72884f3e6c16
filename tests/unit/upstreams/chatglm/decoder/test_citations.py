from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.chat.events import Citation, TextDelta
from lib.upstreams.chatglm.decoder.citations import MAX_MARKER_CHARS, MarkerReader, Sources

TEXT = (
    "天气【turn0search3】晴【turn0search0，turn0search3】; see turn1search12, myturn0search0, "
    "turn0search99 【12†source】【2†来源】【其他】 and 【turn0search0 or so】 turn0search0"
)
RENDERED = (
    "天气[1]晴[2][1]; see [3], myturn0search0, "
    "turn0search99 【12†source】[2]【其他】 and 【turn0search0 or so】 [2]"
)


def sources() -> Sources:
    found = Sources()
    found.add("https://a.example", "A", "turn0search3")
    found.add("https://b.example", "B", "turn0search0")
    found.add("https://c.example", "", "turn1search12")
    found.add("https://a.example", "A", "turn0search3")
    return found


def read(pieces: list[str], found: Sources) -> list[TextDelta | Citation]:
    reader = MarkerReader(found)
    return [event for piece in pieces for event in reader.feed(piece)] + reader.end()


def shown(events: list[TextDelta | Citation]) -> str:
    return "".join(event.text if isinstance(event, TextDelta) else event.marker for event in events)


def test_markers_become_numbers_in_the_order_of_their_first_mention() -> None:
    events = read([TEXT], sources())
    assert shown(events) == RENDERED
    cited = [event for event in events if isinstance(event, Citation)]
    assert [(citation.number, citation.url) for citation in cited[:4]] == [
        (1, "https://a.example"),
        (2, "https://b.example"),
        (1, "https://a.example"),
        (3, "https://c.example"),
    ]
    assert cited[3].title == "https://c.example"  # a page without a title is named by its address


@pytest.mark.parametrize("cut", range(len(TEXT) + 1))
def test_a_marker_cut_anywhere_is_read_all_the_same(cut: int) -> None:
    assert shown(read([TEXT[:cut], TEXT[cut:]], sources())) == RENDERED


def test_a_marker_that_comes_letter_by_letter_is_read_all_the_same() -> None:
    assert shown(read(list(TEXT), sources())) == RENDERED


@given(st.lists(st.text(alphabet="【】†turn0search3 源a[", max_size=9), max_size=12))
def test_any_text_without_known_sources_passes_untouched(pieces: list[str]) -> None:
    assert shown(read(pieces, Sources())) == "".join(pieces)


@given(st.lists(st.text(alphabet="【】†turn0search3 ，", max_size=9), max_size=12))
def test_the_way_it_is_cut_changes_nothing(pieces: list[str]) -> None:
    assert shown(read(pieces, sources())) == shown(read(["".join(pieces)], sources()))


def test_an_open_bracket_is_held_back_for_a_marker_and_not_for_a_novel() -> None:
    reader = MarkerReader(Sources())
    assert shown(reader.feed("a 【")) == "a "
    assert shown(reader.feed("X" * (MAX_MARKER_CHARS - 1))) == ""
    assert shown(reader.feed("y")) == "【" + "X" * (MAX_MARKER_CHARS - 1) + "y"
    assert shown(reader.feed("【" + "turn0search3, " * 18)) == ""
    assert shown(reader.feed("turn0search3")) == "【" + "turn0search3, " * 18 + "turn0search3"


KEYS = ["turn0search3", "turn0search0", "turn1search12"]


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("".join(KEYS), "[1][2][3]"),
        ("a " + "".join(KEYS * 2) + ".", "a [1][2][3][1][2][3]."),
        ("【" + "".join(KEYS * 6) + "】", "[1][2][3]" * 6),
        ("【" + ", ".join(KEYS * 5) + "】!", "[1][2][3]" * 5 + "!"),
        ("turn0search3turn9search9", "turn0search3turn9search9"),
    ],
)
def test_keys_that_follow_each_other_are_each_cited(text: str, rendered: str) -> None:
    assert shown(read([text], sources())) == rendered
    assert shown(read(list(text), sources())) == rendered


def test_words_are_not_held_back_while_nothing_was_searched() -> None:
    assert shown(MarkerReader(Sources()).feed("to turn")) == "to turn"
    reader = MarkerReader(sources())
    assert shown(reader.feed("to turn")) == "to "
    assert shown(reader.feed("tle")) == "turntle"


def test_a_key_of_endless_digits_is_not_held_back_for_ever() -> None:
    reader = MarkerReader(sources())
    told = [event for _ in range(40) for event in reader.feed("turn0search0"[:12] if not _ else "1")]
    assert len(shown(told)) >= 10


def test_sources_that_the_text_does_not_mention_are_told_at_the_end() -> None:
    found = sources()
    assert [(citation.number, citation.marked, citation.marker) for citation in found.unmentioned()] == [
        (1, False, ""),
        (2, False, ""),
        (3, False, ""),
    ]
    mentioned = sources()
    read(["【turn0search0】"], mentioned)
    assert mentioned.unmentioned() == []


def test_a_marker_begins_at_its_own_bracket() -> None:
    assert shown(read(["【【3†】"], sources())) == "【[1]"


def test_a_marker_that_is_not_wholly_known_numbers_nothing() -> None:
    found = sources()
    assert (
        shown(read(["【turn0search0,turn0search9】 turn0search3"], found))
        == "【turn0search0,turn0search9】 [1]"
    )
    untouched = sources()
    read(["【turn0search0,turn0search9】"], untouched)
    assert len(untouched.unmentioned()) == 3


def test_a_long_bracket_that_is_no_marker_is_read_alike_in_one_piece_and_in_many() -> None:
    words = "W" * 70
    text = f"【{words} turn0search3 and more】 turn0search0"
    whole = read([text], sources())
    assert shown(whole) == f"【{words} [1] and more】 [2]"
    assert shown(read(list(text), sources())) == shown(whole)


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("晴【12†source】。", "晴。"),
        ("晴【3†来源】【1†源】。", "晴[1]。"),
        ("晴【9†源】【1†来源】", "晴[1]"),
        ("晴【12†脚注】【其他】", "晴【12†脚注】【其他】"),
        ("见【turn0search9】", "见【turn0search9】"),
    ],
)
def test_a_marker_with_a_number_too_high_goes_if_such_markers_have_sources(text: str, rendered: str) -> None:
    found = Sources()
    found.add("https://a.example", "A", None)
    assert shown(read([text], found)) == shown(read(list(text), found)) == rendered


def test_a_marker_with_a_number_stays_if_no_source_is_counted() -> None:
    assert shown(read(["【12†source】"], Sources())) == "【12†source】"
    assert shown(read(["【12†source】"], sources())) == "【12†source】"
