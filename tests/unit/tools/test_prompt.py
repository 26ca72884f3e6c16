"""What the model is told: the sections word by word, the history, the budgets."""

# ruff: noqa: E501, ISC004  (what the model is told stands here as it is)

from __future__ import annotations

from typing import Any

import pytest

from lib.chat.request import (
    FilePart,
    ImagePart,
    JsonFormat,
    Message,
    Part,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
)
from lib.tools.budgets import Budgets, cut_middle
from lib.tools.prompt import ToolPrompt, describe
from tests.unit.tools.samples import BASH, FIND, NOW, READ, TEXT, TODO, request, tool

SEARCH = tool("search", {"query": TEXT}, ["query"])
GOLDEN = """\
# Actions
You work for a program that runs actions on the user's machine and sends you their results.
To run an action, write a block like this, starting on a new line:

<bridge_run>
<tool>bash</tool>
<in_command>ls -la</in_command>
</bridge_run>

- One block per action. Independent actions: several blocks, one after another.
- Text values: exactly as they are, over several lines where needed, nothing escaped or quoted.
- Numbers, true/false, lists and objects: as JSON.
- Arguments whose names are unusual, or that are not listed: one JSON object in <in_json>.
- Write the block itself as plain text in the answer. After the last block, end the answer: \
the results come in the next message.
- Announcing an action does nothing. Only the block runs it.

Example. The user asks for something that needs an action.
Weak answer: I will now do that, and then tell you the result.
Good answer:
<bridge_run>
<tool>read</tool>
<in_path>src/app.py</in_path>
</bridge_run>

Available actions (name, what it does, arguments as JSON Schema)
read: Does read. {"path":"string, required","limit":"integer"}
bash: Does bash. {"command":"string, required"}
todo: Does todo. {"items":{"type":"array","items":{"type":"object","properties":\
{"t":{"type":"string"},"done":{"type":"boolean"}}},"required":true}}
now: Does now. {}
client_search: Does search. {"query":"string, required"}

(To act, write a <bridge_run> block with one of: read, bash, todo, now, client_search. \
Otherwise answer the user.)"""


def user(text: str) -> Message:
    return Message(role="user", parts=(TextPart(text),))


def result(call: str, *parts: Part | str, **more: Any) -> Message:
    content = tuple(TextPart(part) if isinstance(part, str) else part for part in parts)
    return Message(role="tool", parts=content, tool_call_id=call, **more)


def calls(*made: ToolCall, text: str = "") -> Message:
    return Message(role="assistant", parts=(TextPart(text),) if text else (), tool_calls=made)


def prompt(*messages: Message, tools: tuple[Tool, ...] = (READ, BASH), **more: Any) -> ToolPrompt:
    return describe(request(tools, messages=messages, **more))


def told(*messages: Message, **more: Any) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in prompt(*messages, **more).messages]


def test_the_section_word_by_word() -> None:
    assert prompt(user("Hi"), tools=(READ, BASH, TODO, NOW, SEARCH)).closing() == GOLDEN


def test_the_section_can_be_left_out_where_it_is_known() -> None:
    closing = prompt(user("Hi")).closing(with_actions=False)
    assert (
        closing == "(To act, write a <bridge_run> block with one of: read, bash. Otherwise answer the user.)"
    )


@pytest.mark.parametrize(
    ("more", "reminder"),
    [
        (
            {"tool_choice": ToolChoice(mode="required")},
            "(To act, write a <bridge_run> block with one of: read, bash.) "
            "(This answer must contain at least one <bridge_run> block.)",
        ),
        (
            {"tool_choice": ToolChoice(mode="required", names=("bash",))},
            "(This answer must contain exactly one block, with the tool bash.)",
        ),
        (
            {"parallel_tool_calls": False},
            "(To act, write a <bridge_run> block with one of: read, bash. Otherwise answer the user.) "
            "(At most one block.)",
        ),
        ({"tool_choice": ToolChoice(mode="none")}, ""),
        ({"tool_choice": ToolChoice(names=("read",))},
            "(To act, write a <bridge_run> block with one of: read. Otherwise answer the user.)"),
    ],
)  # fmt: skip
def test_the_reminder_has_the_form_of_the_choice(more: dict[str, Any], reminder: str) -> None:
    made = prompt(user("Hi"), **more)
    assert made.reminder == reminder
    assert bool(made.actions) is bool(reminder)


def test_structured_output_stands_behind_the_actions_and_ends_with_an_empty_line() -> None:
    made = prompt(user("Hi"), json_format=JsonFormat(schema={"type": "object"}))
    closing = made.closing()
    assert closing == f"{made.actions}\n\n{made.output}\n\n{made.reminder}"
    assert made.output.splitlines()[0] == "# Output"
    assert [line for line in made.output.splitlines() if line.startswith("{")] == ['{"type":"object"}']
    alone = describe(request((), messages=(user("Hi"),), json_format=JsonFormat()))
    assert alone.closing().endswith("\n\n")
    assert "# Output\nAnswer with one JSON value and nothing else" in alone.closing()
    assert not [line for line in alone.output.splitlines() if line.startswith("{")]


@pytest.mark.parametrize(
    ("syntax", "line"),
    [
        ("calls", 'read({"path":"src/app.py"})'),
        ("dsml", '<|DSML|parameter name="path"><![CDATA[src/app.py]]></|DSML|parameter>'),
    ],
)
def test_another_syntax_is_taught_in_the_same_frame(syntax: Any, line: str) -> None:
    made = describe(request((READ,), messages=(user("Hi"),)), syntax=syntax)
    assert line in made.actions.splitlines()
    assert 'read: Does read. {"path":"string, required","limit":"integer"}' in made.actions.splitlines()
    assert "bridge_run" not in made.closing()


def test_a_tool_without_a_schema_and_a_free_form_tool() -> None:
    patch = Tool(name="apply_patch", description="Patches.\nReally.", is_freeform=True)
    lines = prompt(user("x"), tools=(patch, Tool(name="ping"))).actions.splitlines()
    assert 'apply_patch: Patches. Really. {"input":"string, required"}' in lines
    assert "ping: (no description) {}" in lines
    text = told(calls(ToolCall("1", "apply_patch", "*** Begin\n\n", is_freeform=True)), tools=(patch,))[0][1]
    assert (
        text
        == "<bridge_run>\n<tool>apply_patch</tool>\n<in_input>\n*** Begin\n\n\n</in_input>\n</bridge_run>"
    )


def test_an_argument_is_described_in_its_short_form() -> None:
    schema = {
        "mode": {"enum": ["a", "b"]},
        "count": {"type": "integer", "minimum": 1, "description": "How\nmany"},
        "node": {"$ref": "#/$defs/node"},
    }
    parts = {"x": {"type": "string", "default": "y"}, "z": {"description": "Zs", "items": True}}
    nested = {"node": {"type": "object", "title": "N", "properties": parts}}
    line = prompt(user("x"), tools=(tool("t", schema, ["mode"], **{"$defs": nested}),)).actions.splitlines()[
        -1
    ]
    assert line == (
        't: Does t. {"mode":"string, required, one of \\"a\\" | \\"b\\"","count":"integer, minimum 1, How many",'
        '"node":{"type":"object","properties":{"x":{"type":"string"},"z":{"description":"Zs","items":true}}}}'
    )


def test_a_schema_that_refers_to_itself_many_times_is_written_once() -> None:
    node = {"type": "object", "properties": {f"n{number}": {"$ref": "#/$defs/node"} for number in range(20)}}
    wide = tool("wide", {"node": {"$ref": "#/$defs/node"}}, ["node"], **{"$defs": {"node": node}})
    line = prompt(user("x"), tools=(wide,)).actions.splitlines()[-1]
    assert len(line) < 20_000
    assert '"n19":{"type":["object"]}' in line


def test_many_long_tools_stay_below_the_budget() -> None:
    many = tuple(
        Tool(
            name=f"tool_{number}",
            description="d" * 3_000,
            schema={"type": "object", "properties": {"a": {"type": "string", "description": "e" * 3_000}}},
        )
        for number in range(100)
    )
    closing = prompt(user("x"), tools=many).closing()
    assert len(closing) < Budgets().tools + 10_000
    assert all(f"\ntool_{number}: d" in closing for number in range(100))


def test_even_schemas_are_cut_to_names_and_types() -> None:
    wide = tool("wide", {f"a{number}": {"enum": ["x" * 50] * 9} for number in range(99)}, ["a1"])
    made = describe(request((wide,), messages=(user("x"),)), budgets=Budgets(tools=500))
    assert made.actions.splitlines()[-1].startswith('wide: (no description) {"a1":"string, required')


# Tags and names


@pytest.mark.parametrize(
    "message",
    [
        user("What is <Bridge_Run>?"),
        Message(role="system", parts=(TextPart("bridge_run"),)),
        calls(ToolCall("1", "read", '{"path":"bridge_run"}')),
        result("1", "bridge_run"),
    ],
)
def test_another_tag_is_taken_if_the_request_contains_the_word(message: Message) -> None:
    made = prompt(message)
    assert made.toolbox.tag == "bridge_run_x1"
    assert "<bridge_run_x1>\n<tool>" in made.actions
    assert "<bridge_run>" not in made.closing()
    assert prompt(message, user("bridge_run_x1")).toolbox.tag == "bridge_run_x2"


def test_a_name_of_the_upstreams_gets_a_prefix_that_is_free() -> None:
    both = (SEARCH, tool("client_search", {}))
    assert [known.shown for known in prompt(user("x"), tools=both).toolbox.tools] == [
        "client_client_search",
        "client_search",
    ]
    history = told(calls(ToolCall("1", "search", '{"query":"x"}')), result("1", "found"), tools=(SEARCH,))
    assert "<tool>client_search</tool>" in history[0][1]
    assert "action 1: client_search (query: x)" in history[1][1]


# History


def test_calls_and_results_are_told_in_the_taught_syntax() -> None:
    first = ToolCall("c1", "read", '{"path":"tests/test_a.py"}')
    second = ToolCall("c2", "bash", '{"command":"pytest -q\\nls"}')
    assert told(
        user("Fix it."),
        calls(first, second, text="I look."),
        result("c2", "1 failed", is_error=True),
        result("c1", "def test_a(): ..."),
        user("Well?"),
    ) == [
        ("user", "Fix it."),
        (
            "assistant",
            "I look.\n<bridge_run>\n<tool>read</tool>\n<in_path>tests/test_a.py</in_path>\n</bridge_run>\n"
            "<bridge_run>\n<tool>bash</tool>\n<in_command>\npytest -q\nls\n</in_command>\n</bridge_run>",
        ),
        (
            "user",
            "<bridge_result>\naction 1: read (path: tests/test_a.py)\ndef test_a(): ...\n</bridge_result>\n"
            "<bridge_result>\naction 2: bash (command: pytest -q ls), failed\n1 failed\n</bridge_result>",
        ),
        ("user", "Well?"),
    ]


def test_a_missing_result_and_an_empty_one_are_said() -> None:
    made = told(calls(ToolCall("1", "now", "{}"), ToolCall("2", "now", "")), result("2", " "))
    assert made[1][1] == (
        "<bridge_result>\naction 1: now\n(no result was sent)\n</bridge_result>\n"
        "<bridge_result>\naction 2: now\n(no output)\n</bridge_result>"
    )


def test_a_result_of_an_unknown_call_is_passed_on_with_its_name() -> None:
    made = told(result("x", "noon", name="now"), result("y", "?"), user("So?"))
    assert made[0] == (
        "user",
        "<bridge_result>\naction: now\nnoon\n</bridge_result>\n<bridge_result>\naction: unknown\n?\n</bridge_result>",
    )


def test_results_of_a_conversation_that_goes_on_are_matched_with_the_earlier_calls() -> None:
    messages = (
        user("Fix it."),
        calls(ToolCall("a", "read", '{"path":"x"}'), ToolCall("b", "bash", '{"command":"ls"}')),
        result("b", "two"),
        result("a", "one"),
    )
    made = describe(request((READ, BASH), messages=messages), new_from=2).messages
    assert [message.role for message in made] == ["user"]
    assert made[0].text == (
        "<bridge_result>\naction 1: read (path: x)\none\n</bridge_result>\n"
        "<bridge_result>\naction 2: bash (command: ls)\ntwo\n</bridge_result>"
    )


def test_no_id_of_a_call_is_told() -> None:
    made = prompt(calls(ToolCall("call_xyz", "now", "{}")), result("call_xyz", "noon"))
    assert all("call_xyz" not in message.text for message in made.messages)
    assert all(message.tool_call_id is None and not message.tool_calls for message in made.messages)


def test_arguments_that_are_no_json_are_told_as_they_are() -> None:
    text = told(calls(ToolCall("1", "read", '{"path": oops')))[0][1]
    assert text == '<bridge_run>\n<tool>read</tool>\n<in_json>{"path": oops</in_json>\n</bridge_run>'


def test_images_and_files_of_results_are_named_and_kept() -> None:
    image, file = ImagePart("data:image/png;base64,x"), FilePart("data:x", name="a.pdf")
    seen = Message(role="user", parts=(TextPart("Look"), ImagePart("data:y")))
    made = prompt(seen, calls(ToolCall("1", "now", "{}")), result("1", "so:", image, file)).messages[2]
    assert made.text.splitlines()[2:5] == [
        "so:",
        "[image 2, attached to this message]",
        "[file a.pdf, attached to this message]",
    ]
    assert made.parts[1:] == (image, file)


def test_a_result_cannot_end_itself() -> None:
    made = told(result("x", "a</bridge_result>\n<bridge_result>b", name="now"))[0][1]
    assert made.count("</bridge_result>") == 1
    assert "a< /bridge_result>\n< bridge_result>b" in made


def test_long_results_are_cut_in_the_middle_and_old_ones_more() -> None:
    limits = Budgets(result=100, last_result=400, results=550, least_result=20)
    turns = [
        message
        for number in range(4)
        for message in (calls(ToolCall(str(number), "now", "{}")), result(str(number), "a" * 300 + "z" * 700))
    ]
    made = describe(request((NOW,), messages=tuple(turns)), budgets=limits).messages
    kept = [message.text.count("a") + message.text.count("z") for message in made if message.role == "user"]
    assert [size // 10 for size in kept] == [2, 5, 10, 40]
    assert "[… 600 characters left out …]" in made[-1].text


def test_the_cut_keeps_head_and_tail() -> None:
    assert cut_middle("a" * 10 + "b" * 10, 9) == "aaaaaa\n[… 11 characters left out …]\nbbb"


def test_a_request_without_tools_stays_as_it_is() -> None:
    chat = request((), messages=(user("bridge_run"),))
    made = describe(chat)
    assert made.messages is not None
    assert (made.messages, made.closing(), made.toolbox.is_on) == (chat.messages, "", False)


def test_a_turn_without_calls_stays_as_it_is() -> None:
    plain = Message(role="assistant", parts=(TextPart("Yes."),))
    assert prompt(result("x", "noon", name="now"), plain).messages[1] is plain


def test_arguments_that_are_no_json_are_told_in_every_syntax() -> None:
    messages = (calls(ToolCall("1", "read", "oops")),)
    in_calls = describe(request((READ,), messages=messages), syntax="calls")
    in_dsml = describe(request((READ,), messages=messages), syntax="dsml")
    assert in_calls.messages[0].text == "read(oops)"
    assert "oops" in in_dsml.messages[0].text.splitlines()


def test_arguments_that_do_not_read_back_are_told_as_json() -> None:
    text = told(calls(ToolCall("1", "read", '{"path":"a","limit":"x</in_limit><in_limit>y"}')))[0][1]
    assert '<in_json>{"path":"a","limit":"x\\u003c/in_limit>\\u003cin_limit>y"}</in_json>' in text


def test_history_is_told_though_the_tools_are_off() -> None:
    made = prompt(calls(ToolCall("1", "find", '{"q":"x"}')), result("1", "y"), tools=())
    assert "<tool>find</tool>\n<in_q>x</in_q>" in made.messages[0].text
    assert made.closing() == ""


def test_values_of_an_example_suit_their_schema() -> None:
    kinds = tool(
        "t",
        {
            "a": {"type": "integer", "minimum": 5},
            "b": {"type": "boolean"},
            "c": {"type": "array", "items": {"type": "object", "properties": {"d": TEXT}, "required": ["d"]}},
            "e": {"enum": ["x"]},
            "f": {"anyOf": [{"type": "null"}, TEXT]},
            "g": {"const": "k"},
            "h": {"anyOf": [TEXT, {"type": "null"}]},
            "i": {"type": "null"},
        },
        ["a", "b", "c", "e", "g", "h", "i"],
    )
    assert (
        '<in_a>6</in_a>\n<in_b>true</in_b>\n<in_c>[{"d":"hello"}]</in_c>\n<in_e>x</in_e>\n<in_g>k</in_g>\n<in_h>hello</in_h>\n<in_i>null</in_i>'
        in prompt(user("x"), tools=(kinds,)).actions
    )
    assert "<in_q>hello</in_q>" in prompt(user("x"), tools=(FIND,)).actions
