"""Calls that the upstream's own tool layer took (tools.md §4 C8 and H, field.md §1.1)."""

from __future__ import annotations

import json

import pytest

from lib.chat.events import Finished, InterceptedCall, ReasoningDelta, ReplyEvent, TextDelta
from tests.unit.tools.samples import CLOSE as E
from tests.unit.tools.samples import OPEN as B
from tests.unit.tools.samples import READ, TOOLS, box_of, notices, play, reader_of, say, summary, tool

TODO = '{"items":[{"t":"x"}]}'
CALL = InterceptedCall("todo", TODO, "call_1")
RESULT = InterceptedCall("todo", TODO, "call_1", "unknown tool call")
TAKEN = ("todo", json.loads(TODO))


def test_a_declared_call_is_the_clients_and_ends_the_reply() -> None:
    reader = reader_of()
    told = play(reader, [TextDelta("I note it."), CALL, RESULT, TextDelta("It failed.")])
    assert (told.items, told.ending, reader.is_done) == (("I note it.", TAKEN), "tool_calls", True)


@pytest.mark.parametrize("after", [TextDelta("So"), ReasoningDelta("hm"), Finished("stop"), RESULT])
def test_a_declared_call_counts_whatever_follows(after: ReplyEvent) -> None:
    reader = reader_of()
    told = play(reader, [CALL, after])
    assert (told.items, told.ending, told.reasoning) == ((TAKEN,), "tool_calls", "")


def test_several_calls_are_taken_together() -> None:
    other = InterceptedCall("now", "{}", "call_2")
    told = play(reader_of(), [CALL, other, RESULT])
    assert told.calls == [TAKEN, ("now", {})]


def test_a_call_that_grows_is_one_call() -> None:
    pieces = [InterceptedCall("todo", TODO[:size]) for size in (3, 9, len(TODO))]
    assert play(reader_of(), [*pieces, Finished("stop")]).calls == [TAKEN]


def test_two_calls_without_ids_are_two() -> None:
    events = [InterceptedCall("now", "{}"), InterceptedCall("todo", TODO), InterceptedCall("todo", "")]
    assert play(reader_of(), [*events, Finished("stop")]).calls == [("now", {}), TAKEN]


def test_a_result_may_come_without_the_arguments() -> None:
    assert play(reader_of(), [CALL, InterceptedCall("todo", "", "call_1", "error")]).calls == [TAKEN]


@pytest.mark.parametrize("arguments", ['{"file<arg_key":"page</arg_key>"}', "5", '{"limit":5x}'])
def test_damaged_arguments_are_asked_again(arguments: str) -> None:
    assert play(reader_of(), [InterceptedCall("read", arguments, "c"), Finished("stop")]).ending == "repair"


def test_a_call_taken_twice_in_text_and_part_is_one_call() -> None:
    block = f'{B}<tool>todo</tool><in_items>[{{"t":"x"}}]</in_items>{E}'
    told = play(reader_of(), [TextDelta(block), CALL, RESULT])
    assert (told.calls, told.ending) == ([TAKEN], "tool_calls")


def test_a_cut_call_is_asked_again() -> None:
    reader = reader_of()
    told = play(reader, [InterceptedCall("todo", TODO[:-6], "c"), TextDelta("Done."), Finished("stop")])
    assert (told.items, told.ending) == ((), "repair")
    assert "cut off" in told.repair


@pytest.mark.parametrize("name", ["search", "finish", "open_url", "execute_sandbox_code"])
def test_the_upstreams_own_calls_are_none(name: str) -> None:
    told = play(
        reader_of(), [InterceptedCall(name, "{}", "c", "error"), TextDelta("It is so."), Finished("stop")]
    )
    assert (told.items, told.ending) == (("It is so.",), "stop")


def test_an_own_call_of_the_upstreams_without_any_text_is_asked_again() -> None:
    told = play(reader_of(), [InterceptedCall("execute_sandbox_code", "{}", "c"), Finished("stop")])
    assert told.ending == "repair"
    assert "To act, write a <bridge_run> block" in told.repair


def test_a_collided_name_is_found_by_its_alias_and_by_itself() -> None:
    box = box_of((*TOOLS, tool("search", {"q": {"type": "string"}}, ["q"])))
    for name in ("client_search", "search"):
        told = play(reader_of(box), [InterceptedCall(name, '{"q":"x"}', "c"), Finished("stop")])
        assert told.calls == [("search", {"q": "x"})]


@pytest.mark.parametrize(
    "name",
    [
        "tool_call] read",
        'Bash({"command":"ls"})</arg_value>',
        "tool_9a822147</arg_value>",
        "tool_9a822147",
        "read</arg_value>",
    ],
)
def test_a_destroyed_call_is_neither_an_answer_nor_a_call(name: str) -> None:
    reader = reader_of()
    call = InterceptedCall(name, "{}", "c", "unknown tool call")
    told = play(reader, [TextDelta("I look."), call, TextDelta("The file says hello."), Finished("stop")])
    assert (told.items, told.ending) == (("I look.",), "repair")
    assert "<bridge_run>" in told.repair
    again = play(reader, say([f"{B}<tool>read</tool><in_path>a</in_path>{E}"]))
    assert again.items == (("read", {"path": "a"}),)


def test_a_call_destroyed_twice_is_an_error() -> None:
    reader = reader_of()
    call = InterceptedCall("tool_9a822147</arg_value>", "{}", "c", "unknown tool call")
    assert play(reader, [call, TextDelta("Invented."), Finished("stop")]).ending == "repair"
    told = play(reader, [call, TextDelta("Invented."), Finished("stop")])
    assert (told.items, told.ending) == ((), "invalid_model_output")


def test_an_unknown_name_with_the_result_unknown_is_destroyed() -> None:
    call = InterceptedCall("readd", "{}", "c", "unknown tool call")
    assert play(reader_of(), [call, TextDelta("Invented."), Finished("stop")]).ending == "repair"


def test_an_undeclared_call_is_ignored() -> None:
    told = play(reader_of(), [InterceptedCall("fetch", "{}", "c"), TextDelta("So."), Finished("stop")])
    assert (told.items, told.ending) == (("So.",), "stop")


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("read<arg_key>path</arg_key><arg_value>a.py</arg_value>", ("read", {"path": "a.py"})),
        ("now</arg_value>", ("now", {})),
    ],
)
def test_a_name_that_holds_all_of_a_call_is_the_call(name: str, call: tuple[str, object]) -> None:
    assert play(reader_of(), [InterceptedCall(name, "{}", "c"), Finished("stop")]).calls == [call]


@pytest.mark.parametrize(
    "arguments",
    [
        '{"path":"a.py"}{"path":"a.py"}',
        '{"path":"a{"path":"a.py"}',
        '{"path":5{"path":"a.py"}',
        '"{\\"path\\":\\"a.py\\"}"',
    ],
)
def test_arguments_that_the_stream_doubled_are_mended(arguments: str) -> None:
    told = play(reader_of(), [InterceptedCall("read", arguments, "c"), Finished("stop")])
    assert told.calls == [("read", {"path": "a.py"})]


def test_it_is_counted() -> None:
    reader = reader_of(box_of((READ,)))
    out = reader.feed([InterceptedCall("read", '{"path":"a"}', "c"), Finished("stop")])
    assert notices(out) == ["tool_intercepted"]
    assert summary(out, None).calls == [("read", {"path": "a"})]
