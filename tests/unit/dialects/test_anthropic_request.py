"""Bodies of /v1/messages to chats: the documented forms, and the ones that clients really send."""

from __future__ import annotations

import json
from typing import Any

import pytest

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
from lib.dialects.anthropic_request import AskedMessage, parse
from lib.dialects.interface import Address
from lib.errors import InvalidRequest

WEATHER = {
    "name": "get_weather",
    "description": "The weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
WRITE = {"name": "Write", "description": "Writes", "input_schema": {"type": "object"}}
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
PNG = "iVBORw0KGgo="


def asked(**fields: Any) -> AskedMessage:
    body = {"model": "claude-sonnet-4-5", "max_tokens": 64, "messages": [user("Hello!")], **fields}
    return parse(json.dumps(body).encode(), Address())


def chat(**fields: Any) -> ChatRequest:
    return asked(**fields).chat


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def parts(*blocks: dict[str, Any]) -> tuple[Any, ...]:
    [message] = chat(messages=[user(list(blocks))]).messages
    return message.parts


def said(role: Any, words: str) -> Message:
    return Message(role=role, parts=(TextPart(words),))


def refusal(**fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        asked(**fields)
    return caught.value


# The least, and the most


def test_the_least_request() -> None:
    parsed = parse(b'{"messages":[{"role":"user","content":"Hi"}]}', Address())
    assert parsed == AskedMessage(chat=ChatRequest(model="", messages=(said("user", "Hi"),)))


def test_what_the_documentation_has() -> None:
    parsed = asked(
        system="Be brief.",
        messages=[user("Hello!"), {"role": "assistant", "content": "Hi. "}, user([text("Again")])],
        stop_sequences=["END", ""],
        stream=True,
        temperature=0.5,
        top_k=5,
        metadata={"user_id": "u"},
        service_tier="auto",
    )
    assert parsed.stream is True
    assert parsed.chat == ChatRequest(
        model="claude-sonnet-4-5",
        messages=(
            said("system", "Be brief."),
            said("user", "Hello!"),
            said("assistant", "Hi. "),
            said("user", "Again"),
        ),
        stop=("END",),
        max_tokens=64,
    )


def test_what_a_coding_agent_sends() -> None:
    """As observed in November 2026 (fields and forms; the texts are ours)."""
    mark = {"cache_control": {"type": "ephemeral"}}
    parsed = asked(
        max_tokens=32000,
        system=[text("x-header: v=1; h=2;"), text("You are an agent.") | mark],
        messages=[
            user([text("<system-reminder>\nDate\n</system-reminder>\n"), text("Write a file.") | mark]),
            {"role": "system", "content": [text("A list of skills.")]},
            {"role": "system", "content": "Mind the folder."},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "", "signature": "c2ln"},
                    {"type": "redacted_thinking", "data": "AAAA"},
                    text("I write."),
                    {"type": "tool_use", "id": "toolu_1", "name": "Write", "input": {"path": "/a", "n": 1}},
                ],
            },
            user(
                [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": "Done", "is_error": False},
                    text("Go on."),
                ]
            ),
        ],
        tools=[WRITE, WEATHER | {"defer_loading": True}],
        thinking={"type": "adaptive", "display": "omitted"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        output_config={"effort": "medium"},
        metadata={"user_id": '{"device_id":"d"}'},
        stream=True,
    )
    assert parsed.reasoning == "signed"
    assert parsed.chat.effort == "medium"
    assert [tool.name for tool in parsed.chat.tools] == ["Write", "get_weather"]
    assert parsed.chat.messages == (
        Message(role="system", parts=(TextPart("x-header: v=1; h=2;"), TextPart("\nYou are an agent."))),
        Message(
            role="user",
            parts=(TextPart("<system-reminder>\nDate\n</system-reminder>\n"), TextPart("Write a file.")),
        ),
        said("system", "A list of skills."),
        said("system", "Mind the folder."),
        Message(
            role="assistant",
            parts=(TextPart("I write."),),
            tool_calls=(ToolCall("toolu_1", "Write", '{"path": "/a", "n": 1}'),),
        ),
        Message(role="tool", parts=(TextPart("Done"),), tool_call_id="toolu_1"),
        said("user", "Go on."),
    )


# Blocks


def test_two_texts_side_by_side_are_two_paragraphs_and_an_answers_are_one() -> None:
    assert parts(text("a"), text("b\n"), text(""), text("c")) == (
        TextPart("a"),
        TextPart("\nb\n"),
        TextPart("c"),
    )
    [answer, _] = chat(
        messages=[{"role": "assistant", "content": [text("Rain"), text(" today.")]}, user("Sure?")]
    ).messages
    assert answer.text == "Rain today."


@pytest.mark.parametrize(
    ("source", "url"),
    [
        ({"type": "base64", "media_type": "image/png", "data": PNG}, f"data:image/png;base64,{PNG}"),
        ({"type": "base64", "data": f"data:image/png;base64,{PNG}"}, f"data:image/png;base64,{PNG}"),
        ({"type": "base64", "data": PNG}, f"data:;base64,{PNG}"),
        ({"type": "url", "url": "https://a.example/x.png"}, "https://a.example/x.png"),
    ],
)
def test_images_and_documents_by_address_or_bytes(source: dict[str, str], url: str) -> None:
    assert parts({"type": "image", "source": source}) == (ImagePart(url, "messages[0].content[0]"),)
    document = {"type": "document", "source": source, "title": "x.pdf", "citations": {"enabled": True}}
    assert parts(text("Read"), document) == (
        TextPart("Read"),
        FilePart(url, "x.pdf", "messages[0].content[1]"),
    )


def test_a_document_of_text_is_text() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "All of it."}
    document = {"type": "document", "source": source, "title": "T", "context": "C"}
    assert parts(text("Read"), document, text("Now")) == (
        TextPart("Read"),
        TextPart("\nT\nC\nAll of it."),
        TextPart("\nNow"),
    )
    content = {"type": "content", "content": [text("One"), text("Two")]}
    assert parts({"type": "document", "source": content}) == (TextPart("One"), TextPart("\nTwo"))
    inline = {"type": "content", "content": "One"}
    assert parts({"type": "document", "source": inline}) == (TextPart("One"),)


def test_a_tools_result_has_text_images_and_a_mark_of_failure() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    blocks = [
        text("Before"),
        {"type": "tool_result", "tool_use_id": "a", "content": [text("No"), image], "is_error": True},
        {"type": "tool_result", "tool_use_id": "b"},
        text("After"),
    ]
    assert chat(messages=[user(blocks)]).messages == (
        said("user", "Before"),
        Message(
            role="tool",
            parts=(
                TextPart("No"),
                ImagePart(f"data:image/png;base64,{PNG}", "messages[0].content[1].content[1]"),
            ),
            tool_call_id="a",
            is_error=True,
        ),
        Message(role="tool", tool_call_id="b"),
        said("user", "After"),
    )


def test_the_work_of_server_tools_is_dropped_and_searched_texts_are_kept() -> None:
    answer = [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
        {
            "type": "web_search_tool_result",
            "tool_use_id": "s",
            "content": [
                {"type": "web_search_result", "url": "u", "title": "t", "encrypted_content": "e"},
            ],
        },
        {
            "type": "web_search_tool_result",
            "tool_use_id": "s",
            "content": {"type": "error", "error_code": "x"},
        },
        text("Found") | {"citations": [{"type": "web_search_result_location", "url": "u"}]},
    ]
    found = {"type": "search_result", "source": "https://a", "title": "A", "content": [text("Body")]}
    reference = {"type": "tool_reference", "tool_name": "Write"}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [found, reference]}
    messages = chat(
        messages=[
            {"role": "assistant", "content": answer},
            {"role": "assistant", "content": answer[:1]},
            {"role": "assistant", "content": ""},
            user([result, {"type": "web_fetch_tool_result", "tool_use_id": "s", "content": {}}]),
            user([{"type": "thinking", "thinking": "x"}, text("x")]),
        ]
    ).messages
    assert [(message.role, message.text) for message in messages] == [
        ("assistant", "Found"),
        ("tool", "A\nhttps://a\nBody\nWrite"),
        ("user", "x"),
    ]


def test_a_call_without_input_has_an_empty_object() -> None:
    call = {"type": "tool_use", "id": "a", "name": "now"}
    answer = {"role": "assistant", "content": [call, call | {"input": None}]}
    [_, read, _] = chat(messages=[user("x"), answer, user("y")]).messages
    assert read.tool_calls == (ToolCall("a", "now", "{}"),) * 2


# Options


@pytest.mark.parametrize(("limit", "tokens"), [(100.0, 100), (1, 1), (0, None), (-1, None), (None, None)])
def test_a_limit_is_taken_as_it_is_meant(limit: float | None, tokens: int | None) -> None:
    assert chat(max_tokens=limit).max_tokens == tokens


@pytest.mark.parametrize(
    ("fields", "effort", "reasoning"),
    [
        ({}, None, "whole"),
        ({"thinking": None, "output_config": None}, None, "whole"),
        ({"thinking": {"type": "disabled"}}, "none", "hidden"),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "max"}}, "none", "hidden"),
        ({"thinking": {"type": "adaptive"}}, "high", "whole"),
        ({"thinking": {"type": "adaptive", "display": "summarized"}}, "high", "whole"),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, "high", "signed"),
        ({"thinking": {"type": "enabled"}}, "high", "whole"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "medium", "whole"),
        ({"thinking": {"type": "enabled", "budget_tokens": 10000.0}}, "high", "whole"),
        ({"thinking": {"type": "enabled", "budget_tokens": 60000}}, "xhigh", "whole"),
        ({"thinking": {"type": "someday"}}, None, "whole"),
        ({"output_config": {"effort": "low"}}, "low", "whole"),
        ({"output_config": {"effort": ""}}, None, "whole"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1}, "output_config": {"effort": "max"}},
         "max", "whole"),
    ],
)  # fmt: skip
def test_thinking_and_effort(fields: dict[str, Any], effort: str | None, reasoning: str) -> None:
    parsed = asked(**fields)
    assert (parsed.chat.effort, parsed.reasoning) == (effort, reasoning)


@pytest.mark.parametrize(
    "fields",
    [
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        {"output_format": {"type": "json_schema", "schema": {"type": "object"}}},
    ],
)
def test_structured_output(fields: dict[str, Any]) -> None:
    assert chat(**fields).json_format == JsonFormat(schema={"type": "object"}, strict=True)
    assert chat(output_format={"type": "text"}).json_format is None


def test_tools_with_and_without_a_type() -> None:
    plain = Tool(
        name="get_weather",
        description="The weather",
        schema=WEATHER["input_schema"],  # type: ignore[arg-type]
    )
    strict = Tool(name="x", schema={"type": "object"}, strict=True)
    own = {"type": "custom", "name": "x", "input_schema": {"type": "object"}, "strict": True}
    shell = {"type": "bash_20250124", "name": "bash"}
    known = [
        {"type": "code_execution_20250825", "name": "c"},
        {"type": "mcp_toolset", "mcp_server_name": "m"},
    ]
    assert chat(tools=[WEATHER, own, shell, *known]).tools == (plain, strict, Tool(name="bash"))
    assert chat(tools=[WEATHER]).web_search is None
    assert asked(tools=[WEATHER, SEARCH, *known]).ignored == ("ignored_tool", "ignored_tool")


def test_the_search_is_a_switch() -> None:
    parsed = chat(tools=[SEARCH], tool_choice={"type": "tool", "name": "web_search"})
    assert (parsed.web_search, parsed.tools, parsed.tool_choice) == (True, (), ToolChoice())
    assert chat(tools=[SEARCH], tool_choice={"type": "any"}).tool_choice == ToolChoice()


@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        ({"type": "auto"}, ToolChoice()),
        ({"type": "any"}, ToolChoice(mode="required")),
        ({"type": "none"}, ToolChoice(mode="none")),
        ({"type": "tool", "name": "get_weather"}, ToolChoice(mode="required", names=("get_weather",))),
        (None, ToolChoice()),
    ],
)
def test_the_choice_of_a_tool(choice: Any, meant: ToolChoice) -> None:
    assert chat(tools=[WEATHER], tool_choice=choice).tool_choice == meant


def test_one_call_at_a_time() -> None:
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    assert chat(tools=[WEATHER], tool_choice=choice).parallel_tool_calls is False
    assert chat(tools=[WEATHER], tool_choice={"type": "auto"}).parallel_tool_calls is True


def test_a_choice_without_tools_is_none() -> None:
    assert chat(tool_choice={"type": "any"}).tool_choice == ToolChoice()


def test_fields_of_any_type_that_say_nothing_here_are_taken() -> None:
    fields = {
        "container": 7,
        "inference_geo": [],
        "context_management": "x",
        "cache_control": 1,
        "future": {},
    }
    assert chat(**fields) == chat()


# Mistakes


IMAGE = {"type": "image"}
CALL = {"type": "tool_use", "id": "a", "name": "n"}


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"messages": []}, "invalid_value", "messages"),
        ({"messages": [user("")]}, "invalid_value", "messages"),
        ({"messages": [{"role": "user"}]}, "missing_field", "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "invalid_value", "messages[0].role"),
        ({"messages": [user(7)]}, "invalid_value", "messages[0].content"),
        ({"messages": [user([{"text": "x"}])]}, "missing_field", "messages[0].content[0].type"),
        ({"messages": [user([{"type": "text"}])]}, "missing_field", "messages[0].content[0].text"),
        ({"messages": [user([IMAGE])]}, "missing_field", "messages[0].content[0].source"),
        ({"messages": [user([IMAGE | {"source": {"type": "base64"}}])]}, "missing_field",
         "messages[0].content[0].source.data"),
        ({"messages": [user([IMAGE | {"source": {"type": "url"}}])]}, "missing_field",
         "messages[0].content[0].source.url"),
        ({"messages": [user([IMAGE | {"source": {"type": "file"}}])]}, "unsupported_parameter",
         "messages[0].content[0].source.file_id"),
        ({"messages": [user([{"type": "audio"}])]}, "unsupported_parameter", "messages[0].content[0]"),
        ({"messages": [user([{"type": "tool_result", "content": "x"}])]}, "missing_field",
         "messages[0].content[0].tool_use_id"),
        ({"messages": [user([{"type": "tool_result", "tool_use_id": "a", "content": {}}])]}, "invalid_value",
         "messages[0].content[0].content"),
        ({"messages": [{"role": "assistant", "content": [CALL | {"id": ""}]}]}, "missing_field",
         "messages[0].content[0].id"),
        ({"messages": [{"role": "assistant", "content": [CALL | {"name": None}]}]}, "missing_field",
         "messages[0].content[0].name"),
        ({"system": [{"type": "video"}]}, "unsupported_parameter", "system[0]"),
        ({"model": "m" * 257}, "invalid_value", "model"),
        ({"stop_sequences": ["a"] * 17}, "invalid_value", "stop_sequences"),
        ({"max_tokens": "7"}, "invalid_value", "max_tokens"),
        ({"output_config": {"effort": "huge"}}, "invalid_value", "output_config.effort"),
        ({"output_config": {"format": {"type": "xml"}}}, "invalid_value", "output_config.format.type"),
        ({"output_format": {"type": "json_schema"}}, "missing_field", "output_format.schema"),
        ({"tools": [{"type": "custom"}]}, "missing_field", "tools[0].name"),
        ({"tools": [WEATHER], "tool_choice": {"type": "maybe"}}, "invalid_value", "tool_choice.type"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool"}}, "missing_field", "tool_choice.name"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "x"}}, "invalid_value",
         "tool_choice.name"),
        ({"mcp_servers": [{"url": "https://m"}]}, "unsupported_parameter", "mcp_servers"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(fields: dict[str, Any], code: str, param: str) -> None:
    error = refusal(**fields)
    assert (error.code, error.param) == (code, param)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"[" * 100_000, b'{"messages":' + b'[{"content":' * 9999])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse(body, Address())
