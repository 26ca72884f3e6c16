"""Check a chat request by official.md §2: refuse as the API refuses, note the fields that it ignores."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from simulator.steps import Json

from .errors import Refused
from .table import MODELS, Model

FIELDS = {
    "model", "messages", "stream", "thinking", "reasoning_effort", "do_sample", "temperature", "top_p",
    "max_tokens", "tool_stream", "tools", "tool_choice", "stop", "response_format", "request_id", "user_id",
    "watermark_enabled", "seed", "meta", "sensitive_word_check", "extra",
}  # fmt: skip
MAX_OUTPUT = 131_072
MAX_TOOLS = 128
MAX_STOPS = {"bigmodel": 4, "zai": 1}
ROLES = ("system", "user", "assistant", "tool")
EFFORTS = ("max", "xhigh", "high", "medium", "low", "minimal", "none")
BREAKING = ("anyOf", "oneOf", "allOf", "$ref")
"""A schema with one of these: 1234, or an empty stream (seen 2026-07 on glm-5.2)."""
UNWANTED = ("$schema", "$defs", "definitions", "format", "strict")

_FUNCTION = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def find_model(body: Json) -> Model:
    name = body.get("model")
    if not isinstance(name, str) or name not in MODELS:
        raise Refused("1211")
    return MODELS[name]


def refuse_wrong(body: Json, model: Model, region: str) -> None:
    """Raise Refused for the first thing that the API would not take."""
    for code, detail in _wrong(body, model, region):
        raise Refused(code, detail)


def _wrong(body: Json, model: Model, region: str) -> Iterator[tuple[str, str]]:
    yield from _wrong_messages(body.get("messages"), model)
    for name, low, high in (("temperature", 0, 1), ("top_p", 0.01, 1)):
        value = body.get(name)
        if value is not None and not (_is_number(value) and low <= value <= high):
            yield "1214", f"{name} must be in [{low}, {high}]"
    limit = body.get("max_tokens")
    if limit is not None and not (isinstance(limit, int) and 1 <= limit <= min(MAX_OUTPUT, model.max_output)):
        yield "1210", f"max_tokens must be in [1, {model.max_output}]"
    stops = body.get("stop")
    if stops is not None and not (isinstance(stops, list) and len(stops) <= MAX_STOPS[region]):
        yield "1214", f"stop must be a list of at most {MAX_STOPS[region]}"
    for name, low, high in (("request_id", 6, 64), ("user_id", 6, 128)):
        if name in body and not (isinstance(body[name], str) and low <= len(body[name]) <= high):
            yield "1214", f"{name} must have {low} to {high} characters"
    yield from _wrong_format(body.get("response_format"), model)
    yield from _wrong_thinking(body, model)
    yield from _wrong_tools(body.get("tools"), model)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _wrong_messages(messages: Any, model: Model) -> Iterator[tuple[str, str]]:
    if not isinstance(messages, list) or not messages:
        yield "1213", "messages"
        return
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            yield "1214", "messages: role"
            return
        content = message.get("content")
        parts = content if isinstance(content, list) else []
        kinds = {str(part.get("type")) for part in parts if isinstance(part, dict)}
        if kinds - {"text"} and not model.sees:
            yield "1210", f"messages: the model takes no {min(kinds - {'text'})}"
        if any(not call.get("function", {}).get("name") for call in message.get("tool_calls") or ()):
            yield "1214", "messages: tool_calls without a name"
    if all(message["role"] in ("system", "assistant") for message in messages):
        yield "1214", "messages: no user message"


def _wrong_format(response_format: Any, model: Model) -> Iterator[tuple[str, str]]:
    if response_format is None:
        return
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if kind not in ("text", "json_object") or model.sees:
        yield "1214", "response_format"


def _wrong_thinking(body: Json, model: Model) -> Iterator[tuple[str, str]]:
    effort = body.get("reasoning_effort")
    if effort is not None and effort not in EFFORTS:
        yield "1214", "reasoning_effort"
    if model.thinking != "always":
        return
    if effort is not None and effort not in ("low", "high", "max"):
        yield "1210", "reasoning_effort must be low, high or max"
    if (body.get("thinking") or {}).get("type") == "disabled":
        yield "1210", "thinking cannot be disabled"


def _wrong_tools(tools: Any, model: Model) -> Iterator[tuple[str, str]]:
    if tools is None:
        return
    if not isinstance(tools, list) or len(tools) > MAX_TOOLS:
        yield "1214", f"tools must be a list of at most {MAX_TOOLS}"
        return
    if tools and not model.has_tools:
        yield "1210", "the model takes no tools"
    for tool in tools:
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind not in ("function", "retrieval", "web_search", "mcp"):
            yield "1214", f"tools: type {kind!r}"
        elif kind == "function":
            function = tool.get("function") or {}
            if not _FUNCTION.fullmatch(str(function.get("name", ""))):
                yield "1214", f"tools: name {function.get('name')!r}"
            if not function.get("description"):
                yield "1213", f"tools: description of {function.get('name')}"


# Things that the API takes, and that a careful gateway avoids


def odd_fields(body: Json, model: Model) -> Iterator[str]:
    for name in sorted(set(body) - FIELDS):
        yield f"unknown field {name}"
    for name in ("temperature", "top_p"):
        if name in body and round(body[name], 2) != body[name]:
            yield f"{name} has more than two decimals: {body[name]}"
    if body.get("tool_choice", "auto") != "auto":
        yield f"tool_choice is {body['tool_choice']!r}, not auto"
    if "reasoning_effort" in body and model.thinking not in ("always", "effort"):
        yield f"{model.id} has no reasoning_effort"
    if "thinking" in body and model.thinking == "never":
        yield f"{model.id} has no thinking"
    if body.get("tool_stream") and not model.streams_tools:
        yield f"{model.id} has no tool_stream"
    functions = [tool for tool in body.get("tools") or () if tool["type"] == "function"]
    if functions and body.get("stream") and model.streams_tools and not body.get("tool_stream"):
        yield "stream and tools without tool_stream degenerate (seen 2026-03)"
    for name in sorted(
        {key for tool in functions for key in schema_keys(tool["function"]) if key in UNWANTED}
    ):
        yield f"a schema has {name}"


def odd_messages(messages: list[Json], model: Model, reasonings: dict[str, str]) -> Iterator[str]:
    roles = [message["role"] for message in messages]
    if roles.count("system") > 1 or "system" in roles[1:]:
        yield "expected one system message, at the front"
    open_calls: set[str] = set()
    for message in messages:
        content = message.get("content")
        if content is None or (isinstance(content, list) and not (model.sees and message["role"] == "user")):
            yield f"the content of {message['role']} is {type(content).__name__}: the template drops it"
        if message["role"] == "tool":
            if message.get("tool_call_id") not in open_calls:
                yield f"a result without its call: {message.get('tool_call_id')!r}"
            open_calls.discard(str(message.get("tool_call_id")))
        elif open_calls:
            yield f"calls without a result: {sorted(open_calls)}"
            open_calls = set()
        for call in message.get("tool_calls") or ():
            open_calls.add(call["id"])
            if message.get("reasoning_content", "") != reasonings.get(call["id"], ""):
                yield f"the reasoning of call {call['id']} did not come back"
    if open_calls:
        yield f"calls without a result: {sorted(open_calls)}"


def breaks_the_schema_reader(body: Json) -> bool:
    return any(
        key in BREAKING
        for tool in body.get("tools") or ()
        if tool["type"] == "function"
        for key in schema_keys(tool["function"])
    )


def schema_keys(value: Any) -> Iterator[str]:
    """Yield every key below a function's declaration; names of properties are no keys of a schema."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield key
            if key == "properties" and isinstance(part, dict):
                for schema in part.values():
                    yield from schema_keys(schema)
            elif key not in ("enum", "const", "default", "examples"):
                yield from schema_keys(part)
    elif isinstance(value, list):
        for part in value:
            yield from schema_keys(part)
