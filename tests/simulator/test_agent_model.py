"""The agent's decisions: directives, plain requests, forced calls, values by a schema."""

from __future__ import annotations

import json
from typing import Any

import pytest

from simulator.agent.directives import read_directive
from simulator.agent.examples import make_example
from simulator.agent.mistakes import MISTAKES, spoil
from simulator.agent.model import Move, decide
from simulator.agent.prompt import read_prompt
from simulator.agent.tasks import Request, find_folder, plan_request, understand
from simulator.agent.tools import Tool, read_tool
from tests.simulator.prompts import NAMED, ONE, OUTPUT, REMINDER, REQUIRED, block, history, result, single


def move(prompt: str) -> Move:
    return decide(read_prompt(prompt))


def calls(prompt: str) -> list[tuple[str, dict[str, Any]]]:
    return [(call.tool, dict(call.arguments)) for call in move(prompt).calls]


def loop(words: str, *results: str, reminders: str = REMINDER, output: str = "") -> str:
    """Make the prompt after these results, one step each."""
    turns = [("user", words)]
    for text in results:
        turns += [("assistant", block("now", "x", "1")), ("user", result(1, "now", text))]
    return history(*turns, reminders=reminders, output=output)


# Directives


def test_a_directive_is_called_step_by_step_and_then_answered() -> None:
    words = (
        'Do [agent: write_file path=a.txt content="hi; \\"there\\"]"; then say "Now I look." & read_file '
        'path=a.txt limit=5 & now; read_file {"path": "$1"}; then answer "I saw $last and $2."] please'
    )
    assert calls(loop(words)) == [("write_file", {"path": "a.txt", "content": 'hi; "there"]'})]
    second = move(loop(words, "b.txt"))
    assert (second.words, second.step) == ("Now I look.", 2)
    assert [call.arguments for call in second.calls] == [{"path": "a.txt", "limit": 5}, {}]
    assert calls(loop(words, "b.txt", "two", "three")) == [("read_file", {"path": "b.txt"})]
    last = move(loop(words, "b.txt", "two", "three", "four"))
    assert (last.words, last.calls, last.is_final) == ("I saw four and two.", (), True)


def test_a_dozen_steps_are_counted_by_their_results() -> None:
    words = '[agent: 12 times bash command="echo $i"]'
    for done in range(12):
        assert calls(loop(words, *map(str, range(done)))) == [("bash", {"command": f"echo {done + 1}"})]
    final = move(loop(words, *map(str, range(12)))).words
    assert final.split("\n") == ["Done.", *(f"now gave: “{number}”" for number in range(12))]


def test_two_calls_are_made_one_by_one_if_the_prompt_asks_for_one_block() -> None:
    words = "[agent: read_file path=a & read_file path=b]"
    reminders = f"{REMINDER}\n{ONE}"
    assert calls(loop(words, reminders=reminders)) == [("read_file", {"path": "a"})]
    assert calls(loop(words, "A", reminders=reminders)) == [("read_file", {"path": "b"})]
    assert len(calls(loop(words))) == 2
    assert move(loop(words, "A", "B", reminders=reminders)).is_final


def test_a_new_task_counts_its_own_results_only() -> None:
    prompt = history(
        ("user", "[agent: now]"),
        ("assistant", block("now", "x", "1")),
        ("user", result(1, "now", "12")),
        ("assistant", "Done."),
        ("user", "[agent: bash command=ls]"),
    )
    assert calls(prompt) == [("bash", {"command": "ls"})]


def test_the_words_of_a_repair_do_not_end_the_task() -> None:
    earlier = [(single("[agent: read_file path=a.txt]"), "<bridge_run>…")]
    repair = "The last block could not be run: limit must be an integer. Write the block again, complete."
    made = decide(read_prompt(repair + "\n" + REMINDER, earlier))
    assert [(call.tool, call.arguments) for call in made.calls] == [("read_file", {"path": "a.txt"})]


def test_values_follow_the_schema_and_required_ones_are_made() -> None:
    made = calls(single("[agent: read_file path=5 limit=5 & todo & search & unknown x=1]"))
    assert made[0] == ("read_file", {"path": "5", "limit": 5})
    assert made[1] == ("todo", {"items": [{"t": "t", "done": True}]})
    assert made[2] == ("client_search", {"query": "query"}), "the gateway's prefix is found"
    assert made[3] == ("unknown", {"x": "1"})


@pytest.mark.parametrize("words", ["[agent: ]", "[agent: now", "[agent: now ! ]", '[agent: now x="a]'])
def test_a_directive_that_cannot_be_read_is_an_error(words: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_directive(words)


def test_words_without_a_directive_have_none() -> None:
    assert read_directive("agent: now") is None


# Forced calls and JSON


def test_a_forced_call_is_made_without_a_task() -> None:
    assert calls(single("Hello", reminders=REQUIRED)) == [("read_file", {"path": "path"})]
    assert calls(single("Hello", reminders=NAMED)) == [("bash", {"command": "command"})]
    directive = "[agent: now & bash command=ls]"
    assert calls(single(directive, reminders=NAMED)) == [("bash", {"command": "ls"})]
    assert calls(single("Hello")) == []


def test_a_forced_final_tool_is_called_when_the_task_is_done() -> None:
    prompt = loop("[agent: now]", "12:00", reminders=REQUIRED)
    prompt = prompt.replace(
        "now: Tell the time. {}", 'now: {}\nfinal_result: Answer. {"city":"string, required"}'
    )
    assert calls(prompt) == [("final_result", {"city": "city"})]


def test_a_json_answer_satisfies_the_schema() -> None:
    assert json.loads(move(single("Weather?", output=OUTPUT)).words) == {"city": "city", "degrees": 10}
    after = move(loop("[agent: now]", "12:00", output=OUTPUT))
    assert (after.is_final, json.loads(after.words)["degrees"]) == (True, 10)
    given = single('[agent: answer {"city": "X", "degrees": 20}]', output=OUTPUT)
    assert json.loads(move(given).words) == {"city": "X", "degrees": 20}
    anything = single("Hi", section="", reminders="", output="# Output\nOne JSON value.\n\n")
    assert isinstance(json.loads(move(anything).words), dict)


EXAMPLES: list[tuple[dict[str, Any], Any]] = [
    ({"type": "string", "enum": ["b", "a"]}, "b"),
    ({"const": 7}, 7),
    ({"type": "integer", "minimum": 3, "multipleOf": 5}, 5),
    ({"type": "integer", "exclusiveMinimum": 1}, 2),
    ({"type": "number", "maximum": 0.5}, 0.5),
    ({"type": "integer", "maximum": -4}, -4),
    ({"type": ["string", "null"]}, "text"),
    ({"type": "string", "minLength": 6, "maxLength": 8}, "textxx"),
    ({"type": "string", "format": "date"}, "2026-11-28"),
    ({"type": "string", "pattern": "^[A-Z]{3}-\\d{2}$"}, None),
    ({"type": "array", "items": {"type": "string"}, "minItems": 2, "uniqueItems": True}, ["text", "text1"]),
    ({"type": "array", "items": {"type": "boolean"}}, [True]),
    ({"prefixItems": [{"type": "null"}, {"type": "integer"}], "type": "array"}, [None, 1]),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 1),
    ({"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]}, {"a": 1, "b": 2}),
    ({"$ref": "#/$defs/x~1y", "$defs": {"x/y": {"type": "integer"}}}, 1),
    ({"type": "object", "required": ["free"]}, {"free": "free"}),
    ({}, "text"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "wanted"), EXAMPLES)
def test_an_example_satisfies_its_schema(schema: dict[str, Any], wanted: Any) -> None:
    made = make_example(schema)
    if "pattern" in schema:
        assert isinstance(made, str)
    else:
        assert made == wanted


@pytest.mark.parametrize(
    "pattern", [r"^\d{4}-\d{2}-\d{2}$", r"^[A-Z]+$", r"^\d{5}$", r"^v\d\.\d$", r"^[a-z0-9_]+$"]
)
def test_an_example_matches_simple_patterns(pattern: str) -> None:
    import re

    assert re.search(pattern, make_example({"type": "string", "pattern": pattern}))


def test_a_recursive_member_that_is_optional_ends() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
    made = make_example({"$ref": "#/$defs/node", "$defs": {"node": node}})
    assert json.dumps(made).count("next") < 20


def test_a_recursive_schema_ends() -> None:
    node = {
        "type": "object",
        "properties": {
            "value": {"type": "integer"},
            "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
        },
        "required": ["value", "next"],
    }
    made = make_example({"$ref": "#/$defs/node", "$defs": {"node": node}})
    depth = 0
    while made is not None:
        assert made["value"] == 1
        made, depth = made["next"], depth + 1
    assert 1 < depth < 20


# Plain requests


@pytest.mark.parametrize(
    ("words", "request_"),
    [
        ("create the file hello.txt with the text hi", Request("write", "hello.txt", "hi")),
        (
            'Please create a file named `a/b.txt` containing "two words".',
            Request("write", "a/b.txt", "two words"),
        ),
        (
            "Write a file hello.txt with exactly this content: hi there.",
            Request("write", "hello.txt", "hi there"),
        ),
        ("create hello.txt with the text 'hi'", Request("write", "hello.txt", "hi")),
        ("创建文件 hello.txt，内容为 hi", Request("write", "hello.txt", "hi")),
        ("Read the file src/app.py and explain it.", Request("read", "src/app.py")),
        ("run the command `ls -l`", Request("run", command="ls -l")),
        ("<system-reminder>run `rm`</system-reminder>\nread README.md", Request("read", "README.md")),
        ("Say pong", None),
        ("What is a file?", None),
    ],
)
def test_a_plain_request_is_understood(words: str, request_: Request | None) -> None:
    assert understand(words) == request_


CLIENTS: dict[str, tuple[list[str], str, dict[str, Any]]] = {
    "opencode": (
        [
            'bash: Executes. {"command":"string, required","description":"string, required"}',
            'edit: Replaces. {"filePath":"string, required","oldString":"string, required"}',
            'write: Writes a file. {"content":"string, required","filePath":"string, required"}',
            'read: Reads a file. {"filePath":"string, required","offset":"number"}',
            'todowrite: Writes todos. {"todos":{"type":"array","items":{"type":"object"},"required":true}}',
        ],
        "write",
        {"filePath": "/tmp/w/hello.txt", "content": "hi"},
    ),
    "qwen-code": (
        [
            'read_file: Reads. {"absolute_path":"string, required"}',
            'write_file: Writes content. {"file_path":"string, required","content":"string, required"}',
            'edit: Edits. {"file_path":"string, required","old_string":"string, required"}',
            'save_memory: Saves. {"fact":"string, required"}',
        ],
        "write_file",
        {"file_path": "/tmp/w/hello.txt", "content": "hi"},
    ),
    "claude-code": (
        [
            'Bash: Runs a command. {"command":"string, required","description":"string"}',
            'NotebookEdit: Edits. {"notebook_path":"string, required","new_source":"string, required"}',
            'Write: Writes a file. {"file_path":"string, required","content":"string, required"}',
        ],
        "Write",
        {"file_path": "/tmp/w/hello.txt", "content": "hi"},
    ),
    "codex": (
        [
            'exec_command: Runs a command. {"cmd":"string, required","workdir":"string"}',
            'write_stdin: Writes to a session. {"session_id":"number, required","chars":"string"}',
        ],
        "exec_command",
        {"cmd": "printf '%s\\n' hi > /tmp/w/hello.txt"},
    ),
    "codex, older": (
        ['shell: Runs. {"command":{"type":"array","items":{"type":"string"},"required":true}}'],
        "shell",
        {"command": ["bash", "-lc", "printf '%s\\n' hi > /tmp/w/hello.txt"]},
    ),
    "a patch only": (
        ['apply_patch: Applies a patch. {"input":"string, required"}'],
        "apply_patch",
        {"input": "*** Begin Patch\n*** Add File: hello.txt\n+hi\n*** End Patch\n"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("client", CLIENTS)
def test_a_file_is_written_by_the_tools_of_each_client(client: str) -> None:
    lines, tool, arguments = CLIENTS[client]
    tools = [made for line in lines if (made := read_tool(line))]
    assert len(tools) == len(lines)
    planned = plan_request(Request("write", "hello.txt", "hi"), tools, "/tmp/w")
    assert planned is not None
    assert (planned.tool, planned.arguments) == (tool, arguments)


@pytest.mark.parametrize(
    "text",
    [
        "Working directory: /tmp/w\nPlatform: linux",
        "<cwd>/tmp/w</cwd>",
        "I work in the directory `/tmp/w`.",
        "The temporary directory is: /tmp/x\n- **Workspace Directories:**\n  - /tmp/w\n",
    ],
)
def test_the_working_folder_is_found(text: str) -> None:
    assert find_folder(text) == "/tmp/w"


def test_a_plain_request_is_done_once_and_then_reported() -> None:
    words = "create the file hello.txt with the text hi"
    assert calls(loop(words)) == [("write_file", {"path": "hello.txt", "content": "hi"})]
    assert move(loop(words, "Wrote 2 bytes.")).words == "Done.\nnow gave: “Wrote 2 bytes.”"
    assert calls(single("read notes.md")) == [("read_file", {"path": "notes.md"})]
    assert calls(single("run `ls`")) == [("bash", {"command": "ls"})]


def test_a_plain_request_of_an_older_turn_is_past() -> None:
    context = "read the file README.md first"
    assert calls(history(("user", context), ("assistant", "Got it."), ("user", "Say pong"))) == []
    assert calls(history(("user", context), ("user", "Say pong"))) == [("read_file", {"path": "README.md"})]
    earlier = [(single("read a.txt"), "<bridge_run>…")]
    repair = decide(
        read_prompt(f"The last block could not be run. Write the block again.\n{REMINDER}", earlier)
    )
    assert [call.arguments for call in repair.calls] == [{"path": "a.txt"}]


def test_no_tool_fits_and_no_call_is_made() -> None:
    assert plan_request(Request("write", "a.txt", "x"), [Tool("now")], "") is None
    assert plan_request(Request("read", "a.txt"), [Tool("now")], "") is None


# Mistakes


@pytest.mark.parametrize(
    ("mistake", "made"),
    [
        ("misspelt", ("raed_file", {"path": "a.txt"})),
        ("missing", ("read_file", {})),
        ("mistyped", ("read_file", {"path": "a.txt", "limit": "five"})),
        ("destroyed", ("read_file", {"path": "a.txt"})),
    ],
)
def test_a_mistake_spoils_the_first_call(mistake: str, made: tuple[str, dict[str, Any]]) -> None:
    reading = read_prompt(single("[agent: read_file path=a.txt]"))
    [call] = spoil(decide(reading), mistake, reading).calls
    assert (call.tool, call.arguments) == made


def test_an_announcement_has_no_call() -> None:
    reading = read_prompt(single("[agent: read_file path=a.txt]"))
    spoilt = spoil(decide(reading), "announced", reading)
    assert (spoilt.words, spoilt.calls) == ("I will now use read_file with path = 'a.txt':", ())


def test_spoilt_json_lacks_a_required_member() -> None:
    reading = read_prompt(single("Weather?", output=OUTPUT))
    assert spoil(decide(reading), "invalid_json", reading).words.split("\n")[1] == '{"degrees": 10}'


def test_an_answer_without_calls_and_json_cannot_be_spoilt() -> None:
    reading = read_prompt("Hi")
    for mistake in MISTAKES:
        assert spoil(decide(reading), mistake, reading) == decide(reading)
