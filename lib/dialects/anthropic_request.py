"""The body of POST /v1/messages, as Anthropic documents it and as clients really send it.

Fields that are not listed here are ignored, whatever their type.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

from lib.chat.request import ChatRequest, Effort, JsonFormat, Message, Tool, ToolChoice
from lib.dialects.anthropic_content import Content, WireMessage, read_messages, read_system
from lib.dialects.fields import effort_of_budget, read_effort, read_integer, read_limit, read_model
from lib.dialects.interface import Address
from lib.dialects.json_body import decode_body, invalid_value, missing_field, unsupported
from lib.dialects.stops import read_stops
from lib.dialects.tool_checks import check_tools
from lib.errors import InvalidRequest

Shown = Literal["whole", "signed", "hidden"]
"""How the answer shows reasoning: `signed` is a block without its text."""

_SEARCH = "web_search_"
_SERVER_TOOLS = (_SEARCH, "web_fetch_", "code_execution_", "tool_search_tool_", "mcp_toolset", "advisor_")
"""Types of tools that Anthropic runs itself begin so (their documentation, November 2026)."""


class _Tool(msgspec.Struct):
    type: str | None = None
    name: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None


class _ToolChoice(msgspec.Struct):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Thinking(msgspec.Struct):
    type: str | None = None
    budget_tokens: int | float | None = None
    display: str | None = None


class _Format(msgspec.Struct):
    type: str | None = None
    schema: dict[str, Any] | None = None


class _OutputConfig(msgspec.Struct):
    effort: str | None = None
    format: _Format | None = None


class _Body(msgspec.Struct):
    messages: list[WireMessage]
    model: str | None = None
    system: Content | None = None
    max_tokens: int | float | None = None
    """Anthropic requires it; many clients of other gateways leave it out."""
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    tools: list[_Tool] | None = None
    tool_choice: _ToolChoice | None = None
    thinking: _Thinking | None = None
    output_config: _OutputConfig | None = None
    output_format: _Format | None = None
    """The name of `output_config.format` in the beta of 2025-11."""
    mcp_servers: list[Any] | None = None


_decoder = msgspec.json.Decoder(_Body)


class AskedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A chat, and the form in which this dialect answers it."""

    chat: ChatRequest
    stream: bool = False
    reasoning: Shown = "whole"
    ignored: tuple[str, ...] = ()
    """Notices for the log."""


def parse(body: bytes, _address: Address) -> AskedMessage:
    """Raise InvalidRequest, and nothing else, for any mistake in the body."""
    wire = decode_body(body, _decoder)
    if wire.mcp_servers:
        raise unsupported("mcp_servers", "the gateway calls no tools itself; give them as tools")
    ignored = sum(_is_server_tool(tool) and not _is_search(tool) for tool in wire.tools or ())
    return AskedMessage(
        chat=_chat(wire),
        stream=bool(wire.stream),
        reasoning=_shown(wire.thinking),
        ignored=("ignored_tool",) * ignored,
    )


def _chat(wire: _Body) -> ChatRequest:
    placed = dict(_client_tools(wire.tools or ()))
    tools = tuple(placed.values())
    chat = ChatRequest(
        model=read_model(wire.model),
        messages=_messages(wire),
        stop=read_stops(wire.stop_sequences, "stop_sequences"),
        max_tokens=read_limit(wire.max_tokens, "max_tokens"),
        effort=_effort(wire),
        web_search=True if any(map(_is_search, wire.tools or ())) else None,
        tools=tools,
        tool_choice=_tool_choice(wire, tools),
        parallel_tool_calls=not (wire.tool_choice and wire.tool_choice.disable_parallel_tool_use),
        json_format=_json_format(wire),
    )
    check_tools(chat, list(placed), schema_at="input_schema", format_at=f"{_format_place(wire)}.schema")
    return chat


def _messages(wire: _Body) -> tuple[Message, ...]:
    messages = tuple(read_messages(wire.messages))
    if not any(message.parts for message in messages):
        raise InvalidRequest(
            "Invalid value for 'messages': expected a message with any text.", param="messages"
        )
    return (*read_system(wire.system), *messages)


def _effort(wire: _Body) -> Effort | None:
    """Prefer the named effort. A client that only lets the model think leaves the amount to us: `high`."""
    thinking = wire.thinking or _Thinking()
    if thinking.type == "disabled":
        return "none"
    word = wire.output_config.effort if wire.output_config else None
    if word:
        return read_effort(word, "output_config.effort")
    budget = read_integer(thinking.budget_tokens, "thinking.budget_tokens")
    if thinking.type == "enabled" and budget is not None:
        return effort_of_budget(budget)
    return "high" if thinking.type in ("enabled", "adaptive") else None


def _shown(thinking: _Thinking | None) -> Shown:
    if thinking is None:
        return "whole"
    if thinking.type == "disabled":
        return "hidden"
    return "signed" if thinking.display == "omitted" else "whole"


def _json_format(wire: _Body) -> JsonFormat | None:
    format_ = (wire.output_config.format if wire.output_config else None) or wire.output_format
    if format_ is None or format_.type in (None, "text"):
        return None
    param = _format_place(wire)
    if format_.type != "json_schema":
        raise invalid_value(f"{param}.type", "json_schema", format_.type)
    if format_.schema is None:
        raise missing_field(f"{param}.schema")
    return JsonFormat(schema=format_.schema, strict=True)


def _format_place(wire: _Body) -> str:
    return "output_config.format" if wire.output_config and wire.output_config.format else "output_format"


def _client_tools(tools: Sequence[_Tool]) -> Iterator[tuple[str, Tool]]:
    """Yield each tool with its place, without the tools that Anthropic runs.

    The search is a switch here, and the others do not exist.
    """
    for index, tool in enumerate(tools):
        if not _is_server_tool(tool):
            yield f"tools[{index}]", _tool(tool, f"tools[{index}]")


def _is_server_tool(tool: _Tool) -> bool:
    return (tool.type or "").startswith(_SERVER_TOOLS)


def _is_search(tool: _Tool) -> bool:
    return (tool.type or "").startswith(_SEARCH)


def _tool(wire: _Tool, param: str) -> Tool:
    if not wire.name:
        raise missing_field(f"{param}.name")
    return Tool(
        name=wire.name,
        description=wire.description or "",
        schema=wire.input_schema,
        strict=bool(wire.strict),
    )


def _tool_choice(wire: _Body, tools: tuple[Tool, ...]) -> ToolChoice:
    choice = wire.tool_choice
    if choice is None or not wire.tools:
        return ToolChoice()
    match choice.type:
        case "auto":
            return ToolChoice()
        case "none":
            return ToolChoice(mode="none")
        case "any":
            return ToolChoice(mode="required") if tools else ToolChoice()
        case "tool":
            return _named_choice(choice.name, wire.tools, tools)
        case _:
            raise invalid_value("tool_choice.type", "auto, any, tool or none", choice.type)


def _named_choice(name: str | None, declared: list[_Tool], tools: tuple[Tool, ...]) -> ToolChoice:
    if not name:
        raise missing_field("tool_choice.name")
    if name in (tool.name for tool in tools):
        return ToolChoice(mode="required", names=(name,))
    if name in (tool.name for tool in declared):
        return ToolChoice()  # a tool of Anthropic's, and it is not the model that calls it here
    raise invalid_value("tool_choice.name", "the name of one of the tools", name)
