"""The rules around the calls: what flows, what is held, how a turn ends, and the one repair turn."""

from __future__ import annotations

import msgspec
import pytest

from lib.chat.events import (
    Citation,
    Failed,
    Finished,
    ImageMade,
    InterceptedCall,
    Notice,
    ReasoningDelta,
    ReplyEvent,
    Rewritten,
    TextDelta,
    ToolCallDelta,
)
from lib.chat.request import Message, TextPart, ToolCall, ToolChoice
from lib.errors import UpstreamProtocolError
from lib.tools.reader import MAX_CALLS
from tests.unit.tools.samples import CLOSE as E
from tests.unit.tools.samples import (
    FORCED,
    TOOLS,
    box_of,
    notices,
    play,
    read,
    reader_of,
    say,
    summary,
)
from tests.unit.tools.samples import OPEN as B

NOW = f"{B}<tool>now</tool>{E}"
BAD = f"{B}<tool>read</tool>{E}"
GOOD = f"{B}<tool>read</tool><in_path>a.py</in_path>{E}"
READ = ("read", {"path": "a.py"})


def text_of(events: list[ReplyEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def test_text_flows_at_once() -> None:
    reader = reader_of()
    for piece in ("Let", " me look", " at <it>", " all.\nThis", " is it."):
        assert text_of(reader.feed([TextDelta(piece)])) == piece


def test_only_a_possible_beginning_of_a_call_is_held_back() -> None:
    reader = reader_of()
    assert text_of(reader.feed([TextDelta("So:\n")])) == "So:"
    assert text_of(reader.feed([TextDelta("<bridge_ru")])) == ""
    assert text_of(reader.feed([TextDelta("g")])) == "\n<bridge_rug"
    assert text_of(reader.feed([TextDelta("> and on")])) == "> and on"


@pytest.mark.parametrize(
    "line", ["<div>", "{ x", "[a]", "```\nx", "- item", "reads it", "Action plan", "`x`", "## A"]
)
def test_a_line_that_only_looks_like_a_call_is_held_for_a_few_characters(line: str) -> None:
    reader = reader_of()
    text, shown = f"a\n{line} and more", ""
    for said, character in enumerate(text, 1):
        shown += text_of(reader.feed([TextDelta(character)]))
        assert said - len(shown) <= 12
    assert shown == text


def test_a_call_comes_whole_with_its_index_id_and_name_first() -> None:
    reader = reader_of()
    assert reader.feed([TextDelta(GOOD[:-1])]) == []
    assert reader.feed([TextDelta(">")]) == [
        ToolCallDelta(0, "", "call_1", "read"),
        ToolCallDelta(0, '{"path":"a.py"}'),
    ]
    finished = Finished("stop")
    assert reader.feed([finished]) == [msgspec.structs.replace(finished, reason="tool_calls")]


def test_text_behind_the_last_call_is_dropped() -> None:
    told = read(f"one\n{NOW}\ntwo\n{GOOD}\nthree")
    assert told.items == ("one", ("now", {}), "two", READ)


def test_a_result_that_the_model_invents_stops_the_upstream() -> None:
    reader = reader_of()
    told = play(reader, [TextDelta(f"{NOW}\n<bridge_result>\n"), TextDelta("noon")])
    assert (told.calls, told.ending, reader.is_done) == ([("now", {})], "tool_calls", True)
    assert reader.feed([TextDelta("more"), Finished("stop")]) == []


def test_a_result_behind_a_plain_call_stops_the_upstream() -> None:
    reader = reader_of()
    told = play(reader, [TextDelta('read({"path":"a.py"})\n'), TextDelta("Observation: "), TextDelta("x")])
    assert (told.calls, told.ending, reader.is_done) == ([READ], "tool_calls", True)


def test_calls_are_capped() -> None:
    reader = reader_of()
    blocks = "".join(f"{B}<tool>read</tool><in_path>{n}</in_path>{E}\n" for n in range(200))
    told = play(reader, [TextDelta(blocks)])
    assert (len(told.calls), told.ending, reader.is_done) == (MAX_CALLS, "tool_calls", True)


def test_one_call_is_enough_without_parallel_calls() -> None:
    reader = reader_of(box_of(parallel_tool_calls=False))
    told = play(reader, [TextDelta(f"{NOW}\n{GOOD}")])
    assert (told.calls, told.ending, reader.is_done) == ([("now", {})], "tool_calls", True)


def test_every_other_event_passes_in_its_place() -> None:
    class Strange(msgspec.Struct, frozen=True):
        words: str

    strange: ReplyEvent = Strange("x")  # type: ignore[assignment]
    events: list[ReplyEvent] = [
        strange,
        ReasoningDelta("hm"),
        TextDelta("a"),
        Citation(1, "https://a.example", "A"),
        TextDelta("b\n"),
        ImageMade("https://a.example/i.png"),
        Notice("x"),
        Finished("stop"),
    ]
    reader = reader_of()
    out = [passed for event in events for passed in reader.feed([event])]
    assert out == [
        *events[:4],
        TextDelta("b"),
        TextDelta("\n"),
        *events[5:],
    ]


def test_a_source_inside_a_call_is_a_part_of_the_argument() -> None:
    reader = reader_of()
    events: list[ReplyEvent] = [
        TextDelta(f"{B}<tool>bash</tool><in_command>echo "),
        Citation(2, "https://a.example", "A"),
        TextDelta(f"</in_command>{E}"),
        Finished("stop"),
    ]
    assert play(reader, events).items == (("bash", {"command": "echo [2]"}),)


# Endings


def test_an_error_is_never_a_call() -> None:
    reader = reader_of()
    failed = Failed(UpstreamProtocolError("cut"))
    assert reader.feed([TextDelta(GOOD[:-3]), failed]) == [failed]


def test_an_error_releases_the_last_characters_of_a_text() -> None:
    reader = reader_of()
    failed = Failed(UpstreamProtocolError("cut"))
    assert reader.feed([TextDelta("So:\n<bri"), failed]) == [TextDelta("So:\n<bri"), failed]


def test_moderation_is_never_a_call() -> None:
    told = play(reader_of(), [TextDelta(GOOD[:-3]), Finished("content_filter")])
    assert (told.items, told.ending) == ((), "content_filter")


def test_a_cut_answer_keeps_its_whole_calls_only() -> None:
    assert read(f"{NOW}\n{GOOD[:-20]}", reason="length").items == (("now", {}),)
    assert read('{"name":"read","arguments":{"path":"a.py"}}', reason="length").calls == [READ]


# Reasoning


def test_calls_in_the_reasoning_count_if_nothing_else_came() -> None:
    told = play(reader_of(), [ReasoningDelta(f"I call it.\n{GOOD}\n"), Finished("stop")])
    assert (told.items, told.ending) == ((READ,), "tool_calls")


def test_calls_in_the_reasoning_are_not_run_beside_a_text_or_a_call() -> None:
    both = play(reader_of(), [ReasoningDelta(GOOD), TextDelta(GOOD), Finished("stop")])
    assert both.calls == [READ]
    text = play(reader_of(), [ReasoningDelta(GOOD), TextDelta("No."), Finished("stop")])
    assert (text.items, text.ending) == (("No.",), "stop")
    cut = play(reader_of(), [ReasoningDelta(GOOD), Finished("length")])
    assert (cut.items, cut.ending) == ((), "length")


# The repair turn


def test_a_fault_is_named_and_the_second_turn_counts() -> None:
    reader = reader_of()
    first = play(reader, say([f"I look.\n{BAD}\nDone."]))
    assert (first.items, first.ending) == (("I look.",), "repair")
    assert "in_path is missing" in first.repair
    assert "Write the block again" in first.repair
    assert "with one of: read, write, bash" in first.repair
    second = play(reader, say([f"Sorry, here it is:\n{GOOD}"]))
    assert (second.items, second.ending) == ((READ,), "tool_calls")
    assert reader.repair is None


def test_a_second_fault_becomes_text() -> None:
    reader = reader_of()
    assert play(reader, say([BAD])).ending == "repair"
    told = play(reader, say([f"It is so.\n{BAD}"]))
    assert (told.items, told.ending) == (("It is so.",), "stop")


def test_a_second_fault_without_any_text_is_shown_in_its_raw_words() -> None:
    reader = reader_of()
    assert play(reader, say([BAD])).ending == "repair"
    told = play(reader, say([BAD]))
    assert (told.items, told.ending) == ((BAD,), "stop")


def test_text_of_the_second_turn_is_set_apart_from_that_of_the_first() -> None:
    reader = reader_of()
    play(reader, say([f"I look.\n{BAD}"]))
    assert play(reader, say(["I cannot."])).items == ("\n\nI cannot.",)


def test_a_forced_call_that_does_not_come_is_an_error() -> None:
    reader = reader_of(box_of(tool_choice=FORCED))
    first = play(reader, say(["No."]))
    assert first.ending == "repair"
    assert "at least one <bridge_run> block" in first.repair
    assert play(reader, say(["No."])).ending == "invalid_model_output"


def test_a_forced_call_may_come_in_the_second_turn() -> None:
    reader = reader_of(box_of(tool_choice=FORCED))
    play(reader, say(["No."]))
    assert play(reader, say([GOOD])).items == (READ,)


def test_another_tool_than_the_named_one_is_a_fault() -> None:
    reader = reader_of(box_of(tool_choice=ToolChoice(mode="required", names=("read",))))
    told = play(reader, say([NOW]))
    assert (told.items, told.ending) == ((), "repair")
    assert "may only use read" in told.repair


def test_calls_behind_a_fault_wait_for_its_repair() -> None:
    reader = reader_of()
    first = play(reader, say([f"{BAD}\n{NOW}"]))
    assert (first.items, first.ending) == ((), "repair")
    second = play(reader, say([GOOD]))
    assert (second.items, second.ending) == ((READ, ("now", {})), "tool_calls")


def test_calls_behind_a_fault_are_run_if_the_repair_fails() -> None:
    reader = reader_of()
    play(reader, say([f"{BAD}\n{NOW}"]))
    told = play(reader, say([BAD]))
    assert (told.items, told.ending) == ((("now", {}),), "tool_calls")


def test_a_fault_behind_a_call_is_left_out() -> None:
    reader = reader_of()
    out = reader.feed(say([f"{NOW}\n{BAD}"]))
    told = summary(out, reader.repair)
    assert (told.items, told.ending) == ((("now", {}),), "tool_calls")
    assert "tool_invalid" in notices(out)


def test_an_empty_turn_is_asked_again_and_twice_an_error() -> None:
    reader = reader_of()
    assert play(reader, [ReasoningDelta("hm"), Finished("stop")]).ending == "repair"
    assert play(reader, [Finished("stop")]).ending == "invalid_model_output"


def test_a_repair_is_counted() -> None:
    reader = reader_of()
    assert notices(reader.feed(say([BAD]))) == ["tool_invalid", "tool_repair"]


def test_a_model_that_loops_is_not_nudged() -> None:
    turn = Message(role="assistant", tool_calls=(ToolCall("x", "now", "{}"),))
    result = Message(role="tool", parts=(TextPart("noon"),), tool_call_id="x")
    box = box_of(messages=(turn, result) * 3)
    reader = reader_of(box)
    told = play(reader, say([BAD]))
    assert (told.items, told.ending) == ((BAD,), "stop")
    assert not box_of(messages=(turn, result) * 2).is_looping


# A text that the upstream changed at the end


def test_a_rewritten_text_is_told_without_its_calls() -> None:
    reader = reader_of()
    whole = f"Look.\n{GOOD}\nDone."
    out = reader.feed([TextDelta(whole), Rewritten((TextDelta(whole),)), Finished("stop")])
    retold = [event.events for event in out if isinstance(event, Rewritten)]
    assert retold == [(TextDelta("Look."),)]
    assert summary(out, None).calls == [READ]


def test_a_rewritten_text_may_bring_the_call() -> None:
    reader = reader_of()
    out = reader.feed([TextDelta("Look."), Rewritten((TextDelta(f"Look.\n{GOOD}"),)), Finished("stop")])
    assert summary(out, None).calls == [READ]


def test_a_rewritten_text_keeps_its_other_events() -> None:
    reader = reader_of()
    source = Citation(1, "https://a.example", "A")
    last = Rewritten((ReasoningDelta("hm"), TextDelta("Loo"), TextDelta("k"), source, TextDelta(".")))
    out = reader.feed([TextDelta("Look"), source, TextDelta("."), last, Finished("stop")])
    retold = [event.events for event in out if isinstance(event, Rewritten)]
    assert retold == [last.events]


def test_a_rewritten_text_counts_once_only() -> None:
    reader = reader_of()
    last = Rewritten((TextDelta(f"<think>so</think>{GOOD}"),))
    out = reader.feed([ReasoningDelta("hm"), last, Finished("stop")])
    assert summary(out, None).calls == [READ]
    bad = reader_of()
    told = bad.feed([TextDelta(BAD), Rewritten((TextDelta(BAD),)), Finished("stop")])
    assert not [event for event in told if isinstance(event, Rewritten)]


def test_a_rewritten_text_with_too_many_calls_is_cut() -> None:
    reader = reader_of(box_of(parallel_tool_calls=False))
    out = reader.feed([TextDelta("So."), Rewritten((TextDelta(f"{GOOD}\n{NOW}"),)), Finished("stop")])
    assert summary(out, None).calls == [READ]


def test_one_call_of_the_reasoning_is_enough_without_parallel_calls() -> None:
    reader = reader_of(box_of(parallel_tool_calls=False))
    told = play(reader, [ReasoningDelta(f"{GOOD}\n{NOW}"), Finished("stop")])
    assert told.calls == [READ]


def test_a_fault_in_the_reasoning_is_no_call() -> None:
    assert play(reader_of(), [ReasoningDelta(BAD), Finished("stop")]).ending == "repair"


def test_an_intercepted_call_is_taken_though_a_fault_came_before_it() -> None:
    call = InterceptedCall("now", "{}", "c")
    told = play(reader_of(), [TextDelta(BAD), call, Finished("stop")])
    assert (told.calls, told.ending) == ([("now", {})], "tool_calls")


def test_an_image_before_a_fault_is_content() -> None:
    reader = reader_of()
    play(reader, say([BAD]))
    out = reader.feed([ImageMade("https://a.example/i.png"), Finished("stop")])
    assert summary(out, reader.repair).ending == "stop"


def test_words_beyond_the_limit_are_not_kept() -> None:
    reader = reader_of()
    long = "x" * 300_000
    told = play(reader, [ReasoningDelta(long), ReasoningDelta(GOOD), Finished("stop")])
    assert (told.ending, told.calls) == ("repair", [])


def test_calls_in_plain_text_beyond_the_limit_are_text() -> None:
    text = 'read({"path":"' + "x" * 300_000
    assert read(text).items == (text,)


def test_many_lines_that_only_look_like_calls_are_text() -> None:
    text = '[call:fly]{"a":1}\n' * 100
    assert read(text).items == (text,)


def test_without_tools_everything_passes() -> None:
    reader = reader_of(box_of(TOOLS, tool_choice=ToolChoice(mode="none")))
    events = say([GOOD])
    assert reader.feed(events) == events
