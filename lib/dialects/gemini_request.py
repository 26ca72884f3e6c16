"""The bodies of generateContent, streamGenerateContent and countTokens, as Google documents them.

All other fields are ignored, with any type.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from lib.chat.request import ChatRequest, Effort, JsonFormat, Message, Tool, ToolChoice
from lib.dialects.fields import effort_of_budget, read_effort, read_integer, read_limit, read_model
from lib.dialects.gemini_content import Content, Contents, read_contents, read_system
from lib.dialects.gemini_names import camelled
from lib.dialects.gemini_schema import json_schema
from lib.dialects.interface import Address, StreamForm
from lib.dialects.json_body import convert, decode_body, invalid_value, missing_field, unsupported
from lib.dialects.stops import read_stops
from lib.dialects.tool_checks import check_tools
from lib.errors import InvalidRequest

Number = int | float | str | None
"""Google's JSON takes a number as a string too."""
Form = Literal["whole", "events", "array"]
"""The form of an answer: one object, a stream of events (`alt=sse`), or a JSON array that grows."""

_EMPTY_LINES = b"\n\n\n"
"""The heartbeat. google-genai for Python (3.6) parses a comment as JSON, and fails."""
EVENTS = StreamForm(media_type="text/event-stream", heartbeat=_EMPTY_LINES)
ARRAY = StreamForm(media_type="application/json", heartbeat=_EMPTY_LINES)

_UNSPECIFIED = "_unspecified"
"""Each of Google's enumerations has a value that ends so, and means the default."""
_SEARCHES = ("google_search", "google_search_retrieval", "enterprise_web_search")


class _Function(msgspec.Struct, rename="camel"):
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    """Google's own form of a schema."""
    parameters_json_schema: dict[str, Any] | None = None


class _Tool(msgspec.Struct, rename="camel"):
    function_declarations: list[_Function] | None = None
    google_search: dict[str, Any] | None = None
    google_search_retrieval: dict[str, Any] | None = None
    enterprise_web_search: dict[str, Any] | None = None


class _FunctionCallingConfig(msgspec.Struct, rename="camel"):
    mode: str | None = None
    allowed_function_names: list[str] | None = None


class _ToolConfig(msgspec.Struct, rename="camel"):
    function_calling_config: _FunctionCallingConfig | None = None


class _ThinkingConfig(msgspec.Struct, rename="camel"):
    include_thoughts: bool | None = None
    thinking_budget: Number = None
    thinking_level: str | None = None


class _GenerationConfig(msgspec.Struct, rename="camel"):
    candidate_count: Number = None
    max_output_tokens: Number = None
    stop_sequences: list[str] | str | None = None
    response_mime_type: str | None = None
    response_schema: dict[str, Any] | None = None
    """Google's own form of a schema."""
    response_json_schema: dict[str, Any] | None = None
    response_modalities: list[str] | None = None
    thinking_config: _ThinkingConfig | None = None


class _Body(msgspec.Struct, rename="camel"):
    contents: Contents | None = None
    system_instruction: Content | str | None = None
    tools: list[_Tool] | _Tool | None = None
    tool_config: _ToolConfig | None = None
    generation_config: _GenerationConfig | None = None
    cached_content: str | None = None
    generate_content_request: _Body | None = None
    """Only in countTokens: the request whose tokens are counted."""


_decoder = msgspec.json.Decoder(dict[str, Any])


class AskedContent(msgspec.Struct, frozen=True, kw_only=True):
    """A chat, and the form in which this dialect answers it."""

    chat: ChatRequest
    form: Form = "whole"
    shows_thoughts: bool = False
    ignored: tuple[str, ...] = ()
    """Notices for the log."""

    @property
    def stream(self) -> bool:
        return self.form != "whole"

    @property
    def stream_form(self) -> StreamForm:
        return ARRAY if self.form == "array" else EVENTS


def parse(body: bytes, address: Address) -> AskedContent:
    """Raise InvalidRequest, and nothing else, for any mistake in the request.

    The address has the model's `name` and the `action`, as `generateContent`.
    """
    wire = decode_body(body, _decoder)
    try:
        return _asked(convert(camelled(wire), _Body, ""), address)
    except RecursionError as error:
        raise InvalidRequest("The body's JSON is nested too deeply.", code="invalid_json") from error


def _asked(wire: _Body, address: Address) -> AskedContent:
    within = ""
    if address.params["action"] == "countTokens" and wire.generate_content_request is not None:
        wire, within = wire.generate_content_request, "generateContentRequest."
    if wire.cached_content:
        raise unsupported(f"{within}cachedContent", "contents are not kept here between requests")
    thinking = _config(wire).thinking_config or _ThinkingConfig()
    return AskedContent(
        chat=_chat(wire, address.params["name"], within),
        form=_form(address),
        shows_thoughts=bool(thinking.include_thoughts),
        ignored=("ignored_tool",) * sum(tool == _Tool() for tool in _tools(wire)),
    )


def _form(address: Address) -> Form:
    if address.params["action"] != "streamGenerateContent":
        return "whole"
    return "events" if address.query.get("alt") == "sse" else "array"


def _chat(wire: _Body, model: str, within: str) -> ChatRequest:
    config = _config(wire)
    config_at = f"{within}generationConfig"
    _refuse_unsupported(config, config_at)
    tools, places = _functions(wire, within)
    chat = ChatRequest(
        model=read_model(model),
        messages=_messages(wire, within),
        stop=read_stops(config.stop_sequences, f"{config_at}.stopSequences"),
        max_tokens=_limit(config.max_output_tokens, f"{config_at}.maxOutputTokens"),
        effort=_effort(config.thinking_config, f"{config_at}.thinkingConfig"),
        web_search=True if any(map(_is_search, _tools(wire))) else None,
        tools=tools,
        tool_choice=_tool_choice(wire.tool_config, tools, within),
        json_format=_json_format(config, config_at),
    )
    check_tools(chat, places, format_at=_schema_place(config, config_at))
    return chat


def _config(wire: _Body) -> _GenerationConfig:
    return wire.generation_config or _GenerationConfig()


def _tools(wire: _Body) -> list[_Tool]:
    if wire.tools is None:
        return []
    return wire.tools if isinstance(wire.tools, list) else [wire.tools]


def _refuse_unsupported(config: _GenerationConfig, param: str) -> None:
    """Refuse the fields that would change the answer's form, and whose absence a client could not see."""
    if _whole_number(config.candidate_count, f"{param}.candidateCount") not in (None, 0, 1):
        what = "one candidate is made per request; send 1, or several requests"
        raise unsupported(f"{param}.candidateCount", what)
    modalities = {modality.upper() for modality in config.response_modalities or ()}
    if modalities and "TEXT" not in modalities:
        raise unsupported(f"{param}.responseModalities", "answers are text")


def _messages(wire: _Body, within: str) -> tuple[Message, ...]:
    if not wire.contents:
        raise missing_field(f"{within}contents")
    messages = tuple(read_contents(wire.contents, f"{within}contents"))
    if not any(message.parts for message in messages):
        param = f"{within}contents"
        raise InvalidRequest(f"Invalid value for '{param}': expected a content with any text.", param=param)
    if wire.system_instruction is None:
        return messages
    return (*read_system(wire.system_instruction, f"{within}systemInstruction"), *messages)


def _limit(number: Number, param: str) -> int | None:
    return read_limit(_whole_number(number, param), param)


def _whole_number(number: Number, param: str) -> int | None:
    """Read an integer. proto3's JSON also writes it as a string, and as `1.0`."""
    try:
        return read_integer(float(number) if isinstance(number, str) else number, param)
    except ValueError as error:
        raise invalid_value(param, "an integer", str(number)) from error


def _effort(thinking: _ThinkingConfig | None, param: str) -> Effort | None:
    """Prefer the named level. A budget below 0 leaves the amount to the model: `high`."""
    if thinking is None:
        return None
    level = (thinking.thinking_level or "").lower()
    if level and not level.endswith(_UNSPECIFIED):
        return read_effort(level, f"{param}.thinkingLevel")
    budget = _whole_number(thinking.thinking_budget, f"{param}.thinkingBudget")
    return None if budget is None else _effort_of_budget(budget)


def _effort_of_budget(tokens: int) -> Effort:
    if tokens == 0:
        return "none"
    return "high" if tokens < 0 else effort_of_budget(tokens)


def _json_format(config: _GenerationConfig, param: str) -> JsonFormat | None:
    kind = (config.response_mime_type or "").lower()
    if kind not in ("", "text/plain", "application/json"):
        what = "the answer is text/plain or application/json"
        raise unsupported(f"{param}.responseMimeType", what)
    schema = config.response_json_schema
    if schema is None and config.response_schema is not None:
        schema = json_schema(config.response_schema)
    if kind == "text/plain" or (not kind and schema is None):
        return None
    return JsonFormat(schema=schema, strict=schema is not None)


def _schema_place(config: _GenerationConfig, param: str) -> str:
    return f"{param}.{'responseSchema' if config.response_json_schema is None else 'responseJsonSchema'}"


def _functions(wire: _Body, within: str) -> tuple[tuple[Tool, ...], tuple[str, ...]]:
    """Return the declared functions, and the places where they stand."""
    found = list(_declared(wire, within))
    return tuple(tool for tool, _ in found), tuple(place for _, place in found)


def _declared(wire: _Body, within: str) -> Iterator[tuple[Tool, str]]:
    for index, tool in enumerate(_tools(wire)):
        for number, function in enumerate(tool.function_declarations or ()):
            place = f"{within}tools[{index}].functionDeclarations[{number}]"
            if not function.name:
                raise missing_field(f"{place}.name")
            schema = function.parameters_json_schema
            if schema is None and function.parameters is not None:
                schema = json_schema(function.parameters)
            yield Tool(name=function.name, description=function.description or "", schema=schema), place


def _is_search(tool: _Tool) -> bool:
    return any(getattr(tool, name) is not None for name in _SEARCHES)


def _tool_choice(config: _ToolConfig | None, tools: tuple[Tool, ...], within: str) -> ToolChoice:
    calling = config.function_calling_config if config else None
    if calling is None or not tools:
        return ToolChoice()  # A choice among no functions asks for nothing.
    param = f"{within}toolConfig.functionCallingConfig"
    allowed = tuple(calling.allowed_function_names or ())
    if unknown := set(allowed) - {tool.name for tool in tools}:
        expected = "names of declared functions"
        raise invalid_value(f"{param}.allowedFunctionNames", expected, min(unknown))
    match (calling.mode or "").lower():
        case "none":
            return ToolChoice(mode="none")
        case "any":
            return ToolChoice(mode="required", names=allowed)
        case "" | "auto" | "validated" | "mode_unspecified":
            return ToolChoice(names=allowed)
        case _:
            raise invalid_value(f"{param}.mode", "one of AUTO, ANY, NONE, VALIDATED", calling.mode)
