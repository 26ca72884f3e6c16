"""The tools of a Responses request: functions, free-form ones, namespaces, web search; and their choice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from lib.chat.request import Tool, ToolChoice
from lib.dialects.json_body import convert, invalid_value, missing_field

Kind = Literal["function", "custom", "local_shell"]

_FOREIGN_TOOLS = {
    "apply_patch", "code_interpreter", "computer", "computer_use_preview", "file_search",
    "image_generation", "mcp", "shell", "tool_search",
}  # fmt: skip
"""Types that OpenAI documents and nothing here runs. The log names these; others are a client's words."""
_OWN_TOOLS = {"function", "custom", "namespace", "local_shell"}
_LOCAL_SHELL = "local_shell"
_LOCAL_SHELL_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "command": {"type": "array", "items": {"type": "string"}},
        "working_directory": {"type": "string"},
        "timeout_ms": {"type": "integer"},
    },
    "required": ["command"],
}


class _Grammar(msgspec.Struct):
    syntax: str = ""
    definition: str = ""


class _Format(msgspec.Struct):
    type: str = "text"
    syntax: str | None = None
    definition: str | None = None
    grammar: _Grammar | None = None
    """The form that /v1/chat/completions takes."""


class _Named(msgspec.Struct):
    """The inside of a tool as /v1/chat/completions takes it."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    format: _Format | None = None


class _Tool(msgspec.Struct):
    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    format: _Format | None = None
    tools: list[dict[str, Any]] | None = None
    """The tools of a namespace."""
    external_web_access: bool | None = None
    """False: a web search reads no live page."""
    function: _Named | None = None
    custom: _Named | None = None


class _Choice(msgspec.Struct):
    type: str
    name: str | None = None
    namespace: str | None = None
    mode: str | None = None
    tools: list[dict[str, Any]] | None = None
    function: _Named | None = None
    custom: _Named | None = None


class WireTool(msgspec.Struct, frozen=True):
    """A tool as the client knows it."""

    kind: Kind
    name: str
    namespace: str | None = None


class Toolbox(msgspec.Struct, frozen=True, kw_only=True):
    """The tools of one request, by the names that the model knows."""

    tools: tuple[Tool, ...] = ()
    wires: Mapping[str, WireTool] = {}
    names: Mapping[tuple[str | None, str], str] = {}
    """From namespace and name to the model's name."""
    web_search: bool | None = None
    """None: no tool for it is declared. False: one is declared that reads no live page."""
    ignored: tuple[str, ...] = ()
    """For the log: one word for each tool that nothing here runs."""
    places: tuple[str, ...] = ()
    """The place of each tool in the request."""

    def wire(self, name: str) -> WireTool:
        """Return the client's own name of a tool that the model calls."""
        return self.wires.get(name) or WireTool("function", name)

    def name_of(self, namespace: str | None, name: str) -> str:
        """Return the model's name of a tool; an undeclared one keeps its own."""
        return self.names.get((namespace, name), name)


class Chosen(msgspec.Struct, frozen=True):
    """The meaning of `tool_choice`."""

    choice: ToolChoice = ToolChoice()
    web_search: bool | None = None


class _Declared(msgspec.Struct):
    wire: WireTool
    tool: _Named
    place: str
    note: str = ""
    """The words of the namespace about all its tools."""


def read_tools(wire: Sequence[dict[str, Any]]) -> Toolbox:
    """Read the declared tools. A type that is not known here is left out, never refused."""
    declared: list[_Declared] = []
    ignored: list[str] = []
    web_search: bool | None = None
    for index, value in enumerate(wire):
        param = f"tools[{index}]"
        tool = convert(value, _Tool, param)
        if is_web_search(tool.type):
            web_search = bool(web_search) or tool.external_web_access is not False
        elif tool.type == "namespace":
            declared += _inside(tool, param, ignored)
        elif (one := _declared(tool, None, param)) is not None:
            declared.append(one)
        else:
            ignored.append(_word(tool.type))
    return _boxed(declared, web_search, tuple(ignored))


def read_choice(wire: str | dict[str, Any] | None, box: Toolbox) -> Chosen:
    """Read `tool_choice`. Raise InvalidRequest if it names a tool that is not declared."""
    if isinstance(wire, dict):
        return _chosen(convert(wire, _Choice, "tool_choice"), box)
    match wire:
        case None | "auto" | "":
            return Chosen(web_search=box.web_search)
        case "none":
            return Chosen(ToolChoice(mode="none"), None if box.web_search is None else False)
        case "required" | "any":
            mode: Literal["auto", "required"] = "required" if box.tools else "auto"
            return Chosen(ToolChoice(mode=mode), box.web_search)
        case _:
            raise invalid_value("tool_choice", "none, auto, required or an object", wire)


def echoed_tools(wire: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Repeat the tools in OpenAI's form. A type that OpenAI does not document would break a strict reader."""
    known = [tool for tool in wire if _is_documented(tool["type"])]
    return [_echoed(tool) if tool["type"] == "function" else tool for tool in known]


def is_web_search(kind: str) -> bool:
    """Tell OpenAI's search tools; some carry a date, as in `web_search_preview_2025_03_11`."""
    return kind.startswith("web_search")


def _is_documented(kind: str) -> bool:
    return kind in _OWN_TOOLS or kind in _FOREIGN_TOOLS or is_web_search(kind)


def _echoed(tool: dict[str, Any]) -> dict[str, Any]:
    """Give a function all of its documented keys."""
    inner = tool.get("function")
    flat = {"type": "function", **inner} if isinstance(inner, dict) else tool
    return {"description": None, "parameters": None, "strict": None, **flat}


def _inside(tool: _Tool, param: str, ignored: list[str]) -> Iterator[_Declared]:
    if not tool.name:
        raise missing_field(f"{param}.name")
    note = f"[{tool.name}: {tool.description}] " if tool.description else ""
    for index, value in enumerate(tool.tools or ()):
        at = f"{param}.tools[{index}]"
        inner = convert(value, _Tool, at)
        one = _declared(inner, tool.name, at)
        if one is None:
            ignored.append(_word(inner.type))
            continue
        yield msgspec.structs.replace(one, note=note)
        note = ""


def _declared(tool: _Tool, namespace: str | None, param: str) -> _Declared | None:
    match tool.type:
        case "function":
            named = tool.function or _named(tool, param)
            place = f"{param}.function" if tool.function else param
            return _Declared(WireTool("function", named.name, namespace), named, place)
        case "custom":
            named = tool.custom or _named(tool, param)
            place = f"{param}.custom" if tool.custom else param
            return _Declared(WireTool("custom", named.name, namespace), named, place)
        case "local_shell" if namespace is None:
            words = "Run a command on the user's machine; `command` is the program and its arguments."
            shell = _Named(_LOCAL_SHELL, words, _LOCAL_SHELL_SCHEMA)
            return _Declared(WireTool("local_shell", _LOCAL_SHELL), shell, param)
        case _:
            return None


def _named(tool: _Tool, param: str) -> _Named:
    if not tool.name:
        raise missing_field(f"{param}.name")
    return _Named(tool.name, tool.description, tool.parameters, tool.strict, tool.format)


def _boxed(declared: list[_Declared], web_search: bool | None, ignored: tuple[str, ...]) -> Toolbox:
    tools: list[Tool] = []
    places: list[str] = []
    wires: dict[str, WireTool] = {}
    names: dict[tuple[str | None, str], str] = {}
    # A tool outside of any namespace keeps its name, wherever it stands in the list.
    for one in sorted(declared, key=lambda one: one.wire.namespace is not None):
        name = one.wire.name
        if name in wires and one.wire.namespace is not None:
            name = f"{one.wire.namespace}__{name}"
        if name in wires:
            continue
        wires[name] = one.wire
        names[one.wire.namespace, one.wire.name] = name
        tools.append(_tool(one, name))
        places.append(one.place)
    return Toolbox(
        tools=tuple(tools),
        wires=wires,
        names=names,
        web_search=web_search,
        ignored=ignored,
        places=tuple(places),
    )


def _tool(one: _Declared, name: str) -> Tool:
    is_freeform = one.wire.kind == "custom"
    return Tool(
        name=name,
        description=one.note + (one.tool.description or "") + _format_in_words(one.tool.format),
        schema=None if is_freeform else one.tool.parameters,
        is_freeform=is_freeform,
        strict=bool(one.tool.strict),
    )


def _format_in_words(form: _Format | None) -> str:
    """Say the grammar of a free-form tool's input: the model has nothing else to know it from."""
    if form is None or form.type != "grammar":
        return ""
    grammar = form.grammar or _Grammar(form.syntax or "", form.definition or "")
    kind = f"{grammar.syntax} grammar" if grammar.syntax else "grammar"
    return f"\nThe input must match this {kind}:\n{grammar.definition}"


def _chosen(wire: _Choice, box: Toolbox) -> Chosen:
    if wire.type == "allowed_tools":
        return _allowed(wire, box)
    if is_web_search(wire.type):
        return Chosen(ToolChoice(mode="none"), True)
    names = _names_chosen(wire, box, "tool_choice")
    if not names:
        return Chosen(web_search=box.web_search)  # a tool of OpenAI's own: no client is refused for it
    return Chosen(ToolChoice(mode="required", names=names), box.web_search)


def _allowed(wire: _Choice, box: Toolbox) -> Chosen:
    names: list[str] = []
    web_search = None if box.web_search is None else False
    for index, value in enumerate(wire.tools or ()):
        param = f"tool_choice.tools[{index}]"
        tool = convert(value, _Choice, param)
        if is_web_search(tool.type):
            web_search = box.web_search
        else:
            names += _names_chosen(tool, box, param)
    if not names:
        return Chosen(ToolChoice(mode="none"), web_search)
    mode: Literal["auto", "required"] = "required" if wire.mode == "required" else "auto"
    return Chosen(ToolChoice(mode=mode, names=tuple(names)), web_search)


def _names_chosen(wire: _Choice, box: Toolbox, param: str) -> tuple[str, ...]:
    match wire.type:
        case "function" | "custom":
            nested = wire.function or wire.custom
            name = wire.name or (nested.name if nested else None)
            if not name:
                raise missing_field(f"{param}.name")
            return (_declared_name(wire.namespace, name, box, f"{param}.name"),)
        case "namespace":
            return tuple(name for name, tool in box.wires.items() if tool.namespace == wire.name)
        case _:
            return (wire.type,) if wire.type in box.wires else ()


def _declared_name(namespace: str | None, name: str, box: Toolbox, param: str) -> str:
    known = box.name_of(namespace, name)
    if known not in box.wires:
        raise invalid_value(param, "the name of one of `tools`", name)
    return known


def _word(kind: str) -> str:
    return f"ignored_tool_{kind}" if kind in _FOREIGN_TOOLS else "ignored_tool"
