"""Make a small value that satisfies a JSON Schema, the same one each time."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 8
"""Below this depth only required members are made, so that recursive schemas end."""

_FORMATS = {
    "date": "2026-11-28",
    "date-time": "2026-11-28T12:00:00Z",
    "time": "12:00:00Z",
    "email": "ada@example.com",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000001",
    "ipv4": "192.0.2.1",
    "hostname": "example.com",
}
_PATTERNS = {r"\d": "1", r"\w": "a", r"\s": " ", ".": "a"}
_SAMPLES = (
    "a",
    "A",
    "1",
    "a1",
    "A1",
    "2026-11-28",
    "abc",
    "ABC",
    "123",
    "12345",
    "a-b",
    "a_b",
    "example.com",
)


def make_example(schema: Any, *, name: str = "", root: Any = None, depth: int = 0) -> Any:
    """Return a value for the schema. `name` is the member's name: it makes texts readable."""
    root = schema if root is None else root
    if not isinstance(schema, Mapping):
        return name or "text"
    schema = _resolve(schema, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for union in ("anyOf", "oneOf"):
        if schema.get(union):
            return make_example(_choose(schema, union, depth), name=name, root=root, depth=depth + 1)
    return _by_type(schema, name, root, depth)


def _resolve(schema: Mapping[str, Any], root: Any, hops: int = 0) -> Mapping[str, Any]:
    """Follow a local `$ref`, and merge `allOf`."""
    if isinstance(schema.get("$ref"), str) and hops < MAX_DEPTH:
        target = _follow(schema["$ref"], root)
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return _resolve({**target, **rest}, root, hops + 1)
    if not schema.get("allOf"):
        return schema
    merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
    for part in schema["allOf"]:
        for key, value in _resolve(part, root, hops + 1).items():
            known = merged.get(key)
            if isinstance(known, dict) and isinstance(value, Mapping):
                merged[key] = {**known, **value}
            elif key == "required" and isinstance(known, list):
                merged[key] = [*known, *value]
            else:
                merged[key] = value
    return merged


def _follow(reference: str, root: Any) -> dict[str, Any]:
    target = root
    for step in filter(None, reference.removeprefix("#").split("/")):
        name = step.replace("~1", "/").replace("~0", "~")
        target = target.get(name, {}) if isinstance(target, Mapping) else {}
    return dict(target) if isinstance(target, Mapping) else {}


def _choose(schema: Mapping[str, Any], union: str, depth: int) -> Mapping[str, Any]:
    """Take the first branch; deep down, the one without members."""
    branches = [branch for branch in schema[union] if isinstance(branch, Mapping)]
    rest = {key: value for key, value in schema.items() if key != union}
    if depth >= MAX_DEPTH:
        branches.sort(key=lambda branch: "$ref" in branch or branch.get("type") in ("object", "array"))
    return {**rest, **(branches[0] if branches else {})}


def _by_type(schema: Mapping[str, Any], name: str, root: Any, depth: int) -> Any:
    kinds = schema.get("type")
    kind = kinds[0] if isinstance(kinds, list) and kinds else kinds
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    match kind:
        case "object":
            return _object(schema, root, depth)
        case "array":
            return _array(schema, name, root, depth)
        case "integer" | "number":
            return _number(schema, whole=kind == "integer")
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _string(schema, name)


def _object(schema: Mapping[str, Any], root: Any, depth: int) -> dict[str, Any]:
    properties = schema.get("properties") or {}
    required: list[str] = list(schema.get("required") or ())
    names = [name for name in properties if depth < MAX_DEPTH or name in required]
    made = {
        name: make_example(properties[name], name=name, root=root, depth=depth + 1)
        for name in [*names, *(name for name in required if name not in properties)]
        if name in properties
    }
    made |= {name: name for name in required if name not in properties}
    return made


def _array(schema: Mapping[str, Any], name: str, root: Any, depth: int) -> list[Any]:
    if schema.get("prefixItems"):
        return [make_example(part, name=name, root=root, depth=depth + 1) for part in schema["prefixItems"]]
    least = int(schema.get("minItems", 0))
    count = max(least, 1 if depth < MAX_DEPTH and schema.get("maxItems") != 0 else 0)
    made = [
        make_example(schema.get("items", {}), name=name, root=root, depth=depth + 1) for _ in range(count)
    ]
    if schema.get("uniqueItems") and count > 1:
        made = [_vary(value, index) for index, value in enumerate(made)]
    return made


def _vary(value: Any, index: int) -> Any:
    if isinstance(value, str):
        return f"{value}{index}" if index else value
    return value + index if isinstance(value, int | float) and not isinstance(value, bool) else value


def _number(schema: Mapping[str, Any], *, whole: bool) -> float | int:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    step = schema.get("multipleOf", 1 if whole else 0.5)
    value = 1 if low is None else low
    if high is not None and value > high:
        value = high
    value = math.ceil(value / step) * step
    if value == schema.get("exclusiveMinimum"):
        value += step
    while (high is not None and value > high) or value == schema.get("exclusiveMaximum"):
        value -= step
    return int(value) if whole or float(value).is_integer() else value


def _string(schema: Mapping[str, Any], name: str) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    if schema.get("pattern"):
        return _matching(str(schema["pattern"]))
    text = name.replace("_", " ") or "text"
    text = text.ljust(int(schema.get("minLength", 0)), "x")
    return text[: int(schema["maxLength"])] if "maxLength" in schema else text


def _matching(pattern: str) -> str:
    """Find a text that matches: one of a few samples, or a simple pattern written out."""
    for sample in (*_SAMPLES, _write_out(pattern)):
        if re.search(pattern, sample):
            return sample
    return "text"


def _write_out(pattern: str) -> str:
    """Write out classes, counts and literals; alternatives and groups are beyond it."""
    out = []
    token = re.compile(r"(\[\^?[^\]]+\]|\\.|.)(?:\{(\d+)(?:,\d*)?\}|([*+?]))?")
    for atom, count, sign in token.findall(pattern.strip("^$")):
        character = _PATTERNS.get(atom) or (atom[1] if len(atom) > 1 else atom)
        out.append(character * (int(count) if count else 0 if sign in ("*", "?") and sign else 1))
    return "".join(out)
