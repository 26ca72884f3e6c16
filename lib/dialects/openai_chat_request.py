"""The body of POST /v1/chat/completions, as OpenAI documents it and as clients really send it.

The parser ignores every field that is not listed here, with any type.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from lib.chat.request import (
    ChatRequest,
    Effort,
    FilePart,
    ImagePart,
    JsonFormat,
    Message,
    Part,
    Role,
    TextPart,
    ToolCall,
)
from lib.dialects.fields import read_effort, read_limit, read_model, refuse_several
from lib.dialects.interface import Address
from lib.dialects.json_body import decode_body, invalid_value, missing_field, shown, unsupported
from lib.dialects.openai_chat_tools import (
    FunctionChoice,
    WireChoice,
    WireFunction,
    WireTool,
    read_choice,
    read_function_call,
    read_functions,
    read_tools,
)
from lib.dialects.stops import read_stops
from lib.dialects.tool_checks import check_tools
from lib.errors import InvalidRequest

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_NEED_CONTENT = ("system", "developer", "user")
"""An assistant's message may hold only calls, and a tool's result may be empty."""


class _Url(msgspec.Struct):
    url: str


class _File(msgspec.Struct):
    """OpenAI's form of a file."""

    filename: str | None = None
    file_data: str | None = None
    file_id: str | None = None


class _Part(msgspec.Struct):
    type: str
    text: str | UnsetType | None = UNSET
    refusal: str | UnsetType | None = UNSET
    image_url: str | _Url | None = None
    file: _File | None = None
    file_url: str | _Url | None = None
    """The older bridges' form of a file, in a part of the type `file` or `file_url`."""


class _Function(msgspec.Struct):
    name: str
    arguments: str = ""


class _Custom(msgspec.Struct):
    name: str
    input: str = ""


class _ToolCall(msgspec.Struct):
    id: str = ""
    function: _Function | None = None
    custom: _Custom | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | UnsetType | None = UNSET
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: str | None = None
    function_call: _Function | None = None
    """The form of `tool_calls` before 2023-11. It has no id; a message of the role `function` answers it."""


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _WebSearchOptions(msgspec.Struct):
    """The parser ignores every field. The object itself asks for the web search."""


class _JsonSchema(msgspec.Struct):
    name: str = ""
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class _ResponseFormat(msgspec.Struct):
    type: str
    json_schema: _JsonSchema | None = None


class _Body(msgspec.Struct):
    messages: list[_Message]
    model: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    stop: str | list[str] | None = None
    max_tokens: int | float | None = None
    max_completion_tokens: int | float | None = None
    reasoning_effort: str | None = None
    reasoning: Any = None
    """OpenAI has it in /v1/responses only: {"effort": …}. Some clients send it here, too."""
    web_search_options: _WebSearchOptions | None = None
    store: bool | None = None
    conversation_id: str | None = None
    n: int | float | None = None
    tools: list[WireTool] | None = None
    tool_choice: str | WireChoice | None = None
    parallel_tool_calls: bool | None = None
    functions: list[WireFunction] | None = None
    function_call: FunctionChoice = None
    response_format: _ResponseFormat | None = None
    modalities: list[str] | None = None
    audio: Any = None


_decoder = msgspec.json.Decoder(_Body)


class AskedChat(msgspec.Struct, frozen=True, kw_only=True):
    """A chat, and the form in which this dialect answers it."""

    chat: ChatRequest
    stream: bool = False
    include_usage: bool = False
    """The stream ends with a chunk that holds the usage."""
    uses_functions: bool = False
    """The request has `functions`: a call is answered as `function_call`, without an id."""


def parse(body: bytes, _address: Address) -> AskedChat:
    """Raise InvalidRequest, and nothing else, for any mistake in the body."""
    wire = decode_body(body, _decoder)
    _refuse_unsupported(wire)
    chat = _chat(wire)
    check_tools(chat, _places(wire), format_at="response_format.json_schema.schema")
    return AskedChat(
        chat=chat,
        stream=bool(wire.stream),
        include_usage=wire.stream_options is not None and bool(wire.stream_options.include_usage),
        uses_functions=bool(wire.functions) and not wire.tools,
    )


def _places(wire: _Body) -> list[str]:
    """Return the place of each tool."""
    if not wire.tools:
        return [f"functions[{index}]" for index in range(len(wire.functions or ()))]
    kinds = ("custom" if tool.type == "custom" else "function" for tool in wire.tools)
    return [f"tools[{index}].{kind}" for index, kind in enumerate(kinds)]


def _chat(wire: _Body) -> ChatRequest:
    is_newer = wire.max_completion_tokens is not None
    return ChatRequest(
        model=read_model(wire.model),
        messages=_messages(wire.messages),
        stop=read_stops(wire.stop, "stop"),
        max_tokens=(
            read_limit(wire.max_completion_tokens, "max_completion_tokens")
            if is_newer
            else read_limit(wire.max_tokens, "max_tokens")
        ),
        effort=_effort(wire),
        web_search=None if wire.web_search_options is None else True,
        conversation_id=wire.conversation_id,
        store=bool(wire.store),
        **_tools(wire),
        json_format=_json_format(wire.response_format),
    )


def _tools(wire: _Body) -> dict[str, Any]:
    if wire.functions and not wire.tools:
        return {
            "tools": read_functions(wire.functions),
            "tool_choice": read_function_call(wire.function_call),
            "parallel_tool_calls": False,
        }
    if not wire.tools:
        return {}  # A choice among no tools asks for nothing.
    return {
        "tools": read_tools(wire.tools),
        "tool_choice": read_choice(wire.tool_choice),
        "parallel_tool_calls": wire.parallel_tool_calls is not False,
    }


def _json_format(wire: _ResponseFormat | None) -> JsonFormat | None:
    match wire:
        case None | _ResponseFormat(type="text" | ""):
            return None
        case _ResponseFormat(type="json_object"):
            return JsonFormat()
        case _ResponseFormat(type="json_schema", json_schema=_JsonSchema(schema=dict() as schema) as named):
            return JsonFormat(schema=schema, name=named.name, strict=bool(named.strict))
        case _ResponseFormat(type="json_schema"):
            raise missing_field("response_format.json_schema.schema")
        case _:
            raise invalid_value("response_format.type", "'text', 'json_object' or 'json_schema'", wire.type)


def _refuse_unsupported(wire: _Body) -> None:
    """Refuse fields that change the answer's form. The client could not see that we ignore them."""
    refuse_several(wire.n, "n")
    if wire.modalities is not None and "audio" in wire.modalities:
        raise unsupported("modalities", "the answer is text and has no audio; leave it out")
    if wire.audio is not None:
        raise unsupported("audio", "the answer is text and has no audio; leave it out")


def _messages(wire: list[_Message]) -> tuple[Message, ...]:
    if not wire:
        raise InvalidRequest(
            "Invalid value for 'messages': expected at least one message, got an empty list.",
            param="messages",
        )
    messages = tuple([_message(message, f"messages[{index}]") for index, message in enumerate(wire)])
    if not any(message.parts for message in messages):
        raise InvalidRequest(
            "Invalid value for 'messages': expected a message with text or a file, got only empty messages.",
            param="messages",
        )
    return messages


def _message(wire: _Message, param: str) -> Message:
    role = _ROLES.get(wire.role)
    if role is None:
        raise invalid_value(f"{param}.role", f"one of {', '.join(_ROLES)}", wire.role)
    if not wire.content and role in _NEED_CONTENT:
        if wire.content is UNSET:
            raise missing_field(f"{param}.content")
        if wire.content is None:
            raise invalid_value(f"{param}.content", "a string or an array of parts", None)
    calls = [_call(call, f"{param}.tool_calls[{index}]") for index, call in enumerate(wire.tool_calls or ())]
    if wire.function_call is not None:
        calls.append(ToolCall("", wire.function_call.name, wire.function_call.arguments))
    return Message(
        role=role,
        parts=_parts(wire.content or wire.refusal or "", f"{param}.content"),
        tool_calls=tuple(calls),
        tool_call_id=wire.tool_call_id,
        name=wire.name,
    )


def _call(wire: _ToolCall, param: str) -> ToolCall:
    if wire.custom is not None:
        return ToolCall(wire.id, wire.custom.name, wire.custom.input, is_freeform=True)
    if wire.function is None:
        raise missing_field(f"{param}.function")
    return ToolCall(wire.id, wire.function.name, wire.function.arguments)


def _parts(content: str | list[_Part], param: str) -> tuple[Part, ...]:
    """Make the parts of a message, without its empty texts."""
    if isinstance(content, str):
        return (TextPart(content),) if content else ()
    parts = [_part(part, f"{param}[{index}]") for index, part in enumerate(content)]
    return tuple([part for part in parts if part != TextPart("")])


def _part(wire: _Part, param: str) -> Part:
    match wire.type:
        case "text" | "input_text" | "output_text":
            return TextPart(_required(wire.text, f"{param}.text"))
        case "refusal":
            return TextPart(_required(wire.refusal, f"{param}.refusal"))
        case "image_url":
            return ImagePart(_address(wire.image_url, f"{param}.image_url"), param)
        case "file" | "file_url":
            return _file(wire, param)
        case _:
            reason = f"expected a part of the type text, image_url or file, got {shown(wire.type)}"
            raise unsupported(param, reason)


def _address(wire: str | _Url | None, param: str) -> str:
    url = wire.url if isinstance(wire, _Url) else wire
    if not url:
        raise missing_field(param)
    return url


def _file(wire: _Part, param: str) -> FilePart:
    if wire.file is None:
        if wire.file_url is None:
            raise missing_field(f"{param}.{wire.type}")
        return FilePart(_address(wire.file_url, f"{param}.file_url"), param=param)
    file = wire.file
    if file.file_data:
        is_url = file.file_data[:5].lower() == "data:"
        return FilePart(file.file_data if is_url else f"data:;base64,{file.file_data}", file.filename, param)
    if file.file_id:
        reason = "the gateway keeps no files between requests; send file_data or file_url"
        raise unsupported(f"{param}.file.file_id", reason)
    raise missing_field(f"{param}.file.file_data")


def _required(text: str | UnsetType | None, param: str) -> str:
    if text is UNSET:
        raise missing_field(param)
    if text is None:
        raise invalid_value(param, "a string", None)
    return text


def _effort(wire: _Body) -> Effort | None:
    if wire.reasoning_effort is None and isinstance(wire.reasoning, dict):
        word = wire.reasoning.get("effort")
        if word is not None and not isinstance(word, str):
            word = type(word).__name__
        return read_effort(word, "reasoning.effort")
    return read_effort(wire.reasoning_effort, "reasoning_effort")
