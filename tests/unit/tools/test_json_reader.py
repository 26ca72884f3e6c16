"""Structured output: what streams, what is mended, what is asked again, and what is an error."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lib.chat.events import (
    Citation,
    Failed,
    Finished,
    ImageMade,
    ReasoningDelta,
    ReplyEvent,
    Rewritten,
    TextDelta,
    ToolCallDelta,
    Withdrawn,
)
from lib.chat.request import JsonFormat
from lib.chat.stages.pipeline import Pipeline
from lib.errors import UpstreamProtocolError
from lib.tools.json_reader import JsonReader
from tests.unit.tools.samples import TEXT, box_of, notices, reader_of, say, summary

PERSON = JsonFormat(
    schema={
        "type": "object",
        "properties": {"name": TEXT, "age": {"type": "integer"}, "tags": {"type": "array", "items": TEXT}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
)
ANN = '{"name": "Ann", "age": 5}'


def answer(text: str, wanted: JsonFormat = PERSON, *, is_streamed: bool = False) -> tuple[str, str]:
    reader = JsonReader(wanted, is_streamed=is_streamed)
    out = [event for piece in say(text) for event in reader.feed([piece])]
    told = summary(out, reader.repair)
    return told.text, told.ending


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        ANN,
        f"\n  {ANN}\n",
        f"Here it is:\n{ANN}\nI hope that this helps.",
        f"```json\n{ANN}\n```",
        f"Sure!\n\n```\n{ANN}\n```\nDone.",
        f"\ufeff{ANN}",
    ],
)
def test_chatter_and_fences_are_taken_off(text: str, is_streamed: bool) -> None:
    assert answer(text, is_streamed=is_streamed) == (ANN, "stop")


SLOPPY = [
    ('{"name": "Ann", "age": 5,}', {"name": "Ann", "age": 5}),
    ('{"name": "A\nnn", "age": 5}', {"name": "A\nnn", "age": 5}),
    ('{"name": "C:\\dir", "age": 5}', {"name": "C:\\dir", "age": 5}),
    ('{"name": "Ann", "age": 5, "tags": []', {"name": "Ann", "age": 5, "tags": []}),
    ('{"age": 5, "name": "Ann", "tags": ["a",', {"name": "Ann", "age": 5, "tags": ["a"]}),
    (f"[a b]\n{ANN}", {"name": "Ann", "age": 5}),
    ('{"age": 5, "name": "Ann",', {"name": "Ann", "age": 5}),
    ("{name: 'Ann', age: 5} // Ann", {"name": "Ann", "age": 5}),
    ('{"name": "Ann" "age": 5}', {"name": "Ann", "age": 5}),
    ('{"name": "Ann", age: 5}', {"name": "Ann", "age": 5}),
    ('{"name": "Ann", /* years */ "age": 5}', {"name": "Ann", "age": 5}),
    ('{"age": 5, "name": \'Ann\'}', {"name": "Ann", "age": 5}),
    ('{"name": "A\x01", "age": 5, "tags": []}', {"name": "A\x01", "age": 5, "tags": []}),
    (f"The set {{a}}:\n{ANN}", {"name": "Ann", "age": 5}),
    ('{"name": "Ann", "tags": ["a",], "age": 5 ', {"name": "Ann", "tags": ["a"], "age": 5}),
]


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(("text", "value"), SLOPPY)
def test_sloppy_json_is_mended(text: str, value: object, is_streamed: bool) -> None:
    said, ending = answer(text, is_streamed=is_streamed)
    assert (json.loads(said), ending) == (value, "stop")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"name": "An "n" n", "age": 5}', {"name": 'An "n" n', "age": 5}),
        ('{"name": "Ann", "age": "5"}', {"name": "Ann", "age": 5}),
        ('{"name": "Ann", "age": 5.0, "tags": "a"}', {"name": "Ann", "age": 5, "tags": ["a"]}),
        ('{"name": "Ann", "age": 5, "why": 1}', {"name": "Ann", "age": 5}),
    ],
)
def test_an_answer_in_one_piece_is_mended_and_typed(text: str, value: object) -> None:
    said, ending = answer(text)
    assert (json.loads(said), ending) == (value, "stop")


@pytest.mark.parametrize(
    "text",
    ['{"name": "An', '{"name": "Ann", "age', '{"name": "Ann", "age": 1', "No.", '{"name": "Ann"}', "[1]"],
)
def test_a_bad_answer_is_asked_again_once(text: str) -> None:
    reader = JsonReader(PERSON, is_streamed=False)
    out = reader.feed(say([text]))
    assert (summary(out, reader.repair).items, notices(out)) == ((), ["json_repair"])
    assert reader.repair is not None
    assert "whole JSON value" in reader.repair
    again = reader.feed(say([ANN]))
    assert summary(again, reader.repair) == summary(say([ANN]), None)


def test_an_empty_value_before_the_answer_is_passed_over() -> None:
    assert answer(f"{{}}\n{ANN}") == (ANN, "stop")
    assert answer("{?}") == ("", "repair")


def test_the_fault_is_named() -> None:
    reader = JsonReader(PERSON, is_streamed=False)
    reader.feed(say(['{"name": "Ann", "age": "old"}']))
    assert 'age must be an integer, got "old"' in (reader.repair or "")
    ending = reader.feed(say(['{"name": "Ann"}']))[-1]
    assert isinstance(ending, Failed)
    assert ending.error.code == "invalid_model_output"
    assert ending.error.status == 502
    assert "asked twice: age is missing" in ending.error.message


def test_the_error_of_a_value_that_was_streamed_says_nothing_of_a_second_try() -> None:
    reader = JsonReader(PERSON, is_streamed=True)
    ending = reader.feed(say(['{"name": "Ann"}']))[-1]
    assert isinstance(ending, Failed)
    assert reader.repair is None
    assert ending.error.message == "The model's JSON does not satisfy the schema: age is missing."


def test_clean_json_streams_as_it_comes() -> None:
    reader = JsonReader(PERSON, is_streamed=True)
    shown = [
        summary(reader.feed([TextDelta(piece)]), None).text
        for piece in ('{"na', 'me": "An', 'n", ', '"age": ')
    ]
    assert shown == ['{"na', 'me": "An', 'n"', ', "age":']


def test_a_streamed_value_of_the_wrong_type_stays_as_it_is() -> None:
    assert answer('{"name": "Ann", "age": "5"}', is_streamed=True) == ('{"name": "Ann", "age": "5"}', "stop")


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "Ann"}',
        '{"name": "Ann", "age": ',
        '{"name": "Ann", "age": 5, "ta',
        '{"name": "An',
        '{"name": "An "n", "age": 5}',
        '{"name": "Ann", "age": ?}',
        '{"name": "Ann", "age": 05}',
        '{"name": "Ann", "age": Trux}',
        '{"name": "Ann"] "age": 5}',
        '{"name": "Ann", "age": 1., "tags": ?}',
    ],
)
def test_a_stream_cannot_take_back_so_that_a_fault_in_it_is_an_error(text: str) -> None:
    said, ending = answer(text, is_streamed=True)
    assert ending == "invalid_model_output"
    assert text.startswith(said.removesuffix('"05"}'))


def test_a_stream_of_words_is_asked_again() -> None:
    assert answer("I cannot do that.", is_streamed=True) == ("", "repair")


def test_closers_are_supplied_to_a_stream() -> None:
    assert answer('{"name": "Ann", "age": 5, "tags": ["a"', is_streamed=True) == (
        '{"name": "Ann", "age": 5, "tags": ["a"]}',
        "stop",
    )


def test_any_object_satisfies_json_object() -> None:
    assert answer('{"a": [1]}', JsonFormat()) == ('{"a": [1]}', "stop")
    assert answer("[1]", JsonFormat()) == ("", "repair")


def test_a_list_or_a_number_may_be_the_value() -> None:
    assert answer("So:\n[1, 2]", JsonFormat(schema={"type": "array"}), is_streamed=True) == ("[1, 2]", "stop")
    assert answer("42", JsonFormat(schema={"type": "integer"}), is_streamed=True) == ("42", "stop")


def test_an_answer_that_was_cut_stays_as_it_is() -> None:
    for is_streamed in (False, True):
        reader = JsonReader(PERSON, is_streamed=is_streamed)
        told = summary(reader.feed(say(['{"name": "An'], "length")), reader.repair)
        assert (told.text, told.ending) == ('{"name": "An', "length")


def test_the_words_of_moderation_are_shown() -> None:
    reader = JsonReader(PERSON, is_streamed=False)
    told = summary(reader.feed(say(["No such thing."], "content_filter")), reader.repair)
    assert (told.text, told.ending) == ("No such thing.", "content_filter")


def test_calls_pass_and_the_words_before_them_do_not() -> None:
    reader = JsonReader(PERSON, is_streamed=True)
    events: list[ReplyEvent] = [ToolCallDelta(0, "{}", "c", "now"), Finished("tool_calls")]
    assert reader.feed([TextDelta("I look."), *events]) == events


def test_words_behind_a_fault_are_shown_if_the_answer_was_cut() -> None:
    reader = JsonReader(PERSON, is_streamed=True)
    out = [event for piece in ('{"name": "Ann", ag', "e: 5") for event in reader.feed([TextDelta(piece)])]
    told = summary([*out, *reader.feed([Finished("length")])], reader.repair)
    assert (told.text, told.ending) == ('{"name": "Ann", age: 5', "length")


def test_json_behind_many_words_is_looked_for_at_the_end() -> None:
    assert answer("word " * 1_000 + f"\n{ANN}", is_streamed=True) == (ANN, "stop")


def test_an_image_is_no_part_of_the_value() -> None:
    reader = JsonReader(PERSON, is_streamed=True)
    out = reader.feed([ImageMade("https://a.example/i.png"), TextDelta(ANN), Finished("stop")])
    assert notices(out) == ["json_image"]
    assert summary(out, None).text == ANN


def test_a_cut_answer_ends_with_the_upstreams_last_word_on_it() -> None:
    reader = JsonReader(PERSON, is_streamed=True)
    last = Rewritten((TextDelta("{"),))
    assert last in reader.feed([TextDelta('{"name'), last, Finished("length")])


def test_nothing_of_a_withdrawn_answer_is_shown() -> None:
    reader = JsonReader(PERSON, is_streamed=False)
    ending: list[ReplyEvent] = [Withdrawn("No."), Finished("content_filter")]
    assert reader.feed([TextDelta('{"name'), *ending]) == ending


def beside_tools() -> Pipeline:
    return Pipeline((reader_of(box_of(json_format=PERSON)), JsonReader(PERSON, is_streamed=False)))


def test_a_json_answer_beside_tools_is_asked_again_once() -> None:
    stages = beside_tools()
    assert summary(stages.feed(say(["Well."])), stages.repair).ending == "repair"
    told = summary(stages.feed(say([f"So:\n{ANN}"])), stages.repair)
    assert (told.text, told.ending) == (ANN, "stop")


def test_the_second_turn_may_be_a_call_beside_a_json_answer() -> None:
    stages = beside_tools()
    stages.feed(say(["Well."]))
    told = summary(stages.feed(say(["<bridge_run><tool>now</tool></bridge_run>"])), stages.repair)
    assert (told.items, told.ending) == ((("now", {}),), "tool_calls")


def test_a_call_and_an_answer_are_not_both_asked_again() -> None:
    stages = beside_tools()
    assert stages.feed(say(["<bridge_run><tool>fly</tool></bridge_run>"]))
    assert stages.repair is not None
    assert summary(stages.feed(say(["Well."])), stages.repair).ending == "invalid_model_output"


def test_other_events_pass() -> None:
    reader = JsonReader(PERSON, is_streamed=False)
    failed = Failed(UpstreamProtocolError("cut"))
    assert reader.feed([ReasoningDelta("hm"), TextDelta("x"), failed]) == [ReasoningDelta("hm"), failed]


def test_a_source_inside_a_value_is_written_into_it() -> None:
    source = Citation(1, "https://a.example", "A")
    events: list[ReplyEvent] = [TextDelta('{"name": "Ann'), source, TextDelta('", "age": 5}')]
    whole = JsonReader(PERSON, is_streamed=False).feed([*events, Finished("stop")])
    assert summary(whole, None).text == '{"name": "Ann[1]", "age": 5}'
    streamed = JsonReader(PERSON, is_streamed=True).feed([*events, Finished("stop")])
    assert streamed == [*events, Finished("stop")]


def test_a_text_that_the_upstream_changed_is_read_as_it_ended() -> None:
    reader = JsonReader(PERSON, is_streamed=False)
    out = reader.feed([TextDelta('{"name": "A'), Rewritten((TextDelta(ANN),)), Finished("stop")])
    assert summary(out, None).text == ANN


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("depth", [400, 990, 5_000, 10_000, 20_000])
@pytest.mark.parametrize("ends", [True, False], ids=["whole", "cut"])
def test_json_of_any_depth_is_an_answer_or_the_models_fault(
    depth: int, ends: bool, is_streamed: bool
) -> None:
    text = '{"name": ' + "[" * depth + ("]" * depth + "}" if ends else "")
    loose = JsonFormat(schema={"type": "object", "properties": {"name": {"type": "array"}}})
    for wanted in (JsonFormat(), loose, PERSON):
        reader = JsonReader(wanted, is_streamed=is_streamed)
        pieces = [TextDelta(text[start : start + 1000]) for start in range(0, len(text), 1000)]
        out = reader.feed([*pieces, Finished("stop")])
        assert reader.repair is not None or isinstance(out[-1], Finished | Failed)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"C:\users\x", r"C:\users\x"),
        (r"\u4f", r"\u4f"),
        (r"\u4fxx", r"\u4fxx"),
        (r"\u", r"\u"),
        (r"\u4f60\uD83D\uDE00", "你😀"),
        (r"\\u4f60", r"\u4f60"),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 99])
def test_a_backslash_that_begins_no_escape_is_a_backslash(written: str, meant: str, size: int) -> None:
    text = '{"path": "' + written + '", "b": 1}'
    pieces = [TextDelta(text[start : start + size]) for start in range(0, len(text), size)]
    reader = JsonReader(JsonFormat(), is_streamed=True)
    out = reader.feed([*pieces, Finished("stop")])
    assert json.loads(summary(out, None).text) == {"path": meant, "b": 1}


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=3), st.booleans(), st.sampled_from([None, 1]))
def test_valid_json_is_passed_on_unchanged(value: Any, is_streamed: bool, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    assume(not re.search(r'"[A-Za-z]:\\', text))  # A drive: its backslashes are read as those of a path.
    assert answer(text, JsonFormat(), is_streamed=is_streamed) == (text, "stop")


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=3), st.lists(st.integers(1, 5), max_size=9))
def test_a_stream_is_the_same_however_it_is_cut(value: Any, sizes: list[int]) -> None:
    text = json.dumps(value, ensure_ascii=False)
    reader, out, place = JsonReader(JsonFormat(), is_streamed=True), [], 0
    for size in [*sizes, len(text)]:
        out += reader.feed([TextDelta(text[place : place + size])])
        place += size
    out += reader.feed([Finished("stop")])
    assert summary(out, reader.repair) == summary(say([text]), None)
