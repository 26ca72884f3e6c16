"""Requests in Google's form, as it documents them and as its clients send them."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.chat.request import (
    ChatRequest,
    FilePart,
    ImagePart,
    JsonFormat,
    Message,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
)
from lib.dialects.gemini_request import ARRAY, EVENTS, AskedContent, parse
from lib.dialects.interface import Address
from lib.errors import InvalidRequest

HELLO = [{"role": "user", "parts": [{"text": "Hello!"}]}]
ADD: dict[str, Any] = {"name": "add", "description": "Adds.", "parameters": {"type": "OBJECT"}}
NOW: dict[str, Any] = {"name": "now"}


def asked(
    contents: Any = HELLO, *, action: str = "generateContent", alt: str | None = None, **fields: Any
) -> AskedContent:
    body = json.dumps({"contents": contents, **fields}).encode()
    address = Address({"name": "glm-5.3", "action": action}, {} if alt is None else {"alt": alt})
    return parse(body, address)


def chat(contents: Any = HELLO, **fields: Any) -> ChatRequest:
    return asked(contents, **fields).chat


def messages(*contents: Any, **fields: Any) -> tuple[Message, ...]:
    return chat(list(contents), **fields).messages


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "parts": list(parts)}


def model(*parts: Any) -> dict[str, Any]:
    return {"role": "model", "parts": list(parts)}


def refusal(contents: Any = HELLO, **fields: Any) -> tuple[str, str | None]:
    with pytest.raises(InvalidRequest) as caught:
        asked(contents, **fields)
    return caught.value.code, caught.value.param


# The form of the answer


def test_the_path_names_the_model_and_the_form() -> None:
    assert asked().chat == ChatRequest(
        model="glm-5.3", messages=(Message(role="user", parts=(TextPart("Hello!"),)),)
    )
    whole = asked()
    assert (whole.stream, whole.form, whole.shows_thoughts, whole.ignored) == (False, "whole", False, ())
    events = asked(action="streamGenerateContent", alt="sse")
    assert (events.stream, events.stream_form) == (True, EVENTS)
    array = asked(action="streamGenerateContent")
    assert (array.stream, array.stream_form) == (True, ARRAY)
    assert asked(action="streamGenerateContent", alt="json").form == "array"
    assert asked(alt="sse").form == "whole"


def test_a_heartbeat_is_nothing_but_white_space_for_googles_parsers() -> None:
    assert EVENTS.heartbeat.strip(b"\n") == b"", "google-genai parses any other line as JSON"
    assert json.loads(ARRAY.heartbeat + b"[" + ARRAY.heartbeat + b"]") == []


# Contents


@pytest.mark.parametrize(
    "contents",
    [
        "Hello!",
        {"parts": {"text": "Hello!"}},
        [{"parts": {"text": "Hello!"}}],
        [{"parts": [{"text": "Hello!"}]}],
        [{"role": "", "parts": [{"text": ""}, {"text": "Hello!"}]}],
    ],
)
def test_a_prompt_in_every_spelling(contents: Any) -> None:
    assert chat(contents).messages == (Message(role="user", parts=(TextPart("Hello!"),)),)


@pytest.mark.parametrize("name", ["systemInstruction", "system_instruction"])
@pytest.mark.parametrize(
    "content", ["Be brief.", {"parts": {"text": "Be brief."}}, user({"text": "Be brief."})]
)
def test_the_system_instruction_comes_first(name: str, content: Any) -> None:
    system, _ = chat(**{name: content}).messages
    assert system == Message(role="system", parts=(TextPart("Be brief."),))


def test_an_empty_system_instruction_says_nothing() -> None:
    assert len(chat(systemInstruction={"parts": [{"text": ""}]}).messages) == 1
    assert len(chat(systemInstruction={"parts": []}).messages) == 1


def test_texts_side_by_side_are_paragraphs_of_a_user_and_pieces_of_a_model() -> None:
    first, second = messages(
        user({"text": "One"}, {"text": "Two\n"}, {"text": "Three"}), model({"text": "a"}, {"text": "b"})
    )
    assert first.text == "One\nTwo\nThree"
    assert second == Message(role="assistant", parts=(TextPart("a"), TextPart("b")))


def test_images_and_files_come_within_the_request_or_by_an_address() -> None:
    [message] = messages(
        user(
            {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
            {"inline_data": {"mime_type": "application/pdf", "data": "AA-_", "display_name": "a.pdf"}},
            {"fileData": {"mimeType": "IMAGE/jpeg", "fileUri": "https://a.example/b"}},
            {"fileData": {"fileUri": "http://a.example/c.pdf"}},
            {"inlineData": {"data": "AAAA"}},
        )
    )
    assert message.parts == (
        ImagePart("data:image/png;base64,AAAA", "contents[0].parts[0]"),
        FilePart("data:application/pdf;base64,AA-_", "a.pdf", "contents[0].parts[1]"),
        ImagePart("https://a.example/b", "contents[0].parts[2]"),
        FilePart("http://a.example/c.pdf", None, "contents[0].parts[3]"),
        FilePart("data:;base64,AAAA", None, "contents[0].parts[4]"),
    )


def test_code_that_google_ran_is_text() -> None:
    [_, said] = messages(
        user({"text": "x"}),
        model(
            {"executableCode": {"language": "PYTHON", "code": "print(1)"}},
            {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
            {"executableCode": {}},
            {"codeExecutionResult": {}},
        ),
    )
    assert said.text == "```python\nprint(1)\n```\n```\n1\n```\n```\n\n```\n```\n\n```\n"


def test_thoughts_and_signatures_of_the_history_are_dropped() -> None:
    asked = messages(
        user({"text": "x"}, {"text": "Hm.", "thought": True}),
        model({"text": "Hm.", "thought": True}, {"text": "", "thoughtSignature": "AA=="}),
        model({"thoughtSignature": "AA=="}),
        model({"text": "y", "thoughtSignature": "AA=="}),
    )
    assert [message.text for message in asked] == ["x", "y"]


def test_the_chunks_of_an_answer_in_a_history_are_one_turn() -> None:
    """google-genai's chats (3.6) keep one content for each chunk of a stream."""
    call = {"functionCall": {"id": "1", "name": "f"}}
    told = messages(
        user({"text": "x"}),
        model({"text": "a"}),
        model({"text": "b"}),
        model({"text": ""}),
        model(call),
        user({"text": "y"}),
        user({"text": "z"}),
        model({"text": "c"}),
    )
    assert [(message.role, message.text) for message in told] == [
        ("user", "x"),
        ("assistant", "ab"),
        ("user", "y"),
        ("user", "z"),
        ("assistant", "c"),
    ]
    assert told[1].tool_calls == (ToolCall("1", "f", "{}"),)


# Calls


def test_a_tool_loop_of_gemini_cli() -> None:
    """gemini-cli 0.61 sends this: ids both ways, and a signature of its own if the answer had none."""
    told = messages(
        user({"text": "Write a file."}),
        model(
            {"text": "I write."},
            {
                "functionCall": {"name": "write_file", "args": {"path": "a", "n": 1.5}, "id": "call_9"},
                "thoughtSignature": "skip_thought_signature_validator",
            },
        ),
        user(
            {
                "functionResponse": {
                    "id": "call_9",
                    "name": "write_file",
                    "response": {"output": "Written."},
                }
            }
        ),
    )
    assert told[1:] == (
        Message(
            role="assistant",
            parts=(TextPart("I write."),),
            tool_calls=(ToolCall("call_9", "write_file", '{"path":"a","n":1.5}'),),
        ),
        Message(role="tool", parts=(TextPart("Written."),), tool_call_id="call_9", name="write_file"),
    )


def test_calls_without_ids_are_paired_by_their_names_in_their_order() -> None:
    """google-genai 3.6 leaves the ids out if the answer had none."""
    told = messages(
        user({"text": "x"}),
        model(
            {"functionCall": {"name": "f", "args": {}}},
            {"function_call": {"name": "g"}},
            {"functionCall": {"name": "f"}},
        ),
        {
            "role": "function",
            "parts": [
                {"functionResponse": {"name": "f", "response": {"result": 1}}},
                {"functionResponse": {"name": "f", "response": {"a": 1, "b": 2}}},
                {"functionResponse": {"name": "g"}},
                {"functionResponse": {"name": "h", "response": {"c": 1}}},
            ],
        },
    )
    assert [(call.id, call.name, call.arguments) for call in told[1].tool_calls] == [
        ("call_1", "f", "{}"),
        ("call_2", "g", "{}"),
        ("call_3", "f", "{}"),
    ]
    assert [(result.tool_call_id, result.name, result.text) for result in told[2:]] == [
        ("call_1", "f", "1"),
        ("call_3", "f", '{"a":1,"b":2}'),
        ("call_2", "g", ""),
        (None, "h", '{"c":1}'),
    ]
    assert {result.role for result in told[2:]} == {"tool"}


def test_an_id_pairs_before_a_name_does() -> None:
    told = messages(
        user({"text": "x"}),
        model({"functionCall": {"id": "1", "name": "f"}}, {"functionCall": {"id": "2", "name": "f"}}),
        user(
            {"functionResponse": {"id": "2", "name": "f", "response": {"output": "b"}}},
            {"functionResponse": {"id": "9", "name": "f", "response": {"output": "c"}}},
            {"functionResponse": {"name": "f", "response": {"output": "a"}}},
        ),
    )
    assert [(result.tool_call_id, result.text) for result in told[2:]] == [("2", "b"), ("9", "c"), ("1", "a")]


def test_results_stand_apart_from_the_words_beside_them() -> None:
    response = {"functionResponse": {"name": "f", "response": {"error": {"code": 1}}}}
    told = messages(user({"text": "a"}, response, {"text": ""}, response, {"text": "b"}, {"text": "c"}))
    assert [(message.role, message.text, message.is_error) for message in told] == [
        ("user", "a", False),
        ("tool", '{"code":1}', True),
        ("tool", '{"code":1}', True),
        ("user", "b\nc", False),
    ]


@pytest.mark.parametrize(
    ("response", "text", "is_error"),
    [
        ({"name": "f", "content": "a"}, "a", False),
        ({"name": "f", "content": {"b": 1}}, '{"b":1}', False),
        ({"name": "f", "error": "no"}, "no", True),
        ({"name": "g", "content": "a"}, '{"name":"g","content":"a"}', False),
        ({"name": "f", "size": 1}, '{"name":"f","size":1}', False),
        ({"name": "f"}, '{"name":"f"}', False),
        ({"content": "a"}, '{"content":"a"}', False),
        ({"name": "f", "content": "a", "size": 1}, '{"name":"f","content":"a","size":1}', False),
    ],
)
def test_a_result_with_the_name_of_its_function_is_taken_out_of_its_envelope(
    response: dict[str, Any], text: str, *, is_error: bool
) -> None:
    *_, told = messages(user({"text": "x"}), user({"functionResponse": {"name": "f", "response": response}}))
    assert (told.text, told.is_error) == (text, is_error)


def test_a_result_may_hold_images() -> None:
    response = {
        "name": "look",
        "response": "seen",
        "parts": [{"inlineData": {"mimeType": "image/png", "data": "AA"}}],
    }
    _, result = messages(user({"text": "a"}), user({"functionResponse": response}))
    assert result.parts == (
        TextPart("seen"),
        ImagePart("data:image/png;base64,AA", "contents[1].parts[0].functionResponse.parts[0]"),
    )


# Tools


def test_functions_are_declared_in_both_kinds_of_schema_and_both_spellings() -> None:
    schema = {"type": "object", "properties": {"a_b": {"type": "integer"}}}
    declared = chat(
        tools=[
            {
                "functionDeclarations": [
                    {**ADD, "parameters": {"type": "OBJECT", "properties": {"a": {"type": "INTEGER"}}}}
                ]
            },
            {"function_declarations": [{"name": "b", "parameters_json_schema": schema}, NOW]},
        ]
    ).tools
    assert declared == (
        Tool(
            name="add",
            description="Adds.",
            schema={"type": "object", "properties": {"a": {"type": "integer"}}},
        ),
        Tool(name="b", schema=schema),
        Tool(name="now"),
    )
    assert chat(tools={"functionDeclarations": [NOW]}).tools == (Tool(name="now"),)


@pytest.mark.parametrize(
    "name", ["googleSearch", "google_search", "googleSearchRetrieval", "enterpriseWebSearch"]
)
def test_googles_search_is_ours(name: str) -> None:
    told = asked(tools=[{name: {}}, {"functionDeclarations": [NOW]}])
    assert told.chat.web_search is True
    assert told.ignored == ()
    assert chat(tools=[{"functionDeclarations": [NOW]}]).web_search is None


def test_other_tools_of_googles_are_left_out_and_said_in_the_log() -> None:
    told = asked(tools=[{"codeExecution": {}}, {"urlContext": {}}, {"functionDeclarations": [NOW]}])
    assert told.chat.tools == (Tool(name="now"),)
    assert told.ignored == ("ignored_tool", "ignored_tool")


@pytest.mark.parametrize(
    ("config", "choice"),
    [
        (None, ToolChoice()),
        ({}, ToolChoice()),
        ({"mode": "AUTO"}, ToolChoice()),
        ({"mode": "MODE_UNSPECIFIED"}, ToolChoice()),
        ({"mode": "VALIDATED", "allowedFunctionNames": ["now"]}, ToolChoice(names=("now",))),
        ({"mode": "none"}, ToolChoice(mode="none")),
        ({"mode": "ANY"}, ToolChoice(mode="required")),
        ({"mode": "ANY", "allowed_function_names": ["add"]}, ToolChoice(mode="required", names=("add",))),
    ],
)
def test_the_choice_of_a_function(config: Any, choice: ToolChoice) -> None:
    fields = {
        "tools": [{"functionDeclarations": [ADD, NOW]}],
        "toolConfig": {"functionCallingConfig": config},
    }
    assert chat(**fields).tool_choice == choice
    assert chat(tool_config={"function_calling_config": config}).tool_choice == ToolChoice()


# Settings


@pytest.mark.parametrize("name", ["generationConfig", "generation_config"])
def test_settings_that_are_honoured(name: str) -> None:
    config = {
        "stopSequences": ["a", "", "b"],
        "maxOutputTokens": 100.0,
        "candidateCount": 1,
        "temperature": 0.1,
    }
    told = chat(**{name: config})
    assert (told.stop, told.max_tokens) == (("a", "b"), 100)
    assert chat(generationConfig={"stop_sequences": "END"}).stop == ("END",)


@pytest.mark.parametrize(("given", "limit"), [("7", 7), (7, 7), (0, None), (-1, None), (None, None)])
def test_a_limit_of_tokens(given: Any, limit: int | None) -> None:
    assert chat(generationConfig={"maxOutputTokens": given}).max_tokens == limit


@pytest.mark.parametrize(
    ("config", "effort"),
    [
        (None, None),
        ({}, None),
        ({"includeThoughts": True}, None),
        ({"thinkingBudget": 0}, "none"),
        ({"thinkingBudget": "512"}, "medium"),
        ({"thinkingBudget": 8192}, "high"),
        ({"thinkingBudget": 32768}, "xhigh"),
        ({"thinking_budget": -1}, "high"),
        ({"thinkingLevel": "MINIMAL"}, "minimal"),
        ({"thinkingLevel": "low", "thinkingBudget": -1}, "low"),
        ({"thinking_level": "HIGH"}, "high"),
        ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}, None),
    ],
)
def test_thinking(config: Any, effort: str | None) -> None:
    assert chat(generationConfig={"thinkingConfig": config}).effort == effort


def test_thoughts_are_shown_if_the_client_asks_for_them() -> None:
    assert asked(generationConfig={"thinkingConfig": {"includeThoughts": True}}).shows_thoughts
    assert not asked(generationConfig={"thinkingConfig": {"thinkingBudget": -1}}).shows_thoughts


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, None),
        ({"responseMimeType": "text/plain"}, None),
        ({"responseMimeType": "text/plain", "responseSchema": SCHEMA}, None),
        ({"responseMimeType": "application/json"}, JsonFormat()),
        (
            {
                "response_mime_type": "application/json",
                "response_schema": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}},
            },
            JsonFormat(schema=SCHEMA, strict=True),
        ),
        ({"response_json_schema": SCHEMA}, JsonFormat(schema=SCHEMA, strict=True)),
        (
            {"_responseJsonSchema": SCHEMA, "responseMimeType": "application/json"},
            JsonFormat(schema=SCHEMA, strict=True),
        ),
    ],
)
def test_structured_output(config: Any, expected: JsonFormat | None) -> None:
    assert chat(generationConfig=config).json_format == expected


def test_settings_without_a_meaning_here_are_tolerated() -> None:
    fields: dict[str, Any] = {
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        "labels": {"a": "b"},
        "model": "models/another",
        "cachedContent": "",
        "generationConfig": {
            "topK": 1,
            "seed": 5,
            "responseModalities": ["TEXT", "IMAGE"],
            "speechConfig": {},
        },
    }
    assert asked(**fields).chat == asked().chat


def test_what_is_null_is_not_given() -> None:
    names = ("systemInstruction", "tools", "toolConfig", "generationConfig", "cachedContent")
    nothing: dict[str, Any] = dict.fromkeys(names)
    assert asked(**nothing).chat == asked().chat


# Counting tokens


def test_a_count_takes_contents_or_a_whole_request() -> None:
    assert asked(action="countTokens").chat == asked().chat
    request = {"model": "models/x", "contents": HELLO, "systemInstruction": "Be brief."}
    counted = asked(None, action="countTokens", generateContentRequest=request)
    assert counted.chat == asked(systemInstruction="Be brief.").chat
    code, param = refusal(None, action="countTokens", generate_content_request={"contents": []})
    assert (code, param) == ("missing_field", "generateContentRequest.contents")
    assert refusal(None, generateContentRequest=request) == ("missing_field", "contents")


# Refusals


def part(value: Any) -> list[Any]:
    return [user({"text": "x"}, value)]


@pytest.mark.parametrize(
    ("contents", "code", "param"),
    [
        (None, "missing_field", "contents"),
        ([], "missing_field", "contents"),
        ([user({"text": ""})], "invalid_value", "contents"),
        ([{"role": "user"}], "missing_field", "contents[0].parts"),
        ([{"role": "assistant", "parts": []}], "invalid_value", "contents[0].role"),
        ([user(), {"parts": [{"text": 1}]}], "invalid_value", "contents[1].parts[0].text"),
        (5, "invalid_value", "contents"),
        (part({}), "missing_field", "contents[0].parts[1].text"),
        (part({"inlinedata": {}}), "missing_field", "contents[0].parts[1].text"),
        (
            part({"inlineData": {"mimeType": "image/png"}}),
            "missing_field",
            "contents[0].parts[1].inlineData.data",
        ),
        (part({"fileData": {}}), "missing_field", "contents[0].parts[1].fileData.fileUri"),
        (
            part({"fileData": {"fileUri": "gs://a/b"}}),
            "unsupported_parameter",
            "contents[0].parts[1].fileData.fileUri",
        ),
        (
            part({"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/x"}}),
            "unsupported_parameter",
            "contents[0].parts[1].fileData.fileUri",
        ),
        (part({"functionCall": {"name": "f"}}), "unsupported_parameter", "contents[0].parts[1].functionCall"),
        (part({"functionResponse": {}}), "missing_field", "contents[0].parts[1].functionResponse.name"),
        ([model({"functionCall": {}})], "missing_field", "contents[0].parts[0].functionCall.name"),
        (
            [model({"functionCall": {"name": "f", "args": []}})],
            "invalid_value",
            "contents[0].parts[0].functionCall.args",
        ),
        (
            [model({"functionResponse": {"name": "f"}})],
            "unsupported_parameter",
            "contents[0].parts[0].functionResponse",
        ),
    ],
)
def test_mistakes_in_contents_are_named(contents: Any, code: str, param: str) -> None:
    assert refusal(contents) == (code, param)


@pytest.mark.parametrize(
    ("config", "code", "param"),
    [
        ({"candidateCount": 2}, "unsupported_parameter", "candidateCount"),
        ({"candidateCount": "two"}, "invalid_value", "candidateCount"),
        ({"maxOutputTokens": "1e999"}, "invalid_value", "maxOutputTokens"),
        ({"stopSequences": ["a"] * 65}, "invalid_value", "stopSequences"),
        ({"responseMimeType": "text/x.enum"}, "unsupported_parameter", "responseMimeType"),
        ({"responseModalities": ["AUDIO"]}, "unsupported_parameter", "responseModalities"),
        ({"thinkingConfig": {"thinkingLevel": "x"}}, "invalid_value", "thinkingConfig.thinkingLevel"),
        ({"thinkingConfig": {"thinkingBudget": "x"}}, "invalid_value", "thinkingConfig.thinkingBudget"),
        ({"responseSchema": {"type": "LIST"}}, "invalid_value", "responseSchema.type"),
        ({"responseJsonSchema": {"type": "list"}}, "invalid_value", "responseJsonSchema.type"),
    ],
)
def test_mistakes_in_settings_are_named(config: dict[str, Any], code: str, param: str) -> None:
    assert refusal(generationConfig=config) == (code, f"generationConfig.{param}")


def test_contents_that_google_keeps_are_not_here() -> None:
    assert refusal(cachedContent="cachedContents/x") == ("unsupported_parameter", "cachedContent")


@pytest.mark.parametrize(
    ("functions", "code", "param"),
    [
        ([{}], "missing_field", "tools[1].functionDeclarations[0].name"),
        ([NOW, {"name": "a b"}], "invalid_value", "tools[1].functionDeclarations[1].name"),
        ([NOW, NOW], "invalid_value", "tools[1].functionDeclarations[1].name"),
        (
            [{"name": "f", "parameters": {"type": "STRING"}}],
            "invalid_value",
            "tools[1].functionDeclarations[0].parameters.type",
        ),
        ([{"name": f"f{number}"} for number in range(600)], "invalid_value", "tools"),
    ],
)
def test_mistakes_in_functions_are_named(functions: list[Any], code: str, param: str) -> None:
    tools = [{"googleSearch": {}}, {"functionDeclarations": functions}]
    assert refusal(tools=tools) == (code, param)


@pytest.mark.parametrize(
    ("config", "param"),
    [
        ({"mode": "ANY", "allowedFunctionNames": ["z", "now"]}, "allowedFunctionNames"),
        ({"mode": "X"}, "mode"),
    ],
)
def test_mistakes_in_the_choice_of_a_function_are_named(config: Any, param: str) -> None:
    choice = {"functionCallingConfig": config}
    code, where = refusal(tools=[{"functionDeclarations": [NOW]}], toolConfig=choice)
    assert (code, where) == ("invalid_value", f"toolConfig.functionCallingConfig.{param}")


def test_a_model_name_has_an_end() -> None:
    body = json.dumps({"contents": HELLO}).encode()
    assert parse(body, Address({"name": "x" * 256, "action": "generateContent"})).chat.model == "x" * 256
    with pytest.raises(InvalidRequest) as caught:
        parse(body, Address({"name": "x" * 257, "action": "generateContent"}))
    assert caught.value.param == "model"


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b'"x"', b"\xff"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse(body, Address({"name": "x", "action": "generateContent"}))


@pytest.mark.parametrize(
    "opening", ['{"generateContentRequest":', '{"generationConfig":{"responseSchema":{"items":']
)
@pytest.mark.parametrize("depth", [400, 900, 3000])
def test_a_body_that_is_nested_deeply_is_refused_and_not_a_mistake_of_ours(opening: str, depth: int) -> None:
    inner = '{"items":' * depth + "{}" + "}" * depth
    body = opening + inner + "}" * opening.count("{")
    with pytest.raises(InvalidRequest):
        parse(body.encode(), Address({"name": "x", "action": "countTokens"}))


NAMES = st.sampled_from(
    [
        "contents",
        "parts",
        "role",
        "text",
        "tools",
        "functionCall",
        "args",
        "generationConfig",
        "name",
        "thought",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(NAMES, JSON, max_size=4))
def test_a_mistake_is_never_anything_but_an_invalid_request(body: dict[str, Any]) -> None:
    with suppress(InvalidRequest):
        parse(json.dumps(body).encode(), Address({"name": "x", "action": "countTokens"}))
