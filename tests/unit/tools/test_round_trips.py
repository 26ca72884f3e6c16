"""Any arguments, written in any syntax, come back as they were; and any text comes out as it went in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lib.chat.events import ReplyEvent, TextDelta
from lib.tools.syntax import Replayed, SyntaxName, syntax_named
from lib.tools.toolbox import Declared
from tests.unit.tools.samples import TEXT, box_of, play, read, reader_of, say, tool

ROW = {"type": "object", "properties": {"a": TEXT, "b": {"type": "integer"}}}
STRICT = tool(
    "run_it",
    {
        "text": TEXT,
        "path": TEXT,
        "content": TEXT,
        "count": {"type": "integer"},
        "share": {"type": "number"},
        "flag": {"type": "boolean"},
        "names": {"type": "array", "items": TEXT},
        "rows": {
            "type": "array",
            "items": {"type": "object", "properties": {"a": TEXT, "b": {"type": "integer"}}},
        },
        "either": {"anyOf": [TEXT, {"type": "integer"}, {"type": "null"}]},
        "odd name": TEXT,
    },
)
FREE = tool("anything", {})
BOX = box_of((STRICT, FREE))
PIECES = st.sampled_from(
    [
        "<bridge_run>", "</bridge_run>", "</in_text>", "<in_text>", "<in_path>", "</in>", "<tool>", "</tool>",
        "<![CDATA[", "]]>", "```\n", "```", "\n", "\r\n", '"', "'", "`", "<", ">", "{", "}", "[", "]", "\\",
        "</|DSML|parameter>", "</|DSML|invoke>", '<|DSML|invoke name="x">', "<tool_call>", "run_it({", "\\n",
        "true", "5", "5.0", " ", "a", "é", "中", "\u2028", "<item>", "</item>", ", ", "Observation:", "null",
        "</think>",
    ]
)  # fmt: skip
WORDS = st.lists(PIECES, max_size=8).map("".join) | st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30
)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
KEYS = WORDS.filter(lambda name: "<" not in name and ">" not in name)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "text": WORDS,
        "path": WORDS,
        "content": WORDS,
        "count": st.integers(),
        "share": st.floats(allow_nan=False, allow_infinity=False).filter(
            lambda number: not number.is_integer()
        ),
        "flag": st.booleans(),
        "names": st.lists(WORDS, max_size=4),
        "rows": st.lists(st.fixed_dictionaries({"a": WORDS, "b": st.integers()}), max_size=3),
        "either": WORDS | st.integers() | st.none(),
        "odd name": WORDS,
        "extra": WORDS,
    },
)
SYNTAXES: tuple[SyntaxName, ...] = ("blocks", "calls", "dsml")


def declared(name: str) -> Declared:
    return next(known for known in BOX.tools if known.name == name)


def called(syntax: SyntaxName, name: str, arguments: dict[str, Any]) -> list[tuple[str, Any]]:
    return read(syntax_named(syntax).write(Replayed(name, arguments, declared(name))), BOX).calls


@pytest.mark.parametrize("syntax", SYNTAXES)
@settings(deadline=None, max_examples=150)
@given(ARGUMENTS)
@example({"text": "\n"})
@example({"text": "x\r"})
@example({"text": "</in_text>\n</bridge_run>\n<bridge_run>"})
@example({"path": '"a.py"'})
@example({"content": "```py\nx\n```"})
@example({"either": "5"})
@example({"either": "null"})
@example({"extra": "5"})
@example({"text": "]]>"})
def test_arguments_come_back_as_they_were(syntax: SyntaxName, arguments: dict[str, Any]) -> None:
    assert called(syntax, "run_it", arguments) == [("run_it", arguments)]


@pytest.mark.parametrize("syntax", SYNTAXES)
@settings(deadline=None)
@given(st.dictionaries(KEYS, JSON, max_size=3))
def test_arguments_of_a_tool_without_a_schema_come_back(
    syntax: SyntaxName, arguments: dict[str, Any]
) -> None:
    assert called(syntax, "anything", arguments) == [("anything", json.loads(json.dumps(arguments)))]


@pytest.mark.parametrize("syntax", SYNTAXES)
@settings(deadline=None)
@given(ARGUMENTS, st.lists(st.integers(1, 9), max_size=8))
def test_a_call_is_the_same_however_it_is_cut(
    syntax: SyntaxName, arguments: dict[str, Any], sizes: list[int]
) -> None:
    text = syntax_named(syntax).write(Replayed("run_it", arguments, declared("run_it")))
    pieces, place = [], 0
    for size in sizes:
        pieces.append(text[place : place + size])
        place += size
    events: list[ReplyEvent] = say([*pieces, text[place:]])
    assert play(reader_of(BOX), events).calls == [("run_it", arguments)]


SCRAPS = st.sampled_from(
    [
        "<bridge_run>", "</bridge_run>", "<tool>", "</tool>", "read", "now", "bash", "<in_path>",
        "</in_path>", "a.py", "\n", "\n\n", "```\n", "```", "```json\n", "> ", "- ", " ", "<tool_call>",
        "</tool_call>", "<arg_key>", "</arg_key>", "path", "<arg_value>", "</arg_value>", '{"name":"', "{",
        "}", "[", "]", '{"name":"read","arguments":{"path":"a.py"}}', 'read({"path":"a"})', "read(", "now()",
        "Action: read\n", "Action Input: ", "Observation: x\n", '<invoke name="read">', "</parameter>",
        '<parameter name="path">', "</invoke>", "<function_calls>", "</function_calls>", "<read>", "<path>",
        "</path>", "</read>", "<think>", "</think>", "<|DSML|", "[call:read]", "## User\n", "Assistant: ",
        "<bridge_result>", "<in_json>", '{"path":"a"}', "<![CDATA[", "]]>", "<", "</", ">",
    ]
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.lists(SCRAPS | WORDS, max_size=14))
def test_a_text_tells_the_same_however_it_is_cut(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert play(reader_of(), say(pieces)) == play(reader_of(), say([text])) == play(reader_of(), say(text))


MARKS = [
    "a",
    "b ",
    "\n",
    "\n\n",
    "- ",
    "> ",
    "1. ",
    "# ",
    "`x`",
    "<b>",
    "</b>",
    "{",
    "}",
    "[1]",
    "(c)",
    "：",
    "中",
]
PROSE = st.lists(st.sampled_from(MARKS), max_size=40).map("".join)


@settings(deadline=None)
@given(PROSE)
def test_prose_comes_out_as_it_went_in(text: str) -> None:
    reader = reader_of()
    events = reader.feed(say(text))
    shown = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert shown == text or not text.strip()
