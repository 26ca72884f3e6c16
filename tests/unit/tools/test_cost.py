"""The work grows with the text and no faster. Calls of functions are counted, no time is taken."""

from __future__ import annotations

import json
import sys
from types import FrameType

import pytest

from lib.chat.events import Finished, TextDelta
from lib.tools.reader import ToolReader
from tests.unit.tools.samples import box_of, new_ids, notices, summary

LINE = "def f(a, b):\n    if a < b and b > 3:\n        return '<div>' + \"</p>\"\n"
PROSE = "This is a line of an ordinary answer, with some words.\n"


def block(value: str) -> str:
    return (
        f"<bridge_run><tool>write</tool><in_path>a</in_path><in_content>\n{value}\n</in_content></bridge_run>"
    )


def native(value: str) -> str:
    path = "<arg_key>path</arg_key><arg_value>a</arg_value>"
    return f"<tool_call>write{path}<arg_key>content</arg_key><arg_value>{value}</arg_value></tool_call>"


def dsml(value: str) -> str:
    path = '<|DSML|parameter name="path">a</|DSML|parameter>'
    content = f'<|DSML|parameter name="content"><![CDATA[{value}]]></|DSML|parameter>'
    return f'<|DSML|invoke name="write">{path}{content}</|DSML|invoke>'


def calls(value: str) -> str:
    return f"write({json.dumps({'path': 'a', 'content': value})})"


def work(text: str, size: int) -> int:
    """Count the characters that the reader's functions are given, and their calls."""
    reader = ToolReader(box_of(), new_id=new_ids())
    pieces = [TextDelta(text[place : place + size]) for place in range(0, len(text), size)]
    done = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal done
        if event == "call" and "/lib/tools/" in frame.f_code.co_filename:
            done += 1 + sum(len(value) for value in frame.f_locals.values() if isinstance(value, str))

    sys.setprofile(count)
    try:
        for piece in pieces:
            reader.feed([piece])
        reader.feed([Finished("stop")])
    finally:
        sys.setprofile(None)
    return done


@pytest.mark.parametrize("wrapped", [block, native, dsml, calls, str])
def test_the_work_is_linear(wrapped: object) -> None:
    assert callable(wrapped)
    small = work(wrapped(LINE * 30), 6)
    large = work(wrapped(LINE * 300), 6)
    assert large < 13 * small


def test_ordinary_text_costs_a_few_calls_an_event() -> None:
    pieces = len(PROSE) * 100 // 6
    assert work(PROSE * 100, 6) < 120 * pieces
    assert work(PROSE * 1000, 6) < 11 * work(PROSE * 100, 6)


@pytest.mark.parametrize("wrapped", [block, native, dsml, calls])
def test_a_value_of_200_kb_is_read(wrapped: object) -> None:
    assert callable(wrapped)
    value = LINE * (200_000 // len(LINE))
    reader = ToolReader(box_of(), new_id=new_ids())
    out = reader.feed([TextDelta(wrapped(value)), Finished("stop")])
    assert summary(out, None).calls == [("write", {"path": "a", "content": value})]
    assert not notices(out)


def test_a_block_beyond_the_limit_is_text() -> None:
    reader = ToolReader(box_of(), new_id=new_ids())
    text = block(LINE * 4_000)
    out = reader.feed([TextDelta(text), Finished("stop")])
    assert summary(out, None).items == (text,)
