"""Histories that are made to cost: each result is given once, and the work grows with the text."""

from __future__ import annotations

import pytest

from lib.chat.request import Message, TextPart, ToolCall
from lib.tools.history import NO_RESULT
from lib.tools.prompt import describe
from tests.unit.tools.samples import NOW, READ, request


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
