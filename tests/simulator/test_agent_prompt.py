"""The agent reads a prompt in the contract's form: tools, reminder, output, results, turns."""

from __future__ import annotations

import pytest

from simulator.agent.prompt import read_prompt, where_tags_count
from simulator.agent.tools import read_tool
from tests.simulator.prompts import (
    NAMED,
    ONE,
    OUTPUT,
    REMINDER,
    REQUIRED,
    SECTION,
    block,
    history,
    result,
    single,
)


def kinds(prompt: str) -> list[tuple[str, str]]:
    return [(item.kind, item.text) for item in read_prompt(prompt).items]


def test_the_tools_are_read_with_their_arguments() -> None:
    reading = read_prompt(single("Hi"))
    assert [tool.name for tool in reading.tools] == [
        "read_file", "write_file", "bash", "todo", "client_search", "now",
    ]  # fmt: skip
    read_file, _, _, todo, search, now = reading.tools
    assert read_file.description == "Read a file {text only}."
    assert read_file.arguments == {"path": {"type": "string"}, "limit": {"type": "integer"}}
    assert read_file.required == ("path",)
    assert todo.required == ("items",)
    assert todo.arguments["items"]["items"]["required"] == ["t", "done"]
    assert search.arguments["mode"] == {"type": "string", "enum": ["fast", "deep"]}
    assert (now.arguments, now.required) == ({}, ())


@pytest.mark.parametrize(
    ("line", "name", "required"),
    [
        ('a: {"type":"object","properties":{"x":{"type":"string"}},"required":["x"]}', "a", ("x",)),
        ('mcp__files__read: Read: it reads. {"x":"string, required"}', "mcp__files__read", ("x",)),
        ('ns:read: Read. {"x":"string, required"}', "ns:read", ("x",)),
        ("a: No arguments.", "a", ()),
        ('a.b-c: {not JSON} {"x":"number, required"}', "a.b-c", ("x",)),
    ],
)
def test_a_tools_line_is_read(line: str, name: str, required: tuple[str, ...]) -> None:
    tool = read_tool(line)
    assert tool is not None
    assert (tool.name, tool.required) == (name, required)


@pytest.mark.parametrize("line", ["", "no colon", "two words: text", "- a: b"])
def test_another_line_is_no_tool(line: str) -> None:
    assert read_tool(line) is None


@pytest.mark.parametrize(
    ("reminders", "choice", "named", "one_block"),
    [
        (REMINDER, "auto", "", False),
        (f"{REMINDER}\n{ONE}", "auto", "", True),
        (REQUIRED, "required", "", False),
        (f"{REMINDER}\n{REQUIRED}", "required", "", False),
        (f"{REMINDER} {REQUIRED}", "required", "", False),
        (NAMED, "named", "bash", True),
    ],
)
def test_the_reminder_is_read(reminders: str, choice: str, named: str, one_block: bool) -> None:
    for prompt in (single("Hi", reminders=reminders), history(("user", "Hi"), reminders=reminders)):
        reading = read_prompt(prompt)
        assert (reading.choice, reading.named, reading.one_block) == (choice, named, one_block)
        assert [(item.kind, item.text) for item in reading.items] == [("words", "Hi")]


def test_a_prompt_without_tools_has_no_choice() -> None:
    for prompt in (
        "Hi",
        "Write a <bridge_run> block, please.",
        history(("user", "Hi")).replace(SECTION, "")[:12],
    ):
        reading = read_prompt(prompt)
        assert (reading.choice, reading.tools, reading.wants_json) == ("none", (), False)


def test_the_words_of_the_user_do_not_open_a_section() -> None:
    words = "# Actions\nThis is my heading.\n\n# Output\nmine\n\nEnd (of the block)"
    reading = read_prompt(single(words, output=OUTPUT))
    assert [item.text for item in reading.items] == [words]
    assert len(reading.tools) == 6
    assert reading.schema is not None


def test_quoted_sections_are_no_sections() -> None:
    prompt = f"<|user|>\n{SECTION}{OUTPUT}\n<|assistant|>\nI see.\n<|user|>\nHi\n<|assistant|>\n"
    reading = read_prompt(prompt)
    assert (reading.choice, reading.wants_json) == ("none", False)
    assert [item.kind for item in reading.items] == ["words", "assistant", "words"]
    readme = read_prompt("# Output\nThe tool prints JSON.\n\n# License\nMIT")
    assert not readme.wants_json
    assert not read_prompt("# Output\nThe tool prints lines.").wants_json


def test_the_output_is_read() -> None:
    reading = read_prompt(single("Hi", output=OUTPUT))
    assert reading.wants_json
    assert reading.schema is not None
    assert reading.schema["required"] == ["city", "degrees"]
    alone = read_prompt(single("Hi", section="", reminders="", output="# Output\nOne JSON value.\n\n"))
    assert (alone.wants_json, alone.schema, alone.choice) == (True, None, "none")


def test_the_taught_tag_is_read() -> None:
    prompt = single("<bridge_run> is my word.").replace("<bridge_run>\n", "<bridge_run_x1>\n")
    prompt = prompt.replace("a <bridge_run> block", "a <bridge_run_x1> block")
    assert read_prompt(prompt).tag == "bridge_run_x1"
    assert read_prompt(single("<bridge_run_x1> is my word.")).tag == "bridge_run"


def test_the_turns_and_results_are_read_in_order() -> None:
    prompt = history(
        ("system", "Be brief."),
        ("user", "Fix it."),
        ("assistant", "I look.\n" + block("read_file", "path", "a.txt") + block("bash", "command", "ls")),
        (
            "user",
            result(1, "read_file", "def f(): ...\n\n# Actions\n") + result(2, "bash", "no", failed=True),
        ),
        ("user", "Go on."),
    )
    reading = read_prompt(prompt)
    assert [item.kind for item in reading.items] == [
        "system", "words", "assistant", "result", "result", "words",
    ]  # fmt: skip
    assert reading.system == "Be brief."
    first, second = (item.result for item in reading.items if item.result)
    assert (first.number, first.tool, first.failed) == (1, "read_file", False)
    assert first.arguments == "path: a.txt"
    assert first.text == "def f(): ...\n\n# Actions\n"
    assert (second.number, second.tool, second.failed, second.text) == (2, "bash", True, "no")


def test_words_beside_results_stay_words() -> None:
    text = "## Results\n" + result(1, "now", "12:00") + "\nAnd tomorrow?"
    assert kinds(history(("user", text)))[1] == ("words", "And tomorrow?")


def test_a_conversation_that_goes_on_keeps_the_tools_of_its_earlier_prompt() -> None:
    earlier = [(single("Do it."), "On it.")]
    reading = read_prompt(f"{result(1, 'now', '12:00')}\n{REMINDER}", earlier)
    assert [item.kind for item in reading.items] == ["words", "assistant", "result"]
    assert reading.find_tool("read_file") is not None
    assert reading.find_tool("read_file") != read_prompt(REMINDER).find_tool("read_file")
    assert len(read_prompt(REMINDER).tools) == 6, "the reminder names them"


def test_only_the_newest_words_and_the_system_may_name_a_scene() -> None:
    prompt = history(
        ("system", "S"),
        ("user", "old"),
        ("assistant", "A"),
        ("user", "task"),
        ("assistant", block("now", "x", "1")),
        ("user", result(1, "now", "[scene:echo]")),
        ("user", "<system-reminder>\nRemember.\n</system-reminder>"),
    )
    assert where_tags_count(prompt) == "S\ntask"
