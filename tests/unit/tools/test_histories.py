"""Histories that are made to cost: each result is given once, and the work grows with the text."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from lib.chat.request import Message, TextPart, ToolCall
from lib.tools.history import NO_RESULT
from lib.tools.prompt import describe, describing
from lib.tools.syntax import Replayed, SyntaxName, syntax_named
from lib.tools.toolbox import encoded
from lib.tools.values import read_text
from lib.tools.words import free_tag
from tests.unit.tools.samples import NOW, READ, TEXT, box_of, read, request, tool

LONG = '{"path":"' + "x" * 10_000 + '"}'


def calls(*ids: str, name: str = "now", arguments: str = "{}") -> Message:
    return Message(role="assistant", tool_calls=tuple(ToolCall(known, name, arguments) for known in ids))


def result(call: str, text: str) -> Message:
    return Message(role="tool", parts=(TextPart(text),), tool_call_id=call)


def told(*messages: Message) -> str:
    return describe(request((READ, NOW), messages=messages)).messages[-1].text


@pytest.mark.parametrize(
    ("ids", "results", "expected"),
    [
        (("a", "a", "a"), ("a", "a", "a"), ["1: 0", "2: 1", "3: 2"]),
        (("a", "a"), ("a",), ["1: 0", f"2: {NO_RESULT}"]),
        (("a",), ("a", "a"), ["1: 0", "1: 1"]),
        (("a", "b", "a"), ("a", "b", "a", "a"), ["1: 0", "2: 1", "3: 2", "3: 3"]),
    ],
)  # fmt: skip
def test_calls_with_one_id_get_the_results_in_turn_and_each_once(
    ids: tuple[str, ...], results: tuple[str, ...], expected: list[str]
) -> None:
    text = told(calls(*ids), *(result(call, str(number)) for number, call in enumerate(results)))
    lines = text.replace("</bridge_result>", "").split("<bridge_result>\n")[1:]
    found = [line.removeprefix("action ").replace(" now", "").replace("\n", " ").strip() for line in lines]
    assert found == expected


def test_the_text_grows_with_the_results_and_no_faster() -> None:
    ids = ["same"] * 300
    text = told(calls(*ids), *(result(known, "x") for known in ids))
    assert text.count("<bridge_result>") == 300
    assert len(text) < 300 * 80


def test_a_long_name_of_a_call_is_not_repeated_with_every_result() -> None:
    text = told(calls("a", name="n" * 10_000), *[result("a", "x")] * 50)
    assert text.count("<bridge_result>") == 50
    assert len(text) < 50 * 300


def work(made: Callable[[], object], places: str = "/lib/tools/") -> int:
    """Count the calls of functions below a place, and the characters that they are given."""
    done = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal done
        if event == "call" and places in frame.f_code.co_filename:
            done += 1 + sum(len(value) for value in frame.f_locals.values() if isinstance(value, str))

    sys.setprofile(count)
    try:
        made()
    finally:
        sys.setprofile(None)
    return done


ANY = tool("any", {"text": TEXT, "count": {"type": "integer"}, "list": {"type": "array", "items": TEXT}})
COSTLY: dict[str, dict[str, Any]] = {
    "openers": {"text": "<" * 20_000},
    "wide openers": {"text": "＜" * 20_000},
    "closers": {"text": "</in_text>" * 2_000},
    "arguments": {f"a{number}": 1 for number in range(2_000)},
    "a text that is no number": {"count": "`" * 20_000},
    "a text that is nearly a list": {"list": "1," * 10_000},
    "items that do not end": {"list": "<item>" * 3_000},
}


@pytest.mark.parametrize("syntax", ["blocks", "dsml"])
@pytest.mark.parametrize("name", COSTLY)
def test_a_call_that_costs_much_to_read_back_is_written_as_json(syntax: SyntaxName, name: str) -> None:
    [known] = box_of((ANY,)).tools
    call = Replayed("any", COSTLY[name], known)
    form = syntax_named(syntax)
    size = len(encoded(call.arguments))
    # The escaped form is six times as long. Reading it back takes several calls for each tag.
    assert work(lambda: form.write(call)) < 8 * size + 3_000
    if "text" in COSTLY[name]:
        assert read(form.write(call), box_of((ANY,))).calls == [("any", COSTLY[name])]


@pytest.mark.parametrize("syntax", ["blocks", "dsml"])
def test_an_ordinary_page_is_written_as_it_is(syntax: SyntaxName) -> None:
    page = "<p>Some words, and a <b>bold</b> one.</p>\n" * 150
    [known] = box_of((ANY,)).tools
    assert page in syntax_named(syntax).write(Replayed("any", {"text": page}, known))


def test_a_tag_is_found_in_one_pass_through_the_texts() -> None:
    texts = " ".join(f"bridge_run_x{number}" for number in range(1, 2_000))
    assert free_tag(texts) == "bridge_run_x2000"
    assert free_tag("bridge_run_x1 bridge_run_x20 bridge_run_x03") == "bridge_run_x3"


def test_an_unknown_argument_is_not_compared_with_every_declared_one() -> None:
    wide = tool("wide", {f"known_{number}": TEXT for number in range(500)})
    [known] = box_of((wide,)).tools
    call = Replayed("wide", {f"Other{number}": "x" for number in range(200)}, known)
    assert work(lambda: syntax_named("blocks").write(call)) < 100_000


def test_the_history_is_told_in_steps_that_are_none_too_long() -> None:
    turns = [message for _ in range(30) for message in (calls("a", arguments=LONG), result("a", "x" * 9_000))]
    steps = list(describing(request((READ, NOW), messages=tuple(turns))))
    assert sum(steps) > 30 * len(LONG)
    assert max(steps) < 2 * len(LONG)


def test_calls_without_arguments_are_steps_too() -> None:
    turns = (calls(*["a"] * 300), *[result("a", "")] * 300)
    assert sum(describing(request((READ, NOW), messages=turns))) > 300 * 1_000


FENCES = {
    "~" * 20_000 + "\n" + "a" * 20_000: None,
    "```\n" + " " * 20_000 + "x": None,
    "```py\nx  \n  ```\n": "x  ",
    "~~~\na~~~": "a",
    "```\n```": "",
}


@pytest.mark.parametrize("text", FENCES, ids=[str(number) for number in range(len(FENCES))])
def test_one_fence_around_a_text_is_found_without_a_search(text: str) -> None:
    found = FENCES[text]
    assert read_text(text, TEXT, {}) == (text if found is None else found)


def test_items_are_found_by_their_closers() -> None:
    lists = {"type": "array", "items": TEXT}
    assert read_text("<item>a</item> <li>b</item></li><value>c", lists, {}) == ["a", "b</item>"]
    open_ones = "<item>" * 20_000
    assert read_text(open_ones, lists, {}) == [open_ones]
