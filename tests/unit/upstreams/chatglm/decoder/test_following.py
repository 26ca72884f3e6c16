"""FollowedText: what a stream is shown, joined, is the text, in whichever way the upstream tells it."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.upstreams.chatglm.decoder.following import FollowedText, Reading

fragments = st.lists(st.text(max_size=12), max_size=20)


@given(fragments)
def test_increments_are_taken_verbatim(values: list[str]) -> None:
    followed = FollowedText(Reading.UNDECIDED)
    assert "".join(map(followed.append, values)) == "".join(values) == followed.whole


@given(fragments)
def test_snapshots_that_say_so_give_what_is_new(values: list[str]) -> None:
    followed = FollowedText(Reading.UNDECIDED)
    assert "".join(map(followed.settle, accumulate(values))) == "".join(values) == followed.whole
    assert not followed.rewritten


@given(fragments)
def test_unmarked_snapshots_are_told_in_full_by_their_settling(values: list[str]) -> None:
    followed = FollowedText(Reading.UNDECIDED)
    sent = "".join(map(followed.take, accumulate(values)))
    assert sent + followed.settle("".join(values)) == "".join(values)
    assert not followed.rewritten


@given(fragments)
def test_unmarked_increments_are_told_in_full_unless_each_repeats_the_one_before(values: list[str]) -> None:
    told = [value for value in values if value]
    chained = any(later.startswith(earlier) for earlier, later in pairwise(told))
    followed = FollowedText(Reading.UNDECIDED)
    sent = "".join(map(followed.take, values))
    sent += followed.settle("".join(values))
    if not chained:
        assert sent == "".join(values)
    assert followed.whole == "".join(values)


@pytest.mark.parametrize(
    "values",
    [
        ["1", ",", ",", " 2"],  # two equal neighbours are two
        [",", ",", " a"],
        ["哈", "哈", "哈哈", "！"],
        ["=", "==", "====", "\n"],  # one repeated character extends itself and is still an increment
        ["a", "ab", "c"],
    ],
)
def test_ambiguous_increments_lose_nothing(values: list[str]) -> None:
    followed = FollowedText(Reading.UNDECIDED)
    sent = "".join(map(followed.take, values))
    assert sent == "".join(values)
    assert followed.reading is Reading.INCREMENTS


def test_ambiguous_values_show_only_what_both_readings_begin_with() -> None:
    followed = FollowedText(Reading.UNDECIDED)
    assert followed.take("a") == "a"
    assert followed.take("ab") == ""  # "ab", or "aab": after the first letter they part
    assert followed.take("abc") == "bc"  # twice in a row is no coincidence any more
    assert followed.reading is Reading.SNAPSHOTS


def test_a_snapshot_stream_is_recognized_by_its_second_long_value() -> None:
    followed = FollowedText(Reading.UNDECIDED)
    assert followed.take("从前有一座山，山上") == "从前有一座山，山上"
    assert followed.take("从前有一座山，山上有座庙") == "有座庙"


def test_the_full_text_decides_how_the_streams_next_text_is_read() -> None:
    snapshots, increments = FollowedText(Reading.UNDECIDED), FollowedText(Reading.UNDECIDED)
    for followed in (snapshots, increments):
        followed.take("a")
        followed.take("ab")
    assert snapshots.settle("ab") == "b"
    assert increments.settle("aab") == "ab"
    assert (snapshots.reading, increments.reading) == (Reading.SNAPSHOTS, Reading.INCREMENTS)


def test_a_rewritten_text_sends_nothing_and_is_known_in_full() -> None:
    followed = FollowedText(Reading.INCREMENTS)
    followed.append("The answer is 41")
    assert followed.settle("The answer is 42.") == ""
    assert followed.rewritten
    assert followed.whole == "The answer is 42."


def test_an_empty_value_says_nothing() -> None:
    followed = FollowedText(Reading.UNDECIDED)
    followed.append("text")
    assert (followed.take(""), followed.settle("")) == ("", "")
    assert followed.whole == "text"
    assert not followed.rewritten


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (["a"], "a"),
        ([",", ","], ",,"),
        (["好的", "好的，我来"], "好的，我来"),
        (["--", "----"], "------"),
    ],
)
def test_a_text_that_is_never_settled_ends_in_its_more_probable_reading(values: list[str], text: str) -> None:
    followed = FollowedText(Reading.UNDECIDED)
    assert "".join(map(followed.take, values)) + followed.end() == text
    assert followed.end() == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [("=", "=" * 70), ("ab", "ab" * 70), ("The same again", "The same again"), ("========", "=" * 560)],
)
def test_what_is_in_doubt_for_very_long_is_decided(value: str, text: str) -> None:
    followed = FollowedText(Reading.UNDECIDED)
    assert "".join(followed.take(value) for _ in range(70)) == text
    assert followed.reading is not Reading.UNDECIDED


def test_a_flagged_increment_settles_the_doubt_before_it() -> None:
    followed = FollowedText(Reading.UNDECIDED)
    followed.take("x")
    assert followed.take("xy") == ""
    assert followed.append("z") == "xyz"
    assert followed.whole == "xxyz"


def test_values_after_a_settled_text_are_measured_against_all_of_it() -> None:
    followed = FollowedText(Reading.UNDECIDED)
    followed.settle("A first part")
    assert followed.take("A first part, and more") == ", and more"
    other = FollowedText(Reading.UNDECIDED)
    other.settle("A first part")
    assert other.take(" and more") == " and more"
