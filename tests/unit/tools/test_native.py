"""Tools of an upstream that takes them itself: names, forcing, and the stage that checks the calls."""

from __future__ import annotations

from typing import Any

import pytest

from lib.chat.events import Failed, Finished, Notice, ReplyEvent, TextDelta, ToolCallDelta, Usage
from lib.chat.request import ChatRequest, JsonFormat, Message, TextPart, Tool, ToolCall, ToolChoice
from lib.errors import UpstreamTimeout
from lib.tools.native import MAX_CALLS, NativeCalls, prepare

NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
COUNT = Tool(name="count", description="Count.", schema=NUMBER)
PATCH = Tool(name="patch", is_freeform=True)
DONE = Finished("tool_calls", Usage(9, 9))


def chat(*tools: Tool, messages: tuple[Message, ...] = (), **fields: Any) -> ChatRequest:
    asked = messages or (Message("user", (TextPart("Go"),)),)
    return ChatRequest(model="x", messages=asked, tools=tools or (COUNT,), **fields)


def stage(*tools: Tool, **fields: Any) -> NativeCalls:
    return NativeCalls(prepare(chat(*tools, **fields), has_json_schema=False).box)


def call(arguments: str, name: str = "count", number: int = 0) -> ToolCallDelta:
    return ToolCallDelta(number, arguments, f"id{number}", name)


def told(events: list[ReplyEvent]) -> list[ReplyEvent]:
    return [event for event in events if not isinstance(event, Notice)]


def whole(arguments: str, name: str = "count", number: int = 0) -> list[ReplyEvent]:
    return [ToolCallDelta(number, "", f"id{number}", name), ToolCallDelta(number, arguments)]


FORCED = ToolChoice(mode="required")

# The request


def test_a_name_that_the_upstream_does_not_take_is_replaced_everywhere_and_given_back() -> None:
    dotted, spaced = Tool(name="a.b"), Tool(name="a b")
    taken, long = Tool(name="a_b"), Tool(name="工具" * 40)
    said = Message("assistant", tool_calls=(ToolCall("c", "a.b", "{}"), ToolCall("d", "old.one", "{}")))
    native = prepare(chat(dotted, spaced, taken, long, messages=(said,)), has_json_schema=False)
    names = [tool.name for tool in native.chat.tools]
    assert names[2] == "a_b", "a name that is taken stays"
    assert len(set(names)) == 4
    assert all(name.isascii() and 0 < len(name) <= 64 for name in names)
    assert [made.name for made in native.chat.messages[0].tool_calls] == [names[0], "old_one"]
    events = NativeCalls(native.box).feed([call("{}", names[0]), call("{}", names[3], 1), DONE])
    assert [event.name for event in events if isinstance(event, ToolCallDelta) and event.name] == [
        "a.b",
        long.name,
    ]
    again = prepare(chat(dotted, spaced, taken, long), has_json_schema=False)
    assert [tool.name for tool in again.chat.tools] == names, "the same in each request"


def test_only_tools_that_may_be_called_are_sent() -> None:
    other = Tool(name="other")
    chosen = prepare(chat(COUNT, other, tool_choice=ToolChoice(names=("other",))), has_json_schema=False)
    assert [tool.name for tool in chosen.chat.tools] == ["other"]
    assert chosen.chat.closing == ""
    off = prepare(chat(COUNT, tool_choice=ToolChoice(mode="none")), has_json_schema=False)
    assert off.chat.tools == ()
    assert not off.box.is_on


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tool_choice": FORCED}, "exactly one call of the function count"),
        (
            {"tool_choice": ToolChoice(mode="required", names=("a.b",))},
            "exactly one call of the function a_b",
        ),
        ({"parallel_tool_calls": False}, "at most one function call"),
        ({}, ""),
    ],
)
def test_a_rule_for_calls_is_said_in_words(fields: dict[str, Any], words: str) -> None:
    tools = (COUNT, Tool(name="a.b")) if "a_b" in words else (COUNT,)
    closing = prepare(chat(*tools, **fields), has_json_schema=False).chat.closing
    assert words in closing
    assert bool(closing) is bool(words)


def test_one_of_several_must_be_called() -> None:
    several = chat(COUNT, PATCH, tool_choice=FORCED)
    assert (
        "at least one call of these functions now: count, patch"
        in prepare(several, has_json_schema=False).chat.closing
    )
    single = chat(COUNT, PATCH, tool_choice=FORCED, parallel_tool_calls=False)
    assert "exactly one call of these" in prepare(single, has_json_schema=False).chat.closing


def test_a_schema_is_said_on_one_line_unless_the_upstream_has_a_field_for_it() -> None:
    wanted = ChatRequest(model="x", messages=(), json_format=JsonFormat(schema=NUMBER))
    closing = prepare(wanted, has_json_schema=False).chat.closing
    assert [line for line in closing.split("\n") if line.startswith("{")]
    assert prepare(wanted, has_json_schema=True).chat.closing == ""
    loose = ChatRequest(model="x", messages=(), json_format=JsonFormat())
    assert "The value is a JSON object." in prepare(loose, has_json_schema=False).chat.closing


def test_a_freeform_call_of_the_past_has_its_text_as_json() -> None:
    said = Message("assistant", tool_calls=(ToolCall("c", "patch", '*** "x"', is_freeform=True),))
    native = prepare(chat(PATCH, messages=(said,)), has_json_schema=False)
    assert native.chat.messages[0].tool_calls[0].arguments == '{"input":"*** \\"x\\""}'
    assert native.chat.tools[0].schema == {
        "type": "object",
        "properties": {"input": {"type": "string"}},
        "required": ["input"],
    }


# The stage


def test_text_flows_and_a_call_comes_whole() -> None:
    reader = stage()
    assert reader.feed([TextDelta("I count.")]) == [TextDelta("I count.")]
    assert reader.feed([call('{"n"'), ToolCallDelta(0, ": 1}")]) == []
    assert reader.feed([DONE]) == [*whole('{"n": 1}'), DONE]
    assert reader.feed([TextDelta("late")]) == []


def test_a_call_is_told_when_the_next_one_begins() -> None:
    reader = stage()
    events = reader.feed([call('{"n":1}'), call('{"n":2}', number=1)])
    assert events == whole('{"n":1}')
    assert reader.feed([DONE]) == [*whole('{"n":2}', number=1), DONE]


@pytest.mark.parametrize(
    ("arguments", "mended"),
    [('{"n": "1"}', '{"n":1}'), ("{n: 1,}", '{"n":1}'), ('"{\\"n\\":1}"', '{"n":1}')],
)
def test_sloppy_arguments_are_mended(arguments: str, mended: str) -> None:
    assert told(stage().feed([call(arguments), DONE])) == [*whole(mended), DONE]


@pytest.mark.parametrize(
    "wrong", [call('{"n": "many"}'), call("no JSON at all"), call('{"n":1}', "unknown"), call("{}")]
)
def test_a_call_that_cannot_be_run_is_asked_for_once_more(wrong: ToolCallDelta) -> None:
    reader = stage()
    assert told(reader.feed([TextDelta("First."), wrong, DONE])) == [TextDelta("First.")]
    assert reader.repair is not None
    assert told(reader.feed([TextDelta("Sorry. "), call('{"n":1}'), DONE])) == [
        TextDelta("Sorry. "),
        *whole('{"n":1}'),
        DONE,
    ]
    assert reader.repair is None


def test_an_object_that_is_wrong_twice_goes_to_the_clients_tool() -> None:
    reader = stage()
    reader.feed([call('{"n": "many"}'), DONE])
    events = reader.feed([call('{"n": "many"}'), DONE])
    assert told(events) == [*whole('{"n":"many"}'), DONE]
    assert Notice("tool_mended", "as_written") in events


@pytest.mark.parametrize("wrong", [call("no JSON at all"), call("{}", "unknown")])
def test_a_call_that_stays_unreadable_is_an_error(wrong: ToolCallDelta) -> None:
    reader = stage()
    reader.feed([wrong, DONE])
    ending = reader.feed([wrong, DONE])[-1]
    assert isinstance(ending, Failed)
    assert ending.error.code == "invalid_model_output"


def test_the_calls_before_a_wrong_one_are_run() -> None:
    reader = stage()
    events = reader.feed([call('{"n":1}'), call("broken", number=1), call('{"n":3}', number=2), DONE])
    assert told(events) == [*whole('{"n":1}'), DONE]
    assert reader.repair is None


def test_the_first_try_of_a_forced_call_is_never_shown() -> None:
    reader = stage(tool_choice=FORCED)
    assert told(reader.feed([TextDelta("No."), Finished("stop")])) == []
    assert reader.repair is not None
    assert "count" in reader.repair
    assert told(reader.feed([call('{"n":1}'), DONE])) == [*whole('{"n":1}'), DONE]


def test_a_forced_call_that_never_comes_is_an_error() -> None:
    reader = stage(tool_choice=FORCED)
    reader.feed([TextDelta("No."), Finished("stop")])
    [ending] = told(reader.feed([TextDelta("No!"), Finished("stop")]))
    assert isinstance(ending, Failed)


@pytest.mark.parametrize("reason", ["content_filter", "length"])
def test_an_answer_that_is_cut_is_passed_on_as_it_is(reason: Any) -> None:
    reader = stage(tool_choice=FORCED)
    assert told(reader.feed([TextDelta("No"), Finished(reason)])) == [TextDelta("No"), Finished(reason)]
    assert reader.repair is None


def test_a_call_that_the_limit_cuts_is_left_out() -> None:
    reader = stage()
    assert told(reader.feed([TextDelta("I"), call('{"n": 1'), Finished("length")])) == [
        TextDelta("I"),
        Finished("length"),
    ]


def test_a_second_call_ends_a_reply_that_may_have_one() -> None:
    reader = stage(parallel_tool_calls=False)
    events = reader.feed([call('{"n":1}'), call('{"n":2}', number=1), DONE])
    assert events == [*whole('{"n":1}'), Finished("tool_calls")]
    assert reader.is_done
    single = stage(parallel_tool_calls=False)
    assert single.feed([call('{"n":1}'), DONE])[-1] == DONE, "with the upstream's own count"


def test_a_model_that_calls_without_end_is_ended() -> None:
    reader = stage()
    events = reader.feed([call('{"n":1}', number=number) for number in range(MAX_CALLS + 5)])
    assert sum(isinstance(event, ToolCallDelta) and bool(event.name) for event in events) == MAX_CALLS
    assert (events[-1], reader.is_done) == (Finished("tool_calls"), True)


def test_a_failure_is_passed_on_and_nothing_follows() -> None:
    reader = stage()
    failed = Failed(UpstreamTimeout("x"))
    assert reader.feed([call('{"n":1}'), failed, DONE]) == [failed]
