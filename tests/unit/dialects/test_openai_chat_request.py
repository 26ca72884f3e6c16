"""What clients send, and every way in which it can be wrong."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.chat.request import (
    Attachment,
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
from lib.dialects.interface import Address
from lib.dialects.openai_chat_request import AskedChat
from lib.dialects.openai_chat_request import parse as parse_body
from lib.dialects.stops import MAX_SEQUENCES
from lib.errors import InvalidRequest

USER: dict[str, Any] = {"role": "user", "content": "Hello"}
ROLES = "system, developer, user, assistant, tool, function"
EFFORTS = "none, minimal, low, medium, high, xhigh, max"
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}


def body(**fields: object) -> bytes:
    return json.dumps({"model": "glm-5.3", "messages": [USER], **fields}).encode()


def asked_of(raw: bytes) -> AskedChat:
    return parse_body(raw, Address())


def parse_request(raw: bytes) -> ChatRequest:
    return asked_of(raw).chat


def parse(**fields: object) -> ChatRequest:
    return parse_request(body(**fields))


def messages(*wire: dict[str, Any]) -> tuple[Message, ...]:
    return parse(messages=wire).messages


def said(role: Any, *texts: str, **fields: Any) -> Message:
    return Message(role=role, parts=tuple(TextPart(text) for text in texts), **fields)


def test_the_least_that_can_be_asked() -> None:
    assert parse_request(b'{"messages":[{"role":"user","content":"Hello"}]}') == ChatRequest(
        model="", messages=(said("user", "Hello"),)
    )


def test_all_that_can_be_asked() -> None:
    asked = asked_of(
        body(
            messages=[{"role": "system", "content": "Be kind.", "name": "owner"}, USER],
            stream=True,
            stream_options={"include_usage": True, "include_obfuscation": False},
            stop=["a", "", "b"],
            max_tokens=7,
            max_completion_tokens=9,
            reasoning_effort="high",
            reasoning={"effort": "low"},
            web_search_options={"search_context_size": "low"},
            store=True,
            conversation_id="66f0c1",
            n=1,
        )
    )
    assert (asked.stream, asked.include_usage) == (True, True)
    assert asked.chat == ChatRequest(
        model="glm-5.3",
        messages=(said("system", "Be kind.", name="owner"), said("user", "Hello")),
        stop=("a", "b"),
        max_tokens=9,
        effort="high",
        web_search=True,
        conversation_id="66f0c1",
        store=True,
    )


NULLABLE = [
    "model",
    "stream",
    "stream_options",
    "stop",
    "max_tokens",
    "max_completion_tokens",
    "reasoning_effort",
    "reasoning",
    "web_search_options",
    "store",
    "conversation_id",
    "n",
    "tools",
    "functions",
    "tool_choice",
    "response_format",
    "modalities",
    "audio",
    "temperature",
    "top_p",
    "logprobs",
]


def test_null_is_as_good_as_absent() -> None:
    assert asked_of(body(**dict.fromkeys(NULLABLE))) == asked_of(body(model=""))


@pytest.mark.parametrize(
    "ignored",
    [
        {"temperature": True, "top_p": "x", "user": {"a": 1}, "thinking": True},
        {"logprobs": True, "top_logprobs": 5, "seed": []},
        {"tool_choice": "required", "parallel_tool_calls": False, "tools": [], "functions": []},
        {"response_format": {"type": "text"}, "modalities": ["text"], "metadata": {"a": ["b"]}},
        {"reasoning": {"effort": None, "summary": "auto"}},
        {"reasoning": {}},
        {"reasoning": True},
        {"stream": False, "store": False, "stream_options": {}, "n": 1, "stop": []},
        {"stop": ""},
        {"stream_options": {"include_usage": None}},
        {"something": {"nobody": [{"knows": 1}]}},
    ],
)
def test_what_changes_nothing(ignored: dict[str, Any]) -> None:
    assert parse(**ignored) == parse()


def test_sampling_and_the_clients_user_are_read() -> None:
    chat = parse(temperature=0.3, top_p=1, user="someone")
    assert (chat.temperature, chat.top_p, chat.user) == (0.3, 1.0, "someone")


@pytest.mark.parametrize(("kind", "effort"), [("disabled", "none"), ("enabled", "high"), ("odd", None)])
def test_the_vendors_switch_of_thinking_is_read(kind: str, effort: str | None) -> None:
    assert parse(thinking={"type": kind}).effort == effort
    assert parse(thinking={"type": kind}, reasoning_effort="low").effort == "low"


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_the_reasoning_of_an_earlier_answer_comes_back(name: str) -> None:
    said = {"role": "assistant", "content": "Four.", name: "Two and two."}
    chat = parse(messages=[{"role": "user", "content": "2+2"}, said, {"role": "user", "content": "Sure?"}])
    assert [message.reasoning for message in chat.messages] == ["", "Two and two.", ""]


def test_unknown_fields_may_hold_what_the_decoder_could_not_represent() -> None:
    assert parse_request(body()[:-1] + b', "seed": 1e999, "note": "\xff"}') == parse()


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"stop": "END"}, "stop", ("END",)),
        ({"stop": [str(number) for number in range(5)]}, "stop", ("0", "1", "2", "3", "4")),
        ({"max_tokens": 1}, "max_tokens", 1),
        ({"max_completion_tokens": 2}, "max_tokens", 2),
        ({"conversation_id": ""}, "conversation_id", ""),
        ({"conversation_id": "none"}, "conversation_id", "none"),
        ({"web_search_options": {}}, "web_search", True),
        ({"reasoning": {"effort": "low"}}, "effort", "low"),
        *(({"reasoning_effort": effort}, "effort", effort) for effort in EFFORTS.split(", ")),
    ],
)
def test_one_field_and_its_meaning(fields: dict[str, Any], name: str, value: object) -> None:
    assert getattr(parse(**fields), name) == value


def test_every_role_and_form_of_content() -> None:
    assert messages(
        {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "system", "content": ""},
        {"role": "user", "content": [{"type": "input_text", "text": "c"}, {"type": "text", "text": ""}]},
        {"role": "user", "content": []},
        {"role": "assistant", "content": [{"type": "output_text", "text": "d", "annotations": []}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No.", "text": None}]},
        {"role": "tool", "content": [{"type": "text", "text": "3"}], "tool_call_id": "call_1"},
        {"role": "function", "content": "4", "name": "add"},
    ) == (
        said("developer", "a", "b"),
        said("system"),
        said("user", "c"),
        said("user"),
        said("assistant", "d"),
        said("assistant", "No."),
        said("tool", "3", tool_call_id="call_1"),
        said("tool", "4", name="add"),
    )


def test_replayed_answers_as_the_sdks_send_them() -> None:
    replayed: dict[str, Any] = {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "annotations": [],
        "audio": None,
    }
    assert messages(
        USER,
        {
            **replayed,
            "tool_calls": [CALL, {"id": "call_2", "function": {"name": "now"}}],
            "function_call": None,
        },
        {"role": "tool", "content": None, "tool_call_id": "call_1"},
        {"role": "assistant", "function_call": {"name": "add", "arguments": "{}"}},
        {**replayed, "refusal": "I will not."},
        {**replayed, "content": "Yes.", "refusal": "I will not.", "tool_calls": []},
        replayed,
    ) == (
        said("user", "Hello"),
        said("assistant", tool_calls=(ToolCall("call_1", "add", '{"a":1}'), ToolCall("call_2", "now", ""))),
        said("tool", tool_call_id="call_1"),
        said("assistant", tool_calls=(ToolCall("", "add", "{}"),)),
        said("assistant", "I will not."),
        said("assistant", "Yes."),
        said("assistant"),
    )


Refused = list[tuple[dict[str, Any], str, str]]
ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
INVALID: Refused = [
    ({"model": 5}, "model", "Invalid value for 'model': expected `string | null`, got `integer`."),
    ({"stream": "yes"}, "stream", "expected `boolean | null`, got `string`"),
    ({"stream_options": 1}, "stream_options", "expected `object | null`, got `integer`"),
    ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "got `integer`"),
    ({"stop": 5}, "stop", "expected `string | array | null`, got `integer`"),
    ({"stop": ["a", None]}, "stop[1]", "expected `string`, got `null`"),
    ({"max_tokens": "5"}, "max_tokens", "expected `integer | float | null`, got `string`"),
    ({"reasoning_effort": 1}, "reasoning_effort", "expected `string | null`, got `integer`"),
    ({"web_search_options": True}, "web_search_options", "got `boolean`"),
    ({"store": 1}, "store", "expected `boolean | null`"),
    ({"conversation_id": 1}, "conversation_id", "expected `string | null`"),
    ({"tools": {}}, "tools", "expected `array | null`, got `object`"),
    ({"response_format": "text"}, "response_format", "expected `object | null`"),
    ({"modalities": "text"}, "modalities", "expected `array | null`"),
    ({"messages": "Hello"}, "messages", "expected `array`, got `string`"),
    ({"messages": ["Hello"]}, "messages[0]", "expected `object`, got `string`"),
    ({"messages": [USER, {"role": 1}]}, "messages[1].role", "expected `string`"),
    ({"messages": [{**USER, "content": {}}]}, "messages[0].content", "got `object`"),
    ({"messages": [{**USER, "content": ["a"]}]}, "messages[0].content[0]", "got `string`"),
    ({"messages": [{**USER, "name": 1}]}, "messages[0].name", "got `integer`"),
    ({"messages": []}, "messages", "expected at least one message, got an empty list"),
    ({"messages": [{**USER, "content": ""}]}, "messages", "expected a message with text or a file"),
    ({"messages": [{**USER, "content": []}]}, "messages", "expected a message with text or a file"),
    (
        {"messages": [{"role": "assistant", "content": None, "tool_calls": [CALL]}]},
        "messages",
        "expected a message with text or a file",
    ),
    (
        {"messages": [{"role": "robot", "content": "Hello"}]},
        "messages[0].role",
        f"Invalid value for 'messages[0].role': expected one of {ROLES}, got 'robot'.",
    ),
    ({"messages": [{"role": "r" * 99, "content": ""}]}, "messages[0].role", "r" * 59 + "…."),
    *(
        (
            {"messages": [{"role": role, "content": None}]},
            "messages[0].content",
            "expected a string or an array of parts, got null.",
        )
        for role in ("system", "developer", "user")
    ),
    (
        {"messages": [{**USER, "content": [{"type": "text", "text": None}]}]},
        "messages[0].content[0].text",
        "expected a string, got null",
    ),
    ({"stop": ["x"] * 17}, "stop", f"at most {MAX_SEQUENCES} sequences, got 17."),
    (
        {"reasoning_effort": "huge"},
        "reasoning_effort",
        f"Invalid value for 'reasoning_effort': expected one of {EFFORTS}, got 'huge'.",
    ),
    ({"reasoning": {"effort": ["low"]}}, "reasoning.effort", "got 'list'."),
    ({"tools": [ADD], "tool_choice": "any"}, "tool_choice", "expected one of auto, none, required"),
    ({"functions": [{"name": "add"}], "function_call": "required"}, "function_call", "'none', 'auto'"),
    ({"response_format": {"type": "yaml"}}, "response_format.type", "'json_object' or 'json_schema'"),
]
MISSING: Refused = [
    ({"messages": [{"content": "Hello"}]}, "messages[0].role", "Missing required field"),
    ({"messages": [USER, {"role": "user"}]}, "messages[1].content", "Missing required field"),
    ({"messages": [{**USER, "content": [{}]}]}, "messages[0].content[0].type", "Missing"),
    (
        {"messages": [{**USER, "content": [{"type": "text"}]}]},
        "messages[0].content[0].text",
        "Missing required field 'messages[0].content[0].text'.",
    ),
    (
        {"messages": [{**USER, "content": [{"type": "refusal"}]}]},
        "messages[0].content[0].refusal",
        "Missing required field",
    ),
    (
        {"messages": [{"role": "assistant", "tool_calls": [CALL, {"id": "call_2"}]}]},
        "messages[0].tool_calls[1].function",
        "Missing required field",
    ),
    ({"response_format": {}}, "response_format.type", "Missing required field"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema", "Missing"),
    ({"tools": [{"type": "function"}]}, "tools[0].function.name", "Missing required field"),
    ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].custom.name", "Missing required field"),
    ({"tools": [ADD], "tool_choice": {"type": "function"}}, "tool_choice.function.name", "Missing"),
]
UNSUPPORTED: Refused = [
    ({"n": 2}, "n", "Unsupported 'n': a request makes one choice"),
    ({"n": 0}, "n", "send 1"),
    ({"tools": [{"type": "retrieval"}]}, "tools[0]", "send function or custom"),
    ({"modalities": ["text", "audio"]}, "modalities", "no audio"),
    ({"audio": {"voice": "alloy"}}, "audio", "no audio"),
    *(
        (
            {
                "messages": [
                    USER,
                    {**USER, "content": [{"type": "text", "text": "a"}, {"type": kind, kind: {}}]},
                ]
            },
            "messages[1].content[1]",
            f"expected a part of the type text, image_url or file, got '{kind}'.",
        )
        for kind in ("input_audio", "video")
    ),
    (
        {"messages": [{**USER, "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
        "messages[0].content[0].file.file_id",
        "send file_data or file_url",
    ),
]
REFUSED = {"invalid_value": INVALID, "missing_field": MISSING, "unsupported_parameter": UNSUPPORTED}


@pytest.mark.parametrize(
    ("code", "fields", "param", "message"), [(code, *row) for code, rows in REFUSED.items() for row in rows]
)
def test_a_refusal_names_the_place_and_what_was_expected(
    code: str, fields: dict[str, Any], param: str, message: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(**fields)
    assert (caught.value.code, caught.value.param) == (code, param)
    assert message in caught.value.message
    assert caught.value.status == 400


def test_an_integer_longer_than_python_reads() -> None:
    with pytest.raises(InvalidRequest, match="integer value out of range") as caught:
        parse_request(body()[:-1] + b', "max_tokens": ' + b"1" * 4400 + b"}")
    assert caught.value.param == "max_tokens"


def test_messages_are_required() -> None:
    with pytest.raises(InvalidRequest, match=r"Missing required field 'messages'\.") as caught:
        parse_request(b'{"model":"glm-5.3"}')
    assert (caught.value.code, caught.value.param) == ("missing_field", "messages")


FIELDS = [
    *NULLABLE,
    "messages",
    "role",
    "content",
    "name",
    "type",
    "text",
    "refusal",
    "tool_calls",
    "function",
]
WORDS = st.sampled_from(["user", "assistant", "text", "image_url", "none", "high", "", "audio", *FIELDS])
ANY_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
ANY_MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "tool", "system"]) | ANY_JSON,
        "content": st.text(max_size=5) | st.lists(ANY_JSON, max_size=2) | ANY_JSON,
        "tool_calls": ANY_JSON,
        "refusal": ANY_JSON,
        "function_call": ANY_JSON,
    },
)


def request_or_refusal(**fields: object) -> ChatRequest | InvalidRequest:
    try:
        return parse(**fields)
    except InvalidRequest as error:
        return error


@given(
    fields=st.dictionaries(st.sampled_from(NULLABLE), ANY_JSON, max_size=5),
    wire=st.just([USER]) | st.lists(ANY_MESSAGE, max_size=3) | ANY_JSON,
)
def test_any_json_is_a_request_or_an_invalid_request(fields: dict[str, Any], wire: object) -> None:
    asked = request_or_refusal(messages=wire, **fields)
    if isinstance(asked, ChatRequest):
        assert any(message.text for message in asked.messages)
        return
    assert asked.code in {"invalid_json", "invalid_value", "missing_field", "unsupported_parameter"}
    assert (asked.param is None) == (asked.code == "invalid_json")
    assert len(asked.message) < 400


@given(field=st.sampled_from(NULLABLE), value=ANY_JSON)
def test_any_value_in_one_field_is_taken_or_refused_under_its_name(field: str, value: object) -> None:
    asked = request_or_refusal(**{field: value})
    if isinstance(asked, InvalidRequest) and asked.code != "invalid_json":
        assert (asked.param or "").startswith(field)


@given(junk=st.binary(max_size=50))
def test_any_bytes_are_refused_with_an_invalid_request(junk: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_request(junk)


PLACE = "messages[0].content[1]"
URL = "https://example.org/x"


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "image_url", "image_url": {"url": URL, "detail": "low"}}, ImagePart(URL, PLACE)),
        ({"type": "image_url", "image_url": URL}, ImagePart(URL, PLACE)),
        ({"type": "file", "file_url": {"url": URL}}, FilePart(URL, None, PLACE)),
        ({"type": "file", "file_url": URL, "file": None}, FilePart(URL, None, PLACE)),
        ({"type": "file_url", "file_url": {"url": URL}}, FilePart(URL, None, PLACE)),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
            FilePart("data:application/pdf;base64,AAAA", "a.pdf", PLACE),
        ),
        ({"type": "file", "file": {"file_data": "AAAA"}}, FilePart("data:;base64,AAAA", None, PLACE)),
        (
            {"type": "file", "file": {"file_data": "DATA:,x", "file_id": "ignored"}},
            FilePart("DATA:,x", None, PLACE),
        ),
    ],
)
def test_images_and_files_in_every_form(part: dict[str, Any], expected: Attachment) -> None:
    (message,) = messages({"role": "user", "content": [{"type": "text", "text": ""}, part]})
    assert message.parts == (expected,)
    assert message.text == ""


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "image_url"}, "image_url"),
        ({"type": "image_url", "image_url": ""}, "image_url"),
        ({"type": "image_url", "image_url": {"url": ""}}, "image_url"),
        ({"type": "image_url", "image_url": {}}, "image_url.url"),
        ({"type": "file"}, "file"),
        ({"type": "file_url"}, "file_url"),
        ({"type": "file", "file_url": {}}, "file_url.url"),
        ({"type": "file", "file": {"filename": "a"}}, "file.file_data"),
    ],
)
def test_an_image_or_file_that_is_missing_is_named(part: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        messages({"role": "user", "content": [{"type": "text", "text": "a"}, part]})
    assert (refused.value.code, refused.value.param) == ("missing_field", f"{PLACE}.{param}")


def test_a_message_may_be_an_image_alone() -> None:
    (message,) = messages({"role": "user", "content": [{"type": "image_url", "image_url": URL}]})
    assert message.parts == (ImagePart(URL, "messages[0].content[0]"),)


def test_a_model_is_a_name_and_no_book() -> None:
    said = [{"role": "user", "content": "a"}]
    assert parse_request(json.dumps({"model": "m" * 256, "messages": said}).encode()).model == "m" * 256
    with pytest.raises(InvalidRequest) as refused:
        parse_request(json.dumps({"model": "m" * 257, "messages": said}).encode())
    assert refused.value.param == "model"
    assert len(refused.value.message) < 200


def test_tools_of_every_form_are_read() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    function = {"name": "add", "description": "Adds.", "parameters": schema, "strict": True}
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /x/"}}
    custom = {"name": "patch", "description": "Patches.", "format": grammar}
    asked = parse(
        tools=[
            {"type": "function", "function": function},
            {"type": "function", **function, "name": "flat"},
            {"type": "custom", "custom": custom},
        ],
        parallel_tool_calls=False,
    )
    add = Tool(name="add", description="Adds.", schema=schema, strict=True)
    assert asked.tools == (
        add,
        msgspec.structs.replace(add, name="flat"),
        Tool(name="patch", description="Patches.\nGrammar (lark):\nstart: /x/", is_freeform=True),
    )
    assert (asked.tool_choice, asked.parallel_tool_calls) == (ToolChoice(), False)


@pytest.mark.parametrize(
    ("wire", "choice"),
    [
        ("none", ToolChoice(mode="none")),
        ("auto", ToolChoice()),
        ("required", ToolChoice(mode="required")),
        ({"type": "function", "function": {"name": "add"}}, ToolChoice(mode="required", names=("add",))),
        ({"type": "custom", "custom": {"name": "add"}}, ToolChoice(mode="required", names=("add",))),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [ADD]}},
            ToolChoice(mode="required", names=("add",)),
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [ADD]}},
            ToolChoice(names=("add",)),
        ),
    ],
)
def test_a_choice_of_every_form_is_read(wire: object, choice: ToolChoice) -> None:
    assert parse(tools=[ADD], tool_choice=wire).tool_choice == choice


def test_functions_are_tools_of_an_older_form() -> None:
    asked = asked_of(body(functions=[{"name": "add"}], function_call={"name": "add"}))
    assert asked.uses_functions
    assert asked.chat.tools == (Tool(name="add"),)
    assert asked.chat.tool_choice == ToolChoice(mode="required", names=("add",))
    assert not asked.chat.parallel_tool_calls
    assert not asked_of(body(tools=[ADD], functions=[{"name": "add"}])).uses_functions


def test_a_format_of_the_answer_is_read() -> None:
    assert parse(response_format={"type": "json_object"}).json_format == JsonFormat()
    named = {"name": "Sum", "schema": {"type": "object"}, "strict": True}
    asked = parse(response_format={"type": "json_schema", "json_schema": named})
    assert asked.json_format == JsonFormat(schema={"type": "object"}, name="Sum", strict=True)


def test_a_free_form_call_of_the_history_keeps_its_text() -> None:
    call = {"id": "call_1", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}
    [_, asked] = messages(USER, {"role": "assistant", "tool_calls": [call]})
    assert asked.tool_calls == (ToolCall("call_1", "patch", "*** Begin", is_freeform=True),)
