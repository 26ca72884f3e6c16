"""The agent over HTTP: syntaxes, pieces, interceptions, mistakes and their repair."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from simulator.agent.mistakes import IMAGINED
from simulator.app import Simulator
from tests.simulator.browser import Browser
from tests.simulator.prompts import OUTPUT, REMINDER, history, result, single

WORDS = '[agent: write_file path=a.txt content="one\\ntwo"; then answer "It is done: $last"]'
REPAIR = f"The last block could not be run. Write the block again, complete.\n{REMINDER}"
BLOCK = (
    "<bridge_run>\n<tool>write_file</tool>\n<in_path>a.txt</in_path>\n"
    "<in_content>\none\ntwo\n</in_content>\n</bridge_run>"
)
CALL = '{"path": "a.txt", "content": "one\\ntwo"}'


def ask(browser: Browser, sim: Simulator, scene: str, prompt: str, **options: Any) -> list[dict[str, Any]]:
    sim.play(scene)
    return browser.events(prompt, **options)


def said(events: list[dict[str, Any]], kind: str = "text") -> str:
    """Join the increments."""
    return "".join(
        item[kind]
        for event in events[:-1]
        for part in event.get("parts", [])
        if part["status"] == "init"
        for item in part["content"]
        if item.get("type") == kind
    )


def items(events: list[dict[str, Any]], kind: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Collect the items of a kind, each with its part."""
    return [
        (part, item)
        for event in events
        for part in event.get("parts", [])
        for item in part["content"]
        if item.get("type") == kind
    ]


WRITTEN = {
    "blocks": BLOCK,
    "taught": BLOCK,
    "calls": f"write_file({CALL})",
    "dsml": '<|DSML|tool_calls>\n<|DSML|invoke name="write_file">\n'
    '<|DSML|parameter name="path"><![CDATA[a.txt]]></|DSML|parameter>\n'
    '<|DSML|parameter name="content"><![CDATA[one\ntwo]]></|DSML|parameter>\n'
    "</|DSML|invoke>\n</|DSML|tool_calls>",
    "native": "<tool_call>write_file<arg_key>path</arg_key><arg_value>a.txt</arg_value>"
    "<arg_key>content</arg_key><arg_value>one\ntwo</arg_value></tool_call>",
    "native_lines": "<tool_call>write_file\n<arg_key>path</arg_key>\n<arg_value>a.txt</arg_value>\n"
    "<arg_key>content</arg_key>\n<arg_value>one\ntwo</arg_value>\n</tool_call>\n",
    "json_fenced": f'```json\n{{"name": "write_file", "arguments": {CALL}}}\n```',
    "react": f"Thought: I need write_file.\nAction: write_file\nAction Input: {CALL}",
}


@pytest.mark.parametrize("syntax", WRITTEN)
def test_a_call_is_written_in_each_syntax(sim: Simulator, browser: Browser, syntax: str) -> None:
    assert said(ask(browser, sim, f"agent syntax={syntax}", single(WORDS))) == WRITTEN[syntax]


def test_a_call_is_written_as_json(sim: Simulator, browser: Browser) -> None:
    [call] = json.loads(said(ask(browser, sim, "agent_json", single(WORDS))))["tool_calls"]
    assert (call["function"]["name"], call["function"]["arguments"]) == ("write_file", CALL)


def test_the_loop_ends_with_an_answer_that_quotes_the_result(sim: Simulator, browser: Browser) -> None:
    prompt = history(("user", WORDS), ("assistant", BLOCK), ("user", result(1, "write_file", "2 lines")))
    assert said(ask(browser, sim, "agent", prompt)) == "It is done: 2 lines"


def test_a_tag_in_the_task_holds_for_the_whole_loop(browser: Browser) -> None:
    words = f"{WORDS} [scene:agent_native]"
    assert said(browser.events(single(words))).startswith("<tool_call>write_file")
    step = history(
        ("user", words.replace("then answer", "now; then answer")),
        ("assistant", BLOCK),
        ("user", result(1, "write_file", "[scene:echo]")),
    )
    assert said(browser.events(step)) == "<tool_call>now</tool_call>"


def test_without_a_tag_the_prompt_s_tools_make_the_agent(browser: Browser) -> None:
    assert said(browser.events(single(WORDS))) == BLOCK
    plain = "create the file hello.txt with the text hi"
    assert "<in_content>hi</in_content>" in said(browser.events(single(plain)))
    done = history(("user", plain), ("assistant", BLOCK), ("user", result(1, "write_file", "ok")))
    assert said(browser.events(done)) == "Done.\nwrite_file gave: “ok”"
    output = single("Weather?", section="", reminders="", output=OUTPUT)
    assert json.loads(said(browser.events(output))) == {"city": "city", "degrees": 10}
    assert "demo simulator" in said(browser.events("Hello"))


def test_the_taught_tag_is_used(sim: Simulator, browser: Browser) -> None:
    prompt = single(WORDS).replace("bridge_run", "bridge_run_x2")
    assert said(ask(browser, sim, "agent", prompt)) == BLOCK.replace("bridge_run", "bridge_run_x2")


def test_a_block_comes_in_pieces_that_cut_its_tags(sim: Simulator, browser: Browser) -> None:
    events = ask(browser, sim, "agent step=3", single(WORDS))
    pieces = [item["text"] for part, item in items(events, "text") if part["status"] == "init"]
    assert len(pieces) > 20
    assert max(map(len, pieces)) == 3
    assert "".join(pieces) == BLOCK
    increments = [event for event in events if event["meta_data"].get("if_increase_push")]
    assert len(increments) == len(pieces)


def test_each_piece_may_be_a_part_of_its_own(sim: Simulator, browser: Browser) -> None:
    events = ask(browser, sim, "agent_parts", single(WORDS))
    ids = [part["logic_id"] for part, _ in items(events[:-1], "text") if part["status"] == "finish"]
    assert len(ids) == len(set(ids)) > 10
    assert said(events) == BLOCK


def test_the_pace_of_the_simulator_holds(sim: Simulator, browser: Browser) -> None:
    sim.pace_s = 0.01
    sim.play("agent step=10")
    with browser.open_chat(single(WORDS)) as response:
        chunks = list(response.iter_raw())
    assert len(chunks) >= len(BLOCK) // 10


def test_it_thinks_first_if_the_mode_says_so(sim: Simulator, browser: Browser) -> None:
    events = ask(browser, sim, "agent", single(WORDS), chat_mode="thinking")
    assert said(events, "think") == "Step 1. 6 tools are there."
    assert said(events) == BLOCK


def test_blocks_may_stand_in_the_reasoning_alone(sim: Simulator, browser: Browser) -> None:
    events = ask(browser, sim, "agent_thinks", single(WORDS))
    assert BLOCK in said(events, "think")
    assert said(events) == ""


@pytest.mark.parametrize("shape", ["plain", "list", "object", "inside", "call_failed"])
def test_the_upstream_s_own_layer_takes_the_call(sim: Simulator, browser: Browser, shape: str) -> None:
    events = ask(browser, sim, f"agent_upstream shape={shape}", single(WORDS))
    assert [event["status"] for event in events if event["status"] != "init"] == ["finish"]
    [(part, item)] = items(events, "tool_calls")
    call = item["tool_calls"][0] if shape == "list" else item["tool_calls"]
    assert call["name"] == "write_file"
    arguments = call["arguments"] if shape == "object" else json.loads(call["arguments"])
    assert arguments == {"path": "a.txt", "content": "one\ntwo"}
    assert part["status"] == {"call_failed": "error", "inside": "finish"}.get(shape, "init")
    [(failed, outcome)] = items(events, "tool_result")
    if shape == "inside":
        assert outcome["tool_result"]["content"] == "unknown tool call"
    else:
        assert (failed["role"], failed["model"], failed["status"]) == ("tool", "all-tools", "error")
        assert outcome["tool_calls"] == call
    assert said(events) == "The tool write_file is not available to me."


def test_an_invented_result_follows_the_block(sim: Simulator, browser: Browser) -> None:
    words = said(ask(browser, sim, "agent_invents", single(WORDS)))
    assert words.startswith(f"{BLOCK}\n<bridge_result>\naction 1: write_file\n")
    assert words.endswith("as the invented result shows.")


SPOILT = {
    "agent_misspelt": "<tool>wirte_file</tool>",
    "agent_missing": "<tool>write_file</tool>\n<in_content>",
    "agent_announced": "I will now use write_file with path = 'a.txt'",
}


@pytest.mark.parametrize("scene", SPOILT)
def test_a_mistake_is_repaired_when_the_gateway_asks_again(
    sim: Simulator, browser: Browser, scene: str
) -> None:
    first = ask(browser, sim, scene, single(WORDS))
    assert SPOILT[scene] in said(first)
    again = browser.events(REPAIR, conversation_id=first[0]["conversation_id"])
    assert said(again) == BLOCK
    assert sim.violations == []


def test_a_repair_needs_no_reminder(browser: Browser) -> None:
    first = browser.events(single("[agent: read_file path=a limit=5] [scene:agent_mistyped]"))
    words = 'The last block could not be run: in_limit must be an integer, got "five". Write the block again.'
    again = browser.events(words, conversation_id=first[0]["conversation_id"])
    assert "<in_limit>5</in_limit>" in said(again)


def test_a_file_listing_is_written_if_the_prompt_asks_for_one(browser: Browser) -> None:
    system = "To change a file you MUST return a *file listing*."
    prompt = f"<|system|>\n{system}\n<|user|>\ncreate hello.txt with the text hi\n<|assistant|>\n"
    assert said(browser.events(prompt)) == "Here it is.\n\nhello.txt\n```\nhi\n```\n"


def test_a_mistyped_argument_is_repaired(sim: Simulator, browser: Browser) -> None:
    first = ask(browser, sim, "agent_mistyped", single("[agent: read_file path=a limit=5]"))
    assert "<in_limit>five</in_limit>" in said(first)
    again = browser.events(REPAIR, conversation_id=first[0]["conversation_id"])
    assert "<in_limit>5</in_limit>" in said(again)


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("0", "tool_call] write_file"),
        ("1", f"write_file({CALL})</arg_value>"),
        ("2", "tool_9a822147</arg_value>"),
    ],
)
def test_a_destroyed_interception_is_imagined_on_and_then_repaired(
    sim: Simulator, browser: Browser, form: str, name: str
) -> None:
    first = ask(browser, sim, f"agent_destroyed form={form}", single(WORDS))
    [(_, item)] = items(first, "tool_calls")
    assert (item["tool_calls"]["name"], item["tool_calls"]["arguments"]) == (name, "{}")
    assert items(first, "tool_result")[0][1]["tool_result"]["content"] == "unknown tool call"
    assert said(first) == IMAGINED
    assert said(browser.events(REPAIR, conversation_id=first[0]["conversation_id"])) == BLOCK


def test_invalid_json_is_repaired(sim: Simulator, browser: Browser) -> None:
    prompt = single("Weather?", section="", reminders="", output=OUTPUT)
    first = ask(browser, sim, "agent_invalid_json", prompt)
    assert said(first) == 'Here you are:\n{"degrees": 10}\nAnything else?'
    again = browser.events(
        f"The member city is missing.\n\n{OUTPUT}", conversation_id=first[0]["conversation_id"]
    )
    assert json.loads(said(again)) == {"city": "city", "degrees": 10}


def test_a_mistake_happens_at_its_step_and_as_often_as_asked(sim: Simulator, browser: Browser) -> None:
    words = "[agent: 3 times now]"
    scene = "agent_misspelt at=2 mistakes=2"
    assert "<tool>now</tool>" in said(ask(browser, sim, scene, single(words)))
    step = history(("user", words), ("assistant", "…"), ("user", result(1, "now", "12")))
    first = ask(browser, sim, scene, step)
    conversation_id = first[0]["conversation_id"]
    answers = [first, *(browser.events(REPAIR, conversation_id=conversation_id) for _ in range(2))]
    assert ["<tool>nwo</tool>" in said(answer) for answer in answers] == [True, True, False]
    later = history(("user", words), *([("user", result(1, "now", "12"))] * 2))
    assert "<tool>now</tool>" in said(ask(browser, sim, scene, later))


def test_a_narrating_model_never_calls(sim: Simulator, browser: Browser) -> None:
    first = ask(browser, sim, "agent_narrates", single(WORDS))
    again = browser.events(REPAIR, conversation_id=first[0]["conversation_id"])
    for answer in (first, again):
        assert said(answer).startswith("I will now use write_file with")
        assert "<bridge_run>" not in said(answer)


def test_an_answer_may_break_in_the_middle_of_a_block(sim: Simulator, browser: Browser) -> None:
    events = ask(browser, sim, "agent_cut", single(WORDS))
    assert BLOCK.startswith(said([*events, {}]))
    assert events[-1]["status"] == "error"


def test_a_loop_of_a_dozen_steps_runs_in_one_conversation(sim: Simulator, browser: Browser) -> None:
    words = '[agent: 12 times bash command="echo $i"; then answer "all: $1 $12"] [scene:agent step=4]'
    events = browser.events(single(words))
    for number in range(1, 13):
        assert f"<in_command>echo {number}</in_command>" in said(events)
        prompt = f"{result(1, 'bash', str(number))}\n{REMINDER}"
        events = browser.events(prompt, conversation_id=events[0]["conversation_id"])
    assert said(events) == "all: 1 12"
    assert all(one["conversation_id"] == two["conversation_id"] for one, two in pairwise(events))
    assert sim.violations == []


def test_a_directive_that_cannot_be_read_is_the_answer(sim: Simulator, browser: Browser) -> None:
    events = browser.events(single("[agent: now !]"))
    assert said(events).startswith("I cannot read the directive: ")
    assert sim.violations == []
