"""JSON Schema as tools use it: checks a value and names the fault in one sentence. Fetches nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from lib.errors import InvalidRequest

Schema = Mapping[str, Any]

MAX_SCHEMA_DEPTH = 64
"""Objects and arrays inside each other; every level of properties takes two. OpenAI allows 10 levels."""
MAX_SCHEMA_NODES = 20_000
MAX_SCHEMA_CHARS = 100_000
"""All tools together get 150,000 characters of the prompt (prompt.py)."""
MAX_VALUE_DEPTH = 64
MAX_STEPS = 30_000
"""Unions that refer to themselves double the work at every level; a check that is longer than this passes."""
MAX_REFERENCES = 16
MAX_QUOTE = 60
TYPES = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
ANYTHING: Schema = {}


def check_limits(schema: Schema, param: str) -> None:
    """Refuse a schema that is too deep, too large or malformed."""
    nodes, chars = 0, 0
    stack: list[tuple[Any, int]] = [(schema, 1)]
    while stack:
        node, depth = stack.pop()
        nodes += 1
        if depth > MAX_SCHEMA_DEPTH:
            raise InvalidRequest(
                f"expected a schema of at most {MAX_SCHEMA_DEPTH} levels, got a deeper one", param=param
            )
        if isinstance(node, Mapping):
            chars += sum(map(len, node))
            stack += [(child, depth + 1) for child in node.values()]
        elif isinstance(node, list):
            stack += [(child, depth + 1) for child in node]
        elif isinstance(node, str):
            chars += len(node)
        if nodes > MAX_SCHEMA_NODES or chars > MAX_SCHEMA_CHARS:
            raise InvalidRequest(
                f"expected a schema of at most {MAX_SCHEMA_NODES:,} values and {MAX_SCHEMA_CHARS:,} "
                "characters, got a larger one",
                param=param,
            )
    _check_form(schema, param)


def _check_form(schema: Schema, param: str) -> None:
    for path, node in _subschemas(schema, param):
        if not isinstance(node, Mapping | bool):
            raise InvalidRequest(f"expected a schema, got {quoted(node)}", param=path)
        if isinstance(node, bool):
            continue
        for name in types_of(node):
            if name not in TYPES:
                raise InvalidRequest(
                    f"expected a type of JSON Schema, got {quoted(name)}", param=f"{path}.type"
                )
        required = node.get("required", [])
        if not isinstance(required, bool | list):
            raise InvalidRequest(f"expected a list, got {quoted(required)}", param=f"{path}.required")
        if not isinstance(node.get("properties", {}), Mapping):
            raise InvalidRequest(
                f"expected an object, got {quoted(node['properties'])}", param=f"{path}.properties"
            )


def _subschemas(schema: object, path: str) -> Iterator[tuple[str, object]]:
    stack: list[tuple[str, object]] = [(path, schema)]
    while stack:
        place, node = stack.pop()
        yield place, node
        if not isinstance(node, Mapping):
            continue
        for keyword in ("properties", "$defs", "definitions"):
            if isinstance(children := node.get(keyword), Mapping):
                stack += [(f"{place}.{keyword}.{name}", child) for name, child in children.items()]
        for keyword in ("anyOf", "oneOf", "allOf", "prefixItems"):
            if isinstance(options := node.get(keyword), list):
                stack += [(f"{place}.{keyword}[{number}]", child) for number, child in enumerate(options)]
        if "items" in node and not isinstance(node["items"], list):
            stack.append((f"{place}.items", node["items"]))


def resolve(schema: object, root: Schema) -> Schema:
    """Follow local references. `true`, a remote reference and one that leads nowhere allow anything."""
    for _ in range(MAX_REFERENCES):
        if not isinstance(schema, Mapping):
            break
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        schema = _referred(reference, root)
    return ANYTHING


def _referred(reference: str, root: Schema) -> object:
    if not reference.startswith("#"):
        return ANYTHING
    node: object = root
    for step in reference[1:].strip("/").split("/") if reference != "#" else ():
        name = step.replace("~1", "/").replace("~0", "~")
        node = node.get(name, ANYTHING) if isinstance(node, Mapping) else ANYTHING
    return node


def types_of(schema: Schema) -> tuple[str, ...]:
    """Return the types that `type` names, in lower case (Gemini's clients write STRING)."""
    named = schema.get("type", ())
    names = (named,) if isinstance(named, str) else named if isinstance(named, list | tuple) else ()
    types = tuple(name.lower() if isinstance(name, str) else str(name) for name in names)
    return (*types, "null") if types and schema.get("nullable") is True else types


def options_of(schema: Schema) -> list[object]:
    """Return the branches of a union."""
    for keyword in ("anyOf", "oneOf"):
        if isinstance(options := schema.get(keyword), list) and options:
            return options
    return []


def required_of(schema: Schema) -> tuple[str, ...]:
    required = schema.get("required", ())
    return tuple(name for name in required if isinstance(name, str)) if isinstance(required, list) else ()


def properties_of(schema: Schema) -> Schema:
    properties = schema.get("properties")
    return properties if isinstance(properties, Mapping) else ANYTHING


def quoted(value: object) -> str:
    """Return the value as JSON, cut."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_QUOTE else f"{text[:MAX_QUOTE]}…"


def is_of_type(value: object, name: str) -> bool:
    match name:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return not isinstance(value, bool) and (
                isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            )
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
    return True


def problem_of(value: object, schema: Schema, *, root: Schema | None = None, path: str = "") -> str | None:
    """Name the fault of the value in a sentence; None: it satisfies the schema."""
    return Check(schema if root is None else root).problem(value, schema, path, 0)


class Check:
    """Checks values of one schema, up to a limit of work."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._steps = 0

    @property
    def is_exhausted(self) -> bool:
        return self._steps > MAX_STEPS

    def problem(self, value: object, schema: object, path: str = "", depth: int = 0) -> str | None:
        self._steps += 1
        if self.is_exhausted:
            return None
        place = path or "the value"
        if depth > MAX_VALUE_DEPTH:
            return f"{place} is nested too deeply"
        if schema is False:
            return f"{place} is not allowed"
        known = resolve(schema, self._root)
        if value is None and known.get("nullable") is True:
            return None
        return next(
            filter(
                None,
                (
                    _wrong_type(value, known, place),
                    self._outside_union(value, known, path, depth),
                    _wrong_scalar(value, known, place),
                    self._wrong_list(value, known, path, depth) if isinstance(value, list) else None,
                    self._wrong_object(value, known, path, depth) if isinstance(value, dict) else None,
                ),
            ),
            None,
        )

    def _outside_union(self, value: object, schema: Schema, path: str, depth: int) -> str | None:
        for part in schema.get("allOf") or ():
            if found := self.problem(value, part, path, depth + 1):
                return found
        problems = []
        for option in options_of(schema):
            # One that fits is enough for oneOf, too: the unions of tools overlap often.
            found = self.problem(value, option, path, depth + 1)
            if found is None:
                return None
            problems.append(found)
        worth_saying = [said for said in problems if not _is_about_type(said, path)]
        return next(iter([*worth_saying, *problems]), None)

    def _wrong_list(self, value: list[Any], schema: Schema, path: str, depth: int) -> str | None:
        place = path or "the value"
        if wrong := _out_of_bounds(len(value), schema, "Items", f"{place} must have", "items"):
            return wrong
        if schema.get("uniqueItems") is True and len(set(map(_key, value))) < len(value):
            return f"{place} must not repeat an item"
        first = schema.get("prefixItems") or ()
        for number, item in enumerate(value):
            of_item = first[number] if number < len(first) else schema.get("items", ANYTHING)
            if found := self.problem(item, of_item, f"{path}[{number}]", depth + 1):
                return found
        return None

    def _wrong_object(self, value: dict[str, Any], schema: Schema, path: str, depth: int) -> str | None:
        dot = f"{path}." if path else ""
        for name in required_of(schema):
            if name not in value:
                return f"{dot}{name} is missing"
        if wrong := _out_of_bounds(
            len(value), schema, "Properties", f"{path or 'the value'} must have", "properties"
        ):
            return wrong
        known, others = properties_of(schema), schema.get("additionalProperties", True)
        for name, item in value.items():
            of_item = known.get(name, ANYTHING if "patternProperties" in schema else others)
            if of_item is False and name not in known:
                return f"{dot}{name} is not a known property"
            if found := self.problem(item, of_item, f"{dot}{name}", depth + 1):
                return found
        return None


def _is_about_type(said: str, path: str) -> bool:
    return said.startswith((f"{path or 'the value'} must be ", f"{path or 'the value'} is not"))


def _key(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _wrong_type(value: object, schema: Schema, place: str) -> str | None:
    names = types_of(schema)
    if not names or any(is_of_type(value, name) for name in names):
        return None
    return f"{place} must be {' or '.join(TYPES.get(name, name) for name in names)}, got {quoted(value)}"


def _wrong_scalar(value: object, schema: Schema, place: str) -> str | None:
    allowed = schema.get("enum")
    if isinstance(allowed, list) and not any(_same(value, item) for item in allowed):
        return f"{place} must be one of {', '.join(map(quoted, allowed))}, got {quoted(value)}"
    if "const" in schema and not _same(value, schema["const"]):
        return f"{place} must be {quoted(schema['const'])}, got {quoted(value)}"
    if isinstance(value, str):
        return _out_of_bounds(len(value), schema, "Length", f"{place} must have", "characters")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _wrong_number(value, schema, place)
    return None


def _same(one: object, other: object) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _out_of_bounds(size: int, schema: Schema, what: str, words: str, unit: str) -> str | None:
    least, most = schema.get(f"min{what}"), schema.get(f"max{what}")
    if isinstance(least, int) and size < least:
        return f"{words} at least {least} {unit}, got {size}"
    if isinstance(most, int) and size > most:
        return f"{words} at most {most} {unit}, got {size}"
    return None


def _wrong_number(value: float, schema: Schema, place: str) -> str | None:
    least, most = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    # Draft 4 has booleans that sharpen the plain bounds.
    above, least = (least, None) if above is True else (above, least)
    below, most = (most, None) if below is True else (below, most)
    for bound, sign, is_met_by_equal, words in (
        (least, 1, True, "at least"),
        (most, -1, True, "at most"),
        (above, 1, False, "more than"),
        (below, -1, False, "less than"),
    ):
        if isinstance(bound, int | float) and not isinstance(bound, bool):
            distance = (value - bound) * sign
            if distance < 0 or (distance == 0 and not is_met_by_equal):
                return f"{place} must be {words} {bound}, got {value}"
    step = schema.get("multipleOf")
    if isinstance(step, int | float) and step > 0 and not math.isclose(math.remainder(value, step), 0):
        return f"{place} must be a multiple of {step}, got {value}"
    return None
