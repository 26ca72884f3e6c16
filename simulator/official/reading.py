"""Turn messages and tools of the official API into the reading that the agent acts on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from simulator.agent.conversation import Item, Result
from simulator.agent.prompt import Choice, Reading
from simulator.agent.tools import Tool
from simulator.steps import Json

from .schema_line import find_schema

_FORCED = re.compile(r"\b(?:must|required|exactly one|at least one)\b[^.\n]*\bcall\b", re.IGNORECASE)
_LIMITED = re.compile(r"\b(?:exactly one|at most one|only one)\b[^.\n]*\bcall\b", re.IGNORECASE)


def read_request(body: Json) -> Reading:
    """Read a request; forcing and schemas stand in the text, since the API itself has neither."""
    items = tuple(_items_of(body["messages"]))
    tools = tuple(_tool(tool["function"]) for tool in body.get("tools") or () if tool["type"] == "function")
    instructions = "\n".join(item.text for item in items if item.kind in ("system", "words"))
    choice, named = _choice_of(instructions, tools)
    wants_json = (body.get("response_format") or {}).get("type") == "json_object"
    schema = find_schema(instructions)
    return Reading(
        items,
        tools=tools,
        choice=choice,
        named=named,
        one_block=bool(_LIMITED.search(instructions)),
        wants_json=wants_json or schema is not None,
        schema=schema,
    )


def text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part.get("text", "")) for part in parts if part.get("type") == "text")


def naming_text(messages: list[Json]) -> str:
    """Return the texts that may name a scene: the system's and the user's newest."""
    users = [text_of(message.get("content")) for message in messages if message["role"] == "user"]
    system = [text_of(message.get("content")) for message in messages if message["role"] == "system"]
    return "\n".join([*system, *users[-1:]])


def _items_of(messages: list[Json]) -> Iterator[Item]:
    names: dict[str, str] = {}
    for message in messages:
        text = text_of(message.get("content"))
        match message["role"]:
            case "tool":
                name = names.get(str(message.get("tool_call_id")), "")
                # Without its id the model sees an empty result, without an error (req_llm#985, 2026-09-01).
                shown = text if name else ""
                yield Item("result", shown, Result(0, name, "", failed=False, text=shown))
            case "assistant":
                names |= {call["id"]: call["function"]["name"] for call in message.get("tool_calls") or ()}
                if text:
                    yield Item("assistant", text)
            case "system":
                yield Item("system", text)
            case _:
                yield Item("words", text)


def _tool(function: Json) -> Tool:
    parameters = function.get("parameters") or {}
    return Tool(
        function["name"],
        function.get("description", ""),
        dict(parameters.get("properties") or {}),
        tuple(parameters.get("required") or ()),
    )


def _choice_of(instructions: str, tools: tuple[Tool, ...]) -> tuple[Choice, str]:
    if not tools:
        return "none", ""
    forced = _FORCED.search(instructions)
    if forced is None:
        return "auto", ""
    sentence = instructions[forced.start() :].partition("\n")[0]
    named = [tool.name for tool in tools if re.search(rf"\b{re.escape(tool.name)}\b", sentence)]
    return ("named", named[0]) if len(named) == 1 else ("required", "")
