"""Bodies of POST /v1/responses, read: as OpenAI documents them, and as Codex and others send them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.chat.request import (
    MAX_MODEL_CHARS,
    FilePart,
    ImagePart,
    JsonFormat,
    Message,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
)
from lib.chat.size import MAX_CALLS
from lib.dialects.interface import Address
from lib.dialects.openai_responses_request import AskedResponse, parse
from lib.errors import InvalidRequest, NotFound

ADD = {"type": "function", "name": "add", "description": "Add.", "parameters": {"type": "object"}}
PATCH = {"type": "custom", "name": "apply_patch", "description": "Patch."}


def asked(input_: Any = "Hello", **fields: Any) -> AskedResponse:
    return parse(json.dumps({"model": "glm-5.3", "input": input_, **fields}).encode(), Address())


def refused(input_: Any = "Hello", **fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        asked(input_, **fields)
    return caught.value


def echoed(**fields: Any) -> dict[str, Any]:
    echo: dict[str, Any] = json.loads(b"{" + asked(**fields).echo + b"}")
    return echo


def said(role: Any, text: str) -> Message:
    return Message(role=role, parts=(TextPart(text),))


def test_a_text_is_the_users_message() -> None:
    one = asked("Hello")
    assert one.chat.messages == (said("user", "Hello"),)
    assert (one.chat.model, one.chat.store, one.stream, one.previous_response_id) == (
        "glm-5.3",
        False,
        False,
        None,
    )
    assert one.chat.keeps_conversation is False


def test_instructions_come_first() -> None:
    assert asked(instructions="Be brief.").chat.messages == (
        said("system", "Be brief."),
        said("user", "Hello"),
    )
    assert asked(instructions="").chat.messages == (said("user", "Hello"),)


def test_messages_of_every_role_and_part() -> None:
    messages = asked(
        [
            {"role": "developer", "content": "Be brief."},
            {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be kind."}]},
            {
                "type": "message",
                "id": "msg_1",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Look"},
                    {"type": "input_image", "image_url": "https://i.example/1.png", "detail": "auto"},
                    {"type": "input_file", "file_data": "QUJD", "filename": "a.txt"},
                    {"type": "input_file", "file_data": "data:text/plain;base64,QUJD"},
                    {"type": "input_file", "file_url": "https://f.example/a.pdf"},
                    {"type": "input_text", "text": ""},
                ],
            },
            {
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [
                    {"type": "output_text", "text": "A cat.", "annotations": [], "logprobs": []},
                    {"type": "refusal", "refusal": "No."},
                ],
            },
            {"role": "assistant", "content": None},
        ]
    ).chat.messages
    at = "input[2].content"
    assert messages == (
        said("developer", "Be brief."),
        said("system", "Be kind."),
        Message(
            role="user",
            parts=(
                TextPart("Look"),
                ImagePart("https://i.example/1.png", f"{at}[1]"),
                FilePart("data:;base64,QUJD", "a.txt", f"{at}[2]"),
                FilePart("data:text/plain;base64,QUJD", None, f"{at}[3]"),
                FilePart("https://f.example/a.pdf", None, f"{at}[4]"),
            ),
        ),
        Message(role="assistant", parts=(TextPart("A cat."), TextPart("No."))),
        Message(role="assistant"),
    )


def test_calls_belong_to_the_turn_of_the_words_before_them() -> None:
    messages = asked(
        [
            {"role": "user", "content": "Add and patch."},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
            {"role": "assistant", "content": "Yes."},
            {
                "type": "function_call",
                "id": "fc_1",
                "call_id": "call_1",
                "name": "add",
                "arguments": '{"a":1}',
            },
            {"type": "custom_tool_call", "call_id": "call_2", "name": "apply_patch", "input": "*** Begin"},
            {"type": "function_call_output", "id": "fco_1", "call_id": "call_1", "output": "2"},
            {
                "type": "custom_tool_call_output",
                "call_id": "call_2",
                "output": [
                    {"type": "input_text", "text": "Done."},
                    {"type": "input_image", "image_url": "data:image/png;base64,QUJD"},
                ],
            },
            {"type": "function_call", "call_id": "call_3", "name": "add", "arguments": {"a": 2}},
            {"type": "function_call_output", "call_id": "call_3", "output": {"sum": 2}},
        ],
        tools=[ADD, PATCH],
    ).chat.messages
    assert messages[1:] == (
        Message(
            role="assistant",
            parts=(TextPart("Yes."),),
            tool_calls=(
                ToolCall("call_1", "add", '{"a":1}'),
                ToolCall("call_2", "apply_patch", "*** Begin", is_freeform=True),
            ),
        ),
        Message(role="tool", parts=(TextPart("2"),), tool_call_id="call_1"),
        Message(
            role="tool",
            parts=(TextPart("Done."), ImagePart("data:image/png;base64,QUJD", "input[6].output[1]")),
            tool_call_id="call_2",
        ),
        Message(role="assistant", tool_calls=(ToolCall("call_3", "add", '{"a":2}'),)),
        Message(role="tool", parts=(TextPart('{"sum":2}'),), tool_call_id="call_3"),
    )


def test_calls_of_openais_own_tools_are_told_as_calls() -> None:
    one = asked(
        [
            {"role": "user", "content": "List."},
            {
                "type": "local_shell_call",
                "id": "lsh_1",
                "call_id": "call_1",
                "status": "completed",
                "action": {"type": "exec", "command": ["ls"], "env": {}},
            },
            {"type": "local_shell_call_output", "id": "call_1", "output": "a.txt"},
            {"type": "apply_patch_call", "call_id": "call_2", "operation": {"type": "delete_file"}},
            {"type": "shell_call_output", "call_id": "call_3", "output": [{"stdout": "x"}]},
            {"type": "web_search_call", "id": "ws_1", "status": "completed"},
            {"type": "invention", "id": "iv_1", "secret": "words"},
            {"type": "invention_call"},
        ]
    )
    assert one.chat.messages[1:] == (
        Message(
            role="assistant",
            tool_calls=(ToolCall("call_1", "local_shell", '{"type":"exec","command":["ls"],"env":{}}'),),
        ),
        Message(role="tool", parts=(TextPart("a.txt"),), tool_call_id="call_1"),
        Message(role="assistant", tool_calls=(ToolCall("call_2", "apply_patch", '{"type":"delete_file"}'),)),
        Message(role="tool", parts=(TextPart('[{"stdout":"x"}]'),), tool_call_id="call_3"),
    )
    assert one.ignored == ("ignored_item", "ignored_item")


def test_a_tools_empty_output_is_an_answer_too() -> None:
    one = asked([{"type": "function_call_output", "call_id": "call_1", "output": ""}])
    assert one.chat.messages == (Message(role="tool", tool_call_id="call_1"),)


REFERENCE = {"type": "item_reference", "id": "msg_abc"}
USER = {"role": "user", "content": "Go on."}


def test_references_that_lead_somewhere() -> None:
    continued = asked([REFERENCE, USER], previous_response_id="resp_1")
    assert continued.chat.messages == (said("user", "Go on."),)
    here = asked([{"type": "message", "id": "msg_abc", "role": "assistant", "content": "A"}, REFERENCE, USER])
    assert here.chat.messages == (said("assistant", "A"), said("user", "Go on."))
    untyped = asked([{"id": "msg_abc", "role": "assistant", "content": "A"}, REFERENCE, USER])
    assert untyped.chat.messages == here.chat.messages
    reasoning = asked([{"id": "rs_1"}, {"type": "item_reference", "id": "ws_1"}, USER])
    assert reasoning.chat.messages == (said("user", "Go on."),)


def test_a_reference_to_words_beside_a_call_is_forgiven() -> None:
    one = asked(
        [
            USER,
            REFERENCE,
            {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "2"},
        ]
    )
    assert [message.role for message in one.chat.messages] == ["user", "assistant", "tool"]


@pytest.mark.parametrize("items", [[REFERENCE, USER], [USER, REFERENCE], [{"id": "msg_abc"}, USER]])
def test_a_reference_to_an_unknown_item_is_not_found(items: list[dict[str, Any]]) -> None:
    error = refused(items)
    assert isinstance(error, NotFound)
    assert "store: false" in error.message
    assert error.param == f"input[{next(i for i, item in enumerate(items) if 'role' not in item)}].id"


def test_an_empty_reference_and_a_reference_to_itself_lead_nowhere() -> None:
    assert refused([USER, {"type": "item_reference"}]).param == "input[1].id"
    assert refused([REFERENCE, REFERENCE, USER]).param == "input[0].id"


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"input_": None}, "input", "missing_field"),
        ({"input_": ""}, "input", "invalid_value"),
        ({"input_": []}, "input", "invalid_value"),
        ({"input_": 5}, "input", "invalid_value"),
        ({"input_": [5]}, "input[0]", "invalid_value"),
        ({"input_": [{}]}, "input[0].type", "missing_field"),
        ({"input_": [{"type": 5}]}, "input[0].type", "invalid_value"),
        ({"input_": [{"role": "user"}]}, "input[0].content", "missing_field"),
        ({"input_": [{"role": "user", "content": None}]}, "input[0].content", "invalid_value"),
        ({"input_": [{"role": "critic", "content": "x"}]}, "input[0].role", "invalid_value"),
        (
            {"input_": [{"role": "user", "content": [{"text": "x"}]}]},
            "input[0].content[0].type",
            "missing_field",
        ),
        (
            {"input_": [{"role": "user", "content": [{"type": "input_text"}]}]},
            "input[0].content[0].text",
            "missing_field",
        ),
        (
            {"input_": [{"role": "user", "content": [{"type": "input_text", "text": None}]}]},
            "input[0].content[0].text",
            "invalid_value",
        ),
        (
            {"input_": [{"role": "user", "content": [{"type": "input_text", "text": 5}]}]},
            "input[0].content[0].text",
            "invalid_value",
        ),
        (
            {"input_": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            "input[0].content[0]",
            "unsupported_parameter",
        ),
        (
            {"input_": [{"role": "user", "content": [{"type": "input_image"}]}]},
            "input[0].content[0].image_url",
            "missing_field",
        ),
        (
            {"input_": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0].file_id",
            "unsupported_parameter",
        ),
        (
            {"input_": [{"role": "user", "content": [{"type": "input_file"}]}]},
            "input[0].content[0].file_data",
            "missing_field",
        ),
        (
            {"input_": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
            "input[0].content[0].file_id",
            "unsupported_parameter",
        ),
        ({"input_": [{"type": "function_call", "name": "add"}]}, "input[0].call_id", "missing_field"),
        ({"input_": [{"type": "function_call_output", "output": ""}]}, "input[0].call_id", "missing_field"),
        ({"background": True}, "background", "unsupported_parameter"),
        ({"conversation": "conv_1"}, "conversation", "unsupported_parameter"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt", "unsupported_parameter"),
        ({"model": "m" * (MAX_MODEL_CHARS + 1)}, "model", "invalid_value"),
        ({"model": 5}, "model", "invalid_value"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort", "invalid_value"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "invalid_value"),
        ({"text": {"format": {}}}, "text.format.type", "missing_field"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema", "missing_field"),
        ({"tools": [{"name": "add"}]}, "tools[0].type", "missing_field"),
        ({"tools": [{"type": "function"}]}, "tools[0].name", "missing_field"),
        ({"tools": [{"type": "namespace", "tools": []}]}, "tools[0].name", "missing_field"),
        (
            {"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "custom"}]}]},
            "tools[0].tools[0].name",
            "missing_field",
        ),
        (
            {"tools": [{"type": "function", "name": "a", "parameters": 5}]},
            "tools[0].parameters",
            "invalid_value",
        ),
        ({"tool_choice": "sometimes"}, "tool_choice", "invalid_value"),
        ({"tool_choice": {}}, "tool_choice.type", "missing_field"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name", "missing_field"),
        ({"tool_choice": {"type": "function", "name": "sub"}}, "tool_choice.name", "invalid_value"),
        (
            {"tool_choice": {"type": "allowed_tools", "tools": [{"type": "custom", "name": "x"}]}},
            "tool_choice.tools[0].name",
            "invalid_value",
        ),
    ],
)
def test_a_mistake_is_named_where_it_is(fields: dict[str, Any], param: str, code: str) -> None:
    error = refused(**fields)
    assert (error.param, error.code, error.status) == (param, code, 400)


def test_no_json_is_refused_as_such() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(b'{"input": "a"', Address())
    assert caught.value.code == "invalid_json"
    with pytest.raises(InvalidRequest):
        parse(b"[]", Address())


@pytest.mark.parametrize(
    ("given", "limit"), [(100, 100), (100.0, 100), (0, None), (-1, None), (None, None), (1e300, None)]
)
def test_a_limit_is_taken_as_it_is_meant(given: float | None, limit: int | None) -> None:
    assert asked(max_output_tokens=given).chat.max_tokens == limit
    assert echoed(max_output_tokens=given, max_tool_calls=given)["max_tool_calls"] == limit


def test_efforts() -> None:
    assert asked().chat.effort is None
    assert asked(reasoning=None).chat.effort is None
    assert asked(reasoning={"effort": "", "summary": "auto"}).chat.effort is None
    assert asked(reasoning={"effort": "xhigh"}).chat.effort == "xhigh"
    assert echoed(reasoning={"effort": "low", "summary": "auto"})["reasoning"] == {
        "effort": "low",
        "summary": "auto",
    }
    assert echoed(reasoning={"generate_summary": "concise"})["reasoning"]["summary"] == "concise"


def test_formats_of_the_answer() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    form = {"type": "json_schema", "name": "thing", "schema": schema, "strict": True}
    assert asked(text={"format": form}).chat.json_format == JsonFormat(
        schema=schema, name="thing", strict=True
    )
    nested = {"type": "json_schema", "json_schema": {"name": "thing", "schema": schema, "strict": True}}
    assert asked(text={"format": nested}).chat.json_format == JsonFormat(
        schema=schema, name="thing", strict=True
    )
    assert asked(text={"format": {"type": "json_object"}}).chat.json_format == JsonFormat()
    assert asked(text={"format": {"type": "text"}, "verbosity": "low"}).chat.json_format is None
    assert asked(text={}).chat.json_format is None
    assert echoed(text={"format": form, "verbosity": "low"})["text"] == {"format": form, "verbosity": "low"}


def test_sources_of_a_search_are_included_if_asked_for() -> None:
    one = asked(include=["reasoning.encrypted_content", "web_search_call.action.sources", "other"])
    assert one.has_search_sources is True
    assert asked(include=None).has_search_sources is False


def test_a_kept_conversation() -> None:
    assert asked(store=True).chat.store is True
    assert echoed(store=True)["store"] is True
    continued = asked(previous_response_id="resp_1", store=False)
    assert continued.previous_response_id == "resp_1"
    assert continued.chat.store is True, "a conversation that goes on is kept"
    assert echoed(previous_response_id="resp_1")["previous_response_id"] == "resp_1"
    assert asked(previous_response_id="").previous_response_id is None


def test_the_request_is_repeated() -> None:
    given = {
        "instructions": "Be\nbrief.",
        "metadata": {"a": "b"},
        "service_tier": "flex",
        "prompt_cache_key": "key",
        "prompt_cache_retention": "24h",
        "safety_identifier": "me",
        "user": "u",
        "truncation": "auto",
        "temperature": 0.5,
        "top_p": 0.9,
        "top_logprobs": 2,
        "parallel_tool_calls": False,
        "max_tool_calls": 3,
        "max_output_tokens": 50,
        "tool_choice": "required",
    }
    assert {name: echoed(**given)[name] for name in given} == given
    tools = [
        {"type": "function", "name": "add"},
        {"type": "mystery", "x": 1},
        {"type": "mcp", "server_label": "x"},
        {"type": "function", "function": {"name": "sub", "strict": True}},
    ]
    absent = {"description": None, "parameters": None, "strict": None}
    assert echoed(tools=tools)["tools"] == [
        {"type": "function", "name": "add", **absent},
        {"type": "mcp", "server_label": "x"},
        {"type": "function", "name": "sub", **absent, "strict": True},
    ]


def test_functions_and_free_form_tools() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /a+/"}
    tools = asked(
        tools=[
            {**ADD, "strict": True},
            {**PATCH, "format": grammar},
            {"type": "custom", "name": "note", "format": {"type": "text"}},
            {"type": "function", "function": {"name": "sub", "parameters": {}}},
            {"type": "custom", "custom": {"name": "say", "format": {"type": "grammar", "grammar": {}}}},
            {"type": "function", "name": "add", "description": "The same name again."},
        ]
    ).chat.tools
    assert tools == (
        Tool(name="add", description="Add.", schema={"type": "object"}, strict=True),
        Tool(
            name="apply_patch",
            description="Patch.\nThe input must match this lark grammar:\nstart: /a+/",
            is_freeform=True,
        ),
        Tool(name="note", is_freeform=True),
        Tool(name="sub", schema={}),
        Tool(name="say", description="\nThe input must match this grammar:\n", is_freeform=True),
    )


NAMESPACES = [
    {"type": "namespace", "name": "one", "description": "First.", "tools": [ADD, {**ADD, "name": "sub"}]},
    {"type": "namespace", "name": "two", "tools": [ADD, {"type": "image_generation"}]},
    {"type": "function", "name": "sub"},
]


def test_tools_of_namespaces_keep_their_names_unless_two_share_one() -> None:
    one = asked(tools=NAMESPACES)
    assert [(tool.name, tool.description) for tool in one.chat.tools] == [
        ("sub", ""),
        ("add", "[one: First.] Add."),
        ("one__sub", "Add."),
        ("two__add", "Add."),
    ]
    assert one.ignored == ("ignored_tool_image_generation",)
    names = {
        tool.name: (one.toolbox.wire(tool.name).namespace, one.toolbox.wire(tool.name).name)
        for tool in one.chat.tools
    }
    assert names == {
        "sub": (None, "sub"),
        "add": ("one", "add"),
        "one__sub": ("one", "sub"),
        "two__add": ("two", "add"),
    }
    call = {"type": "function_call", "call_id": "c", "namespace": "two", "name": "add", "arguments": "{}"}
    [message] = asked(
        [call, {"type": "function_call_output", "call_id": "c", "output": ""}], tools=NAMESPACES
    ).chat.messages[:1]
    assert message.tool_calls[0].name == "two__add"
    assert asked(tools=NAMESPACES).toolbox.wire("invented").name == "invented"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ToolChoice()),
        ("auto", ToolChoice()),
        ("none", ToolChoice(mode="none")),
        ("required", ToolChoice(mode="required")),
        ({"type": "function", "name": "add"}, ToolChoice(mode="required", names=("add",))),
        ({"type": "function", "function": {"name": "add"}}, ToolChoice(mode="required", names=("add",))),
        (
            {"type": "function", "namespace": "two", "name": "add"},
            ToolChoice(mode="required", names=("two__add",)),
        ),
        ({"type": "namespace", "name": "one"}, ToolChoice(mode="required", names=("add", "one__sub"))),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "sub"}]},
            ToolChoice(mode="required", names=("sub",)),
        ),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "sub"}]},
            ToolChoice(names=("sub",)),
        ),
        ({"type": "allowed_tools", "mode": "auto", "tools": []}, ToolChoice(mode="none")),
        ({"type": "file_search"}, ToolChoice()),
        ({"type": "web_search"}, ToolChoice(mode="none")),
    ],
)
def test_choices(choice: Any, expected: ToolChoice) -> None:
    assert asked(tools=NAMESPACES, tool_choice=choice).chat.tool_choice == expected


def test_a_required_call_without_a_tool_is_no_demand() -> None:
    assert asked(tools=[{"type": "web_search"}], tool_choice="required").chat.tool_choice == ToolChoice()
    shell = asked(tools=[{"type": "local_shell"}], tool_choice={"type": "local_shell"})
    assert shell.chat.tool_choice == ToolChoice(mode="required", names=("local_shell",))


SEARCH = {"type": "web_search"}


@pytest.mark.parametrize(
    ("tools", "choice", "expected"),
    [
        ([], None, None),
        ([ADD], None, None),
        ([ADD], "none", None),
        ([SEARCH], None, True),
        ([SEARCH], "required", True),
        ([SEARCH], "none", False),
        ([{"type": "web_search_preview_2025_03_11", "search_context_size": "low"}], None, True),
        ([{"type": "web_search", "external_web_access": False}], None, False),
        ([{"type": "web_search", "external_web_access": False}, SEARCH], None, True),
        ([SEARCH, {"type": "web_search", "external_web_access": False}], None, True),
        ([SEARCH, ADD], {"type": "function", "name": "add"}, True),
        ([SEARCH, ADD], {"type": "web_search_preview"}, True),
        ([SEARCH, ADD], {"type": "allowed_tools", "tools": [{"type": "function", "name": "add"}]}, False),
        ([SEARCH, ADD], {"type": "allowed_tools", "tools": [SEARCH]}, True),
    ],
)
def test_the_search(tools: list[Any], choice: Any, expected: bool | None) -> None:
    assert asked(tools=tools, tool_choice=choice).chat.web_search is expected


def test_unknown_tools_are_left_out_and_said() -> None:
    one = asked(tools=[{"type": "mcp", "server_label": "x"}, {"type": "my secret type", "name": "x"}, ADD])
    assert [tool.name for tool in one.chat.tools] == ["add"]
    assert one.ignored == ("ignored_tool_mcp", "ignored_tool")


CODEX = {
    "model": "glm-5.3",
    "input": [
        {
            "type": "message",
            "id": "msg_1",
            "role": "developer",
            "content": [{"type": "input_text", "text": "<permissions instructions>"}],
        },
        {
            "type": "message",
            "id": "msg_2",
            "role": "user",
            "content": [{"type": "input_text", "text": "create the file"}],
        },
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Hm."}],
            "content": None,
            "encrypted_content": "Z2xt",
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "status": "completed",
            "name": "exec_command",
            "arguments": '{"cmd":"ls"}',
            "call_id": "call_1",
        },
        {"type": "function_call_output", "id": "fco_1", "call_id": "call_1", "output": "a.txt\n"},
    ],
    "tools": [
        {
            "type": "function",
            "name": "exec_command",
            "description": "Runs a command in a PTY.",
            "strict": False,
            "parameters": {
                "type": "object",
                "properties": {"cmd": {"type": "string"}},
                "required": ["cmd"],
                "additionalProperties": False,
            },
        },
        {
            "type": "custom",
            "name": "apply_patch",
            "description": "Use the `apply_patch` tool to edit files.",
            "format": {
                "type": "grammar",
                "syntax": "lark",
                "definition": "start: begin_patch hunk+ end_patch",
            },
        },
        {
            "type": "namespace",
            "name": "multi_agent_v1",
            "description": "Tools for sub-agents.",
            "tools": [
                {
                    "type": "function",
                    "name": "spawn_agent",
                    "description": "Spawn.",
                    "strict": False,
                    "parameters": {"type": "object", "properties": {}},
                }
            ],
        },
        {"type": "web_search", "external_web_access": False},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "019e-key",
    "client_metadata": {"x-codex-installation-id": "i"},
    "text": {
        "format": {
            "type": "json_schema",
            "strict": True,
            "schema": {"type": "object"},
            "name": "codex_output_schema",
        }
    },
}


def test_codex_is_understood() -> None:
    one = parse(json.dumps(CODEX).encode(), Address())
    assert [message.role for message in one.chat.messages] == ["developer", "user", "assistant", "tool"]
    assert [tool.name for tool in one.chat.tools] == ["exec_command", "apply_patch", "spawn_agent"]
    assert one.chat.web_search is False, "no live page may be read"
    assert (one.stream, one.chat.store, one.ignored) == (True, False, ())
    assert one.chat.json_format == JsonFormat(
        schema={"type": "object"}, name="codex_output_schema", strict=True
    )
    assert one.toolbox.wire("spawn_agent").namespace == "multi_agent_v1"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    "type", "role", "content", "text", "image_url", "file_data", "file_id", "call_id", "name", "arguments",
    "input", "output", "id", "tools", "parameters", "format", "namespace", "mode", "action", "operation",
    "function", "custom",
]  # fmt: skip
KINDS = st.sampled_from(
    ["message", "function_call", "function_call_output", "custom_tool_call", "item_reference", "reasoning",
     "local_shell_call", "shell_call_output", "function", "custom", "namespace", "web_search", "input_text",
     "input_image", "input_file", "allowed_tools", "user", "assistant", "x"]
)  # fmt: skip
OBJECTS = st.recursive(
    st.dictionaries(st.sampled_from(FIELDS), KINDS | JSON, max_size=5),
    lambda inner: st.dictionaries(
        st.sampled_from(FIELDS), KINDS | st.lists(inner, max_size=3) | inner, max_size=5
    ),
    max_leaves=6,
)


@given(
    body=st.fixed_dictionaries(
        {"input": st.lists(OBJECTS, max_size=4) | JSON},
        optional={
            "tools": st.lists(OBJECTS, max_size=3) | JSON,
            "tool_choice": OBJECTS | JSON,
            "text": st.fixed_dictionaries({"format": OBJECTS}) | JSON,
            "reasoning": JSON,
            "metadata": JSON,
            "max_output_tokens": JSON,
        },
    )
)
def test_any_json_is_read_or_refused_as_invalid(body: dict[str, Any]) -> None:
    try:
        one = parse(json.dumps(body).encode(), Address())
    except InvalidRequest:
        return
    assert one.chat.messages
    assert json.loads(b"{" + one.echo + b"}")["store"] is False


def test_more_calls_in_a_row_than_a_message_may_have_are_refused() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "now", "arguments": "{}"}
    words = {"role": "user", "content": "Hi"}
    assert len(asked([words, *[call] * MAX_CALLS]).chat.messages[1].tool_calls) == MAX_CALLS
    assert "at most 512 tool calls" in refused([words, *[call] * (MAX_CALLS + 1)]).message
