"""The tools of a prompt: one line a tool, `name: description {arguments as JSON}`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Schema = Mapping[str, Any]

MAX_BRACES = 200
"""A description may hold braces; so many of them are tried as the beginning of the arguments."""

_HEAD = re.compile(r"([A-Za-z0-9_.:-]*[A-Za-z0-9_.-]): ?(.*)", re.DOTALL)
_TYPES = ("string", "integer", "number", "boolean", "array", "object", "null")
_CHOICES = re.compile(r"one of[: ]+(.+?)(?:[;.)]|$)")


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    description: str = ""
    arguments: Mapping[str, Schema] = field(default_factory=dict)
    required: tuple[str, ...] = ()

    def schema_of(self, argument: str) -> Schema:
        return self.arguments.get(argument, {})

    def is_text(self, argument: str) -> bool:
        """Return True if the argument's value stands verbatim in the taught block."""
        return bool(self.schema_of(argument).get("type", "string") == "string")


def read_tool(line: str) -> Tool | None:
    """Read one line; return None if it is not a tool's."""
    found = _HEAD.match(line.strip())
    if found is None:
        return None
    name, rest = found.groups()
    description, arguments = _split(rest)
    return _make_tool(name, description, arguments)


def _split(rest: str) -> tuple[str, dict[str, Any]]:
    """Split at the first brace that begins a JSON object reaching to the end of the line."""
    starts = [index for index, character in enumerate(rest) if character == "{"]
    for start in starts[:MAX_BRACES]:
        try:
            value = json.loads(rest[start:])
        except ValueError:
            continue
        if isinstance(value, dict):
            return rest[:start].strip(), value
    return rest.strip(), {}


def _make_tool(name: str, description: str, shape: dict[str, Any]) -> Tool:
    properties = shape.get("properties")
    if shape.get("type") == "object" and isinstance(properties, dict):
        required = tuple(str(argument) for argument in shape.get("required", ()))
        return Tool(
            name, description, {key: _as_schema(value)[0] for key, value in properties.items()}, required
        )
    read = {key: _as_schema(value) for key, value in shape.items()}
    required = tuple(key for key, (_, is_required) in read.items() if is_required)
    return Tool(name, description, {key: schema for key, (schema, _) in read.items()}, required)


def _as_schema(value: Any) -> tuple[Schema, bool]:
    """Read `"string, required"`, or a JSON Schema that may carry `"required": true`."""
    if isinstance(value, Mapping):
        return {key: part for key, part in value.items() if part is not True or key != "required"}, (
            value.get("required") is True
        )
    words = str(value)
    schema: dict[str, Any] = {}
    first = re.match(r"[a-z]+", words)
    if first and first[0] in _TYPES:
        schema["type"] = first[0]
    if choices := _CHOICES.search(words.replace(", required", "")):
        schema["enum"] = [choice.strip(" \"'") for choice in re.split(r"[,|]", choices[1]) if choice.strip()]
    return schema, bool(re.search(r"\brequired\b", words))
