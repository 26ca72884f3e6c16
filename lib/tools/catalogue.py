"""The list of tools in the prompt: one line each, below a budget; and an example made of a declared tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lib.tools.budgets import Budgets, cut_end, on_one_line
from lib.tools.schema import (
    ANYTHING,
    Schema,
    options_of,
    properties_of,
    required_of,
    resolve,
    types_of,
)
from lib.tools.toolbox import Declared, encoded
from lib.tools.values import kinds_of

NO_DESCRIPTION = "(no description)"
_LEFT_OUT = frozenset(
    (
        "$schema", "title", "additionalProperties", "default", "$id", "$comment", "examples", "$defs",
        "definitions",
    )
)  # fmt: skip
_BOUNDS = ("minimum", "maximum", "format")
_MAX_PARTS = 2_000
"""One argument's schema may have so many parts. Written-out references may multiply them."""
_MAX_SAMPLE_DEPTH = 3
_STEPS = (1.0, 0.5, 0.25, 0.1, 0.0)
"""Shares of a description's and of a hint's length that are tried, one after the other."""
_SAMPLES = {
    "path": "src/app.py",
    "file": "src/app.py",
    "command": "ls -la",
    "cmd": "ls -la",
    "url": "https://example.com/",
    "query": "main",
    "pattern": "main",
    "city": "Beijing",
    "location": "Beijing",
    "code": "print(1)",
    "date": "2026-11-28",
}


def list_tools(tools: Sequence[Declared], budgets: Budgets) -> list[str]:
    """Return one line a tool. If they are too long, descriptions are cut first, then hints, then details."""
    for share in _STEPS:
        lines = [_line(tool, budgets, share) for tool in tools]
        if sum(map(len, lines)) + len(lines) <= budgets.tools:
            return lines
    limit = budgets.tools // max(len(tools), 1)
    return [_shortest(tool, limit) for tool in tools]


def _line(tool: Declared, budgets: Budgets, share: float) -> str:
    description = cut_end(on_one_line(tool.description), int(budgets.description * share))
    arguments = (
        {"input": "string, required"} if tool.is_freeform else _short(tool.schema, budgets.hint, share)
    )
    shown = encoded(arguments)
    return f"{tool.shown}: {description.strip('…') or NO_DESCRIPTION} {shown}"


def _shortest(tool: Declared, limit: int) -> str:
    """Names and types alone; optional arguments are left out if even that is too long."""
    required = required_of(tool.schema)
    whole = _names_and_types(tool, tuple(properties_of(tool.schema)))
    return whole if len(whole) <= limit else _names_and_types(tool, required)


def _names_and_types(tool: Declared, names: tuple[str, ...]) -> str:
    required = required_of(tool.schema)
    arguments = {name: _flat(_part(tool.schema, name), name in required, "") for name in names}
    return f"{tool.shown}: {NO_DESCRIPTION} {encoded(arguments)}"


def _part(schema: Schema, name: str) -> Schema:
    return resolve(properties_of(schema).get(name, ANYTHING), schema)


def _short(schema: Schema, hint: int, share: float) -> dict[str, Any]:
    required = required_of(schema)
    return {
        name: _argument(resolve(part, schema), schema, name in required, int(hint * share))
        for name, part in properties_of(schema).items()
    }


def _argument(schema: Schema, root: Schema, is_required: bool, hint: int) -> Any:
    said = cut_end(on_one_line(str(schema.get("description", ""))), hint).strip("…")
    if _is_flat(schema):
        return _flat(schema, is_required, said)
    nested = _Copy(root, hint).of(schema)
    return {**nested, "required": True} if is_required and "required" not in nested else nested


def _is_flat(schema: Schema) -> bool:
    nested = ("properties", "items", "anyOf", "oneOf", "allOf", "prefixItems")
    return not any(keyword in schema for keyword in nested)


def _flat(schema: Schema, is_required: bool, said: str) -> str:
    """`string, required, one of "a" | "b", words about it`."""
    types = types_of(schema) or tuple(sorted(kinds_of(schema, schema)))
    words = [" or ".join(types) or "any"]
    if is_required:
        words.append("required")
    if isinstance(allowed := schema.get("enum"), list):
        words.append("one of " + " | ".join(map(encoded, allowed)))
    words += [
        f"{keyword} {schema[keyword]}" for keyword in ("minimum", "maximum", "format") if keyword in schema
    ]
    return ", ".join([*words, said] if said else words)


class _Copy:
    """Copies a schema without the parts that say nothing, with local references written out."""

    def __init__(self, root: Schema, hint: int) -> None:
        self._root = root
        self._hint = hint
        self._left = _MAX_PARTS

    def of(self, schema: object, above: frozenset[str] = frozenset()) -> Any:
        if not isinstance(schema, Mapping):
            return schema
        self._left -= 1
        known = resolve(schema, self._root)
        reference = str(schema.get("$ref", ""))
        if reference in above or self._left < 0:
            return {"type": list(types_of(known))} if types_of(known) else {}
        below = above | {reference} if reference else above
        kept = {keyword: value for keyword, value in known.items() if keyword not in _LEFT_OUT}
        copied = {keyword: self._part(keyword, value, below) for keyword, value in kept.items()}
        return {keyword: value for keyword, value in copied.items() if keyword != "description" or value}

    def _part(self, keyword: str, value: Any, above: frozenset[str]) -> Any:
        match keyword:
            case "properties" if isinstance(value, Mapping):
                return {name: self.of(part, above) for name, part in value.items()}
            case "items":
                return self.of(value, above)
            case "anyOf" | "oneOf" | "allOf" | "prefixItems" if isinstance(value, list):
                return [self.of(part, above) for part in value]
            case "description":
                return cut_end(on_one_line(str(value)), self._hint).strip("…")
        return value


# The example


def examples_of(tools: Sequence[Declared]) -> list[tuple[Declared, dict[str, Any]]]:
    """Choose the two tools that are easiest to show, with values for their required arguments."""
    return [(tool, sample_arguments(tool)) for tool in sorted(tools, key=_difficulty)[:2]]


def _difficulty(tool: Declared) -> tuple[bool, bool, int]:
    required = required_of(tool.schema)
    is_flat = all(
        _is_flat(resolve(properties_of(tool.schema).get(name, ANYTHING), tool.schema)) for name in required
    )
    return not is_flat, not required, len(required)


def sample_arguments(tool: Declared) -> dict[str, Any]:
    names = required_of(tool.schema) or tuple(properties_of(tool.schema))[:1]
    return {name: _sample(name, _part(tool.schema, name), tool.schema, 0) for name in names}


def _sample(name: str, schema: object, root: Schema, depth: int) -> Any:
    known = resolve(schema, root)
    for keyword in ("enum", "examples"):
        if isinstance(values := known.get(keyword), list) and values:
            return values[0]
    for keyword in ("const", "default", "example"):
        if known.get(keyword) is not None:
            return known[keyword]
    if (options := options_of(known)) and depth < _MAX_SAMPLE_DEPTH:
        return _sample(name, options[0], root, depth + 1)
    kinds = kinds_of(known, root)
    if "string" in kinds or not kinds:
        return next((value for word, value in _SAMPLES.items() if word in name.lower()), "hello")
    if "integer" in kinds or "number" in kinds:
        least = known.get("minimum", known.get("exclusiveMinimum", 1))
        return max(2, int(least) + 1) if isinstance(least, int | float) else 2
    if "boolean" in kinds:
        return True
    if depth >= _MAX_SAMPLE_DEPTH:
        return [] if "array" in kinds else {}
    if "array" in kinds:
        return [_sample(name, known.get("items", ANYTHING), root, depth + 1)]
    if "object" in kinds:
        parts = properties_of(known)
        names = required_of(known) or tuple(parts)[:2]
        return {part: _sample(part, parts.get(part, ANYTHING), root, depth + 1) for part in names}
    return None
