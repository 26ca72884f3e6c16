"""Sloppy JSON is read, other texts are not, and nothing that was cut off is completed."""

from __future__ import annotations

import pytest

from lib.tools.loose_json import CutOff, NotJson, read_json, read_keywords, read_whole, unescaped


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{a: 1, 'b': \"c\",}", {"a": 1, "b": "c"}),
        ("{“a”: ‘b’}", {"a": "b"}),
        ('{"a": 1 /* one */, // two\n "b": 2, # three\n}', {"a": 1, "b": 2}),
        ('{"a": "x" "b": "y"}', {"a": "x", "b": "y"}),
        ('{"a": True, "b": None, "c": undefined, "d": False}', {"a": True, "b": None, "c": None, "d": False}),
        ('{"a": "one\ntwo\tthree"}', {"a": "one\ntwo\tthree"}),
        ('{"a": "say "hi", he said"}', {"a": 'say "hi", he said'}),
        ('{"a": ["x", "y"}', {"a": ["x", "y"]}),
        ('{"a": {"b": "c"}', {"a": {"b": "c"}}),
        ('{"a" = "b"}', {"a": "b"}),
        ('{"a": 007}', {"a": "007"}),
        ('{"a": "D:\\work"}', {"a": "D:\\work"}),
        ('{"a": "C:\\bob\\notes"}', {"a": "C:\\bob\\notes"}),
        ('{"a": "C:\\temp"}', {"a": "C:\\temp"}),
        ('{"a": "\\\\server\\share\\dir"}', {"a": "\\server\\share\\dir"}),
        ('{"a": "\\d+\\n\\"x\\" \\u0041 \\/"}', {"a": '\\d+\n"x" A /'}),
        ('{"a": "\\bword\\d"}', {"a": "\\bword\\d"}),
        ('{"a": "Q:\\nWhat"}', {"a": "Q:\nWhat"}),
        ('{"a": "x\\\\y"}', {"a": "x\\y"}),
        ('  [1, 2]', [1, 2]),
    ],
)  # fmt: skip
def test_sloppy_json_is_read(text: str, value: object) -> None:
    assert read_json(text).value == value


@pytest.mark.parametrize(
    "text", ["", "  ", '{"a": "b', '{"a": 1', '{"a"', '{"a":', '{"a": "b\\"', "[12", '{"a": tru']
)
def test_a_cut_text_is_not_completed(text: str) -> None:
    with pytest.raises(NotJson):
        read_json(text)


@pytest.mark.parametrize("text", ["", '{"a": "b', '{"a": 1', '{"a":'])
def test_a_cut_is_told_from_a_fault(text: str) -> None:
    with pytest.raises(CutOff):
        read_json(text)


@pytest.mark.parametrize(
    "text",
    ["words", "{a}", "{1: 2}", '{"a": NaN}', "NaN", '{"a": 5x}', "{]", "[" * 200 + "a", '{"a" "b"}'],
)
def test_other_texts_are_no_json(text: str) -> None:
    with pytest.raises(NotJson):
        read_json(text)


def test_surplus_closers_may_follow_a_value_and_words_may_not() -> None:
    assert read_whole('{"a": 1}}}]') == {"a": 1}
    with pytest.raises(NotJson):
        read_whole('{"a": 1} and more')


def test_valid_json_is_read_strictly() -> None:
    assert read_json('{"a": "\\d"}').is_strict is False
    assert read_json('{"a": "d"}').is_strict is True


def test_keywords_end_with_their_bracket() -> None:
    found = read_keywords("path='a.py', limit=5) and more", 0)
    assert (found.value, found.end) == ({"path": "a.py", "limit": 5}, 21)


def test_a_lone_escape_stays() -> None:
    assert unescaped("a\\") == "a\\"
