"""The tools of a chat request: functions, free-form ones (`custom`), and the form before 2023-11."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from lib.chat.request import Tool, ToolChoice
from lib.dialects.json_body import invalid_value, missing_field, shown, unsupported

_MODES = {"none", "auto", "required"}


class _Grammar(msgspec.Struct):
    syntax: str = ""
    definition: str = ""


class _Format(msgspec.Struct):
    type: str = "text"
    grammar: _Grammar | None = None


class WireFunction(msgspec.Struct):
    """The inside of a tool. Some clients leave it out and put its fields beside `type`."""

    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    format: _Format | None = None


class WireTool(WireFunction):
    type: str = "function"
    function: WireFunction | None = None
    custom: WireFunction | None = None


class _Name(msgspec.Struct):
    name: str


class _Allowed(msgspec.Struct):
    mode: str = "auto"
    tools: list[WireTool] = []


class WireChoice(msgspec.Struct):
    type: str = "function"
    name: str | None = None
    function: _Name | None = None
    custom: _Name | None = None
    allowed_tools: _Allowed | None = None


def read_tools(wire: Sequence[WireTool]) -> tuple[Tool, ...]:
    return tuple([_tool(tool, f"tools[{index}]") for index, tool in enumerate(wire)])


def read_functions(wire: Sequence[WireFunction]) -> tuple[Tool, ...]:
    """Read `functions`, which `tools` replaced in 2023-11."""
    return tuple([_named(function, f"functions[{index}]") for index, function in enumerate(wire)])


def read_choice(wire: str | WireChoice | None) -> ToolChoice:
    match wire:
        case None | "":
            return ToolChoice()
        case "none" | "auto" | "required":
            return ToolChoice(mode=wire)
        case str():
            raise invalid_value("tool_choice", f"one of {', '.join(sorted(_MODES))}, or an object", wire)
        case WireChoice(allowed_tools=_Allowed() as allowed):
            names = tuple(tool.name for tool in read_tools(allowed.tools))
            return ToolChoice(mode="required" if allowed.mode == "required" else "auto", names=names)
        case _:
            named = wire.function or wire.custom
            name = named.name if named is not None else wire.name
            if not name:
                raise missing_field("tool_choice.function.name")
            return ToolChoice(mode="required", names=(name,))


def read_function_call(wire: str | _Name | None) -> ToolChoice:
    """Read `function_call`, which `tool_choice` replaced."""
    if isinstance(wire, _Name):
        return ToolChoice(mode="required", names=(wire.name,))
    if wire not in (None, "", "none", "auto"):
        raise invalid_value("function_call", "'none', 'auto', or an object", wire)
    return ToolChoice(mode="none" if wire == "none" else "auto")


FunctionChoice = str | _Name | None


def _tool(wire: WireTool, param: str) -> Tool:
    if wire.type == "custom":
        inner = wire.custom or wire
        return _freeform(inner, f"{param}.custom")
    if wire.type != "function":
        what = f"tools of the type {shown(wire.type)} cannot be taken; send function or custom"
        raise unsupported(param, what)

    return _named(wire.function or wire, f"{param}.function")


def _named(wire: WireFunction, param: str) -> Tool:
    if wire.name is None:
        raise missing_field(f"{param}.name")
    return Tool(
        name=wire.name,
        description=wire.description or "",
        schema=wire.parameters,
        strict=bool(wire.strict),
    )


def _freeform(wire: WireFunction, param: str) -> Tool:
    """A grammar is no schema: it goes into the description."""
    if wire.name is None:
        raise missing_field(f"{param}.name")
    description = wire.description or ""
    if wire.format is not None and wire.format.grammar is not None:
        grammar = wire.format.grammar
        description = f"{description}\nGrammar ({grammar.syntax}):\n{grammar.definition}".strip()
    return Tool(name=wire.name, description=description, is_freeform=True)
