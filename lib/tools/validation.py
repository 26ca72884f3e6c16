"""Checks the tools that a request declares, before anything is asked of the upstream."""

from __future__ import annotations

import re

from lib.chat.request import ChatRequest, Tool
from lib.errors import InvalidRequest
from lib.tools.schema import check_limits, quoted, types_of

NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}\Z")
MAX_TOOLS = 512


def check_request(
    chat: ChatRequest, *, inside: str = "", schema_at: str = "parameters", format_at: str = "response_format"
) -> None:
    """Raise InvalidRequest with the place in the client's spelling.

    `inside` is the part of a path between a tool and its fields (`function.` in OpenAI's chat).
    """
    if len(chat.tools) > MAX_TOOLS:
        raise InvalidRequest(f"expected at most {MAX_TOOLS} tools, got {len(chat.tools)}", param="tools")
    seen: dict[str, int] = {}
    for number, tool in enumerate(chat.tools):
        _check_tool(tool, f"tools[{number}].{inside}", schema_at)
        if (first := seen.setdefault(tool.name, number)) != number:
            raise InvalidRequest(
                f"expected different names, got {quoted(tool.name)} in tools[{first}] too",
                param=f"tools[{number}].{inside}name",
            )
    _check_choice(chat)
    if chat.json_format is not None and chat.json_format.schema is not None:
        check_limits(chat.json_format.schema, format_at)


def _check_tool(tool: Tool, place: str, schema_at: str) -> None:
    if not NAME.match(tool.name):
        raise InvalidRequest(
            f"expected 1 to 128 of the characters A-Z a-z 0-9 _ . : -, got {quoted(tool.name)}",
            param=f"{place}name",
        )
    if tool.schema is None or tool.is_freeform:
        return
    param = f"{place}{schema_at}"
    kinds = types_of(tool.schema)
    if kinds and "object" not in kinds:
        raise InvalidRequest(f"expected a schema of an object, got {quoted(kinds[0])}", param=f"{param}.type")
    check_limits(tool.schema, param)


def _check_choice(chat: ChatRequest) -> None:
    choice = chat.tool_choice
    if choice.mode == "none":
        return
    names = [tool.name for tool in chat.tools]
    for name in choice.names:
        if name not in names:
            raise InvalidRequest(
                f"expected the name of a declared tool, got {quoted(name)}", param="tool_choice"
            )
    if choice.mode == "required" and not names:
        raise InvalidRequest("a call is required, and there are no tools", param="tool_choice")
