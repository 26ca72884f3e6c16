"""The body of POST /v1/messages, as Anthropic documents it and as clients really send it.

Fields that are not listed here are ignored, whatever their type.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from lib.chat.request import ChatRequest, Effort, JsonFormat, Message, Tool, ToolChoice
from lib.dialects.anthropic_content import Content, WireMessage, read_messages, read_system
from lib.dialects.interface import Address
from lib.dialects.json_body import decode_body, invalid_value, missing_field, unsupported
from lib.dialects.stops import read_stops
from lib.errors import InvalidRequest

MAX_MODEL_CHARS = 256
"""An answer repeats the name."""
MEDIUM_BUDGET, HIGH_BUDGET = 8_192, 32_768
"""Tokens. A client that gives the model less room to think than this wants `medium`, or `high`, effort."""

Shown = Literal["whole", "signed", "hidden"]
"""How the answer shows reasoning: `signed` is a block without its text."""

_EFFORTS: dict[str, Effort] = {
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
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
    tools = tuple(_client_tools(wire.tools or ()))
    return ChatRequest(
        model=_model(wire.model),
        messages=_messages(wire),
        stop=read_stops(wire.stop_sequences, "stop_sequences"),
        max_tokens=_max_tokens(wire.max_tokens),
        effort=_effort(wire),
        web_search=True if any(map(_is_search, wire.tools or ())) else None,
        tools=tools,
        tool_choice=_tool_choice(wire, tools),
        parallel_tool_calls=not (wire.tool_choice and wire.tool_choice.disable_parallel_tool_use),
        json_format=_json_format(wire),
    )


def _model(name: str | None) -> str:
    if name is not None and len(name) > MAX_MODEL_CHARS:
        raise invalid_value("model", f"at most {MAX_MODEL_CHARS} characters", name)
    return name or ""


def _messages(wire: _Body) -> tuple[Message, ...]:
    messages = tuple(read_messages(wire.messages))
    if not any(message.parts for message in messages):
        raise InvalidRequest(
            "Invalid value for 'messages': expected a message with any text.", param="messages"
        )
    return (*read_system(wire.system), *messages)


def _max_tokens(limit: float | None) -> int | None:
    """Take a number below 1 as no limit: clients send 0 and -1 for that."""
    return None if limit is None or limit < 1 else int(limit)


def _effort(wire: _Body) -> Effort | None:
    """Prefer the named effort. A client that only lets the model think leaves the amount to us: `high`."""
    thinking = wire.thinking or _Thinking()
    if thinking.type == "disabled":
        return "none"
    word = wire.output_config.effort if wire.output_config else None
    if word:
        if word not in _EFFORTS:
            raise invalid_value("output_config.effort", f"one of {', '.join(_EFFORTS)}", word)
        return _EFFORTS[word]
    if thinking.type == "enabled" and thinking.budget_tokens is not None:
        return _effort_of_budget(thinking.budget_tokens)
    return "high" if thinking.type in ("enabled", "adaptive") else None


def _effort_of_budget(tokens: float) -> Effort:
    if tokens < MEDIUM_BUDGET:
        return "medium"
    return "high" if tokens < HIGH_BUDGET else "xhigh"


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
    param = "output_config.format" if wire.output_config and wire.output_config.format else "output_format"
    if format_.type != "json_schema":
        raise invalid_value(f"{param}.type", "json_schema", format_.type)
    if format_.schema is None:
        raise missing_field(f"{param}.schema")
    return JsonFormat(schema=format_.schema, strict=True)


def _client_tools(tools: list[_Tool] | tuple[()]) -> list[Tool]:
    """Leave out the tools that Anthropic runs: the search is a switch here, and the others do not exist."""
    return [_tool(tool, f"tools[{index}]") for index, tool in enumerate(tools) if not _is_server_tool(tool)]


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
