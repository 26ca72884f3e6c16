"""What is wrong with a body is said precisely, and without much of the body."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.dialects.json_body import (
    JsonLimits,
    convert,
    decode_body,
    has_more_values,
    invalid_value,
    missing_field,
    shown,
    unsupported,
)
from lib.dialects.surrogates import MAX_REPLACED, without_lone
from lib.errors import InvalidRequest, RequestTooLarge


class Inner(msgspec.Struct):
    text: str


class Outer(msgspec.Struct):
    inner: list[Inner] = []
    number: float | None = None
    anything: Any = None


NO_VALUES = '[{,"\\ a'
DECODER = msgspec.json.Decoder(Outer)


def nested(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(values, max_size=4) | st.dictionaries(
        st.text(st.sampled_from(NO_VALUES)), values, max_size=4
    )


def marks_of(value: Any) -> int:
    """Count the brackets that open, and the commas, of a value's JSON."""
    if not isinstance(value, list | dict):
        return 0
    inner = list(value.values()) if isinstance(value, dict) else value
    return 1 + max(0, len(inner) - 1) + sum(map(marks_of, inner))


def refusal(body: bytes) -> tuple[str | None, str | None, str]:
    with pytest.raises(InvalidRequest) as caught:
        decode_body(body, DECODER)
    return caught.value.code, caught.value.param, caught.value.message


def test_a_byte_order_mark_is_forgiven() -> None:
    assert decode_body(b"\xef\xbb\xbf{}", DECODER) == Outer()


def test_unknown_fields_may_hold_what_the_decoder_could_not_represent() -> None:
    assert decode_body(b'{"seed": 1e999, "note": "\xff"}', DECODER) == Outer()


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (b"model=glm-5.3&stream=true", " It is a form. Send JSON, with the header Content-Type: "),
        (b"messages%5B0%5D%5Bcontent%5D=x", " It is a form."),
        (b'------x\r\nContent-Disposition: form-data; name="model"\r\n', " It is a form."),
        (b"{'model': 'x'}", " JSON has double quotes. On Windows, let curl send it from a file"),
        (b"'{model:glm-5.3,messages:[]}'", " JSON has double quotes."),
        (b"{model: glm-5.3}", " JSON has double quotes."),
        (b'{\\"model\\": 1}', " JSON has double quotes."),
    ],
)
def test_a_form_and_a_shells_quotes_are_named(body: bytes, hint: str) -> None:
    assert hint in refusal(body)[2]


@pytest.mark.parametrize("body", [b"{", b'{"a": "x",}', b"nonsense", b"{} {}", b"[1 2]", b'{"a"=1}'])
def test_other_broken_json_gets_no_hint(body: bytes) -> None:
    assert "form" not in refusal(body)[2].replace("malformed", "")
    assert "quotes" not in refusal(body)[2]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The body is empty. Send JSON in it"),
        (b" \r\n", "The body is empty. Send JSON in it"),
        (b"{", "The body is not valid JSON: Input data was truncated."),
        (b"model=x", "The body is not valid JSON: JSON is malformed: invalid character (byte 0)."),
        (
            b'{"a": "x",}',
            "The body is not valid JSON: JSON is malformed: trailing comma in object (byte 10).",
        ),
        (b"{} {}", "The body is not valid JSON: JSON is malformed: trailing characters"),
        (b'{"anything": "\xff"}', "The body is not UTF-8 (byte 14). Send the JSON in UTF-8."),
        ("\ufeff{}".encode("utf-16-le"), "The body is not UTF-8 (byte 0)."),
        (b'{"anything": "' + rb"\ud83d" * (MAX_REPLACED + 1) + b'"}', "The body is not valid JSON: "),
        (rb'{"seed": "\ud8zz"}', "The body is not valid JSON: "),
        (rb'{"anything": "\ud83d", "b": ', "The body is not valid JSON: "),
        (b'{"anything":' + b"[" * 100_000, "The body's JSON is nested too deeply."),
        (b'{"unknown":' + b"[" * 100_000, "The body's JSON is nested too deeply."),
    ],
)
def test_what_is_not_json(body: bytes, message: str) -> None:
    code, param, said = refusal(body)
    assert (code, param) == ("invalid_json", None)
    assert said.startswith(message)


@pytest.mark.parametrize(
    ("body", "code", "param", "message"),
    [
        (b"[]", "invalid_value", None, "Invalid body: expected `object`, got `array`."),
        (b'"x"', "invalid_value", None, "Invalid body: expected `object`, got `string`."),
        (
            b'{"number": "x"}',
            "invalid_value",
            "number",
            "Invalid value for 'number': expected `number | null`, got `string`.",
        ),
        (
            b'{"inner": [{"text": ""}, {}]}',
            "missing_field",
            "inner[1].text",
            "Missing required field 'inner[1].text'.",
        ),
        (
            b'{"inner": [{"text": true}]}',
            "invalid_value",
            "inner[0].text",
            "Invalid value for 'inner[0].text': expected `string`, got `boolean`.",
        ),
        (
            b'{"anything": {"a": [1e999]}}',
            "invalid_value",
            "anything",
            "Invalid value for 'anything': number out of range.",
        ),
    ],
)
def test_what_is_json_but_not_what_was_expected(
    body: bytes, code: str, param: str | None, message: str
) -> None:
    assert refusal(body) == (code, param, message)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (rb'{"anything": "\ud83d"}', "anything"),
        (rb'{"anything": "\\\uDE00"}', "anything"),
        (rb'{"anything": "\ud83d\ud83d\ude00"}', "anything"),
        (rb'{"anything": "\ud83d\ude00\ude00"}', "anything"),
        (rb'{"anything": ["", {"a b": ["\ud83d"]}]}', "anything[1].a b[0]"),
        (rb'{"anything": {"\ud83d": 1}}', "anything"),
        (rb'{"seed": "\ud83d", "inner": [{"text": "a\ud83d"}]}', "inner[0].text"),
    ],
)
def test_half_of_a_character_is_refused_where_it_stands(body: bytes, place: str) -> None:
    code, param, said = refusal(body)
    assert (code, param) == ("invalid_value", place)
    assert said.startswith(f"Invalid value for '{place}': it holds half of a character")


@pytest.mark.parametrize(
    "body",
    [
        rb'{"seed": "\ud83d", "anything": "\ud83d\ude00"}',
        rb'{"seed": {"\ude00": ["\ud83d\ud83d"]}, "anything": "\ud83d\ude00"}',
        rb'{"\ud83d": "\\ud83d", "anything": "\ud83d\ude00"}',
    ],
)
def test_half_of_a_character_harms_no_other_field(body: bytes) -> None:
    assert decode_body(body, DECODER) == Outer(anything="😀")


def test_a_million_halves_of_characters_cost_no_time() -> None:
    halves = rb"\\\ud83d" * 1_000_000
    assert without_lone(b'{"anything": "' + halves + b'"}') is None


def test_a_missing_field_of_the_body_itself() -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode_body(b"{}", msgspec.json.Decoder(Inner))
    assert (caught.value.code, caught.value.param) == ("missing_field", "text")


@pytest.mark.parametrize(
    ("value", "kind", "code", "param"),
    [
        ({"inner": [{}]}, Outer, "missing_field", "tools[1].inner[0].text"),
        ({"inner": [{"text": 5}]}, Outer, "invalid_value", "tools[1].inner[0].text"),
        ({}, Inner, "missing_field", "tools[1].text"),
        ([{"text": "a"}, 5], list[Inner], "invalid_value", "tools[1][1]"),
        (5, Inner, "invalid_value", "tools[1]"),
    ],
)
def test_a_part_of_a_body_names_its_place_in_the_whole(value: Any, kind: Any, code: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        convert(value, kind, "tools[1]")
    assert (caught.value.code, caught.value.param) == (code, param)
    assert f"'{param}'" in caught.value.message


def test_a_part_of_a_body_that_is_right_is_read() -> None:
    assert convert({"inner": [{"text": "a"}]}, Outer, "tools[1]") == Outer(inner=[Inner("a")])


def test_refusals_have_their_codes() -> None:
    refusals = [missing_field("a"), invalid_value("a", "b", "c"), unsupported("a", "no")]
    assert [error.code for error in refusals] == ["missing_field", "invalid_value", "unsupported_parameter"]
    assert {error.param for error in refusals} == {"a"}


def test_a_refused_value_is_cut_short() -> None:
    assert [shown(value) for value in (None, 0, "a\n")] == ["null", "0", "'a\\n'"]
    assert shown("x" * 58) == repr("x" * 58)
    assert shown("x" * 59) == "'" + "x" * 59 + "…"


@pytest.mark.parametrize("body", [b"[" + b"[]," * 200_000 + b"[]]", b'{"x":[' + b"{}," * 200_000 + b"{}]}"])
def test_more_objects_and_arrays_than_any_text_has_are_not_even_decoded(body: bytes) -> None:
    with pytest.raises(RequestTooLarge):
        decode_body(body, DECODER)


def test_the_most_that_is_taken_is_taken() -> None:
    limits = JsonLimits(max_values=5)
    decode_body(b'{"anything": [[1, 2, 3]]}', DECODER, limits)
    for body in (b'{"anything": [[[[[]]]]]}', b'{"anything": [1, 2, 3, 4, 5]}', b'{"inner": [{}, {}, {}]}'):
        with pytest.raises(RequestTooLarge, match="at most 5 values"):
            decode_body(body, DECODER, limits)


@given(st.recursive(st.none() | st.text(st.sampled_from(NO_VALUES)) | st.integers(), nested, max_leaves=9))
def test_marks_in_texts_are_no_values(value: Any) -> None:
    count = marks_of(value)
    body = msgspec.json.encode(value)
    assert not has_more_values(body, count)
    assert not count or has_more_values(body, count - 1)
