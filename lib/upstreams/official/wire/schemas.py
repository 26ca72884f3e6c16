"""JSON Schema as the official API reads it: no references, no unions, no notes for validators.

A schema with one of these: HTTP 500 with 1234, or an empty stream (glm-5.2, 2026-07-01).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

MAX_DEPTH = 12
"""Deep nesting breaks the API, too."""
MAX_NODES = 20_000
MAX_GROWTH_CHARS = 65_536
"""The definitions that references put into a schema have at most so many characters together. Nine types that
refer to each other have a hundred thousand paths."""
_UNIONS = ("anyOf", "oneOf")
_LEFT_OUT = frozenset(
    ("$schema", "$id", "$defs", "definitions", "$ref", "$comment", "format", "strict", "allOf", *_UNIONS)
)
_DATA = frozenset(("enum", "const", "default", "examples", "required"))


class Flattener:
    """Flattens the schemas of one request."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._nodes = 0
        self._growth_chars = 0
        self.has_changed = False

    def flatten(self) -> dict[str, Any]:
        flat = self._schema(self._root, 0, frozenset())
        if flat.get("type") != "object":
            self.has_changed = True
            flat = {"type": "object", "properties": flat.get("properties", {})}
        return flat

    def _schema(self, schema: object, depth: int, within: frozenset[str]) -> dict[str, Any]:
        """Flatten a schema. `within`: the references that lead here; one of them again allows anything."""
        self._nodes += 1
        if not isinstance(schema, Mapping):
            return {}
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            self.has_changed = True
            return {}
        whole, within = self._united(schema, within)
        flat: dict[str, Any] = {}
        for name, value in whole.items():
            if name in _LEFT_OUT:
                self.has_changed = True
            elif name == "properties" and isinstance(value, Mapping):
                flat[name] = {key: self._schema(part, depth + 1, within) for key, part in value.items()}
            elif name == "type":
                flat[name] = self._type(value)
            else:
                flat[name] = value if name in _DATA else self._other(value, depth, within)
        return _typed(flat)

    def _other(self, value: object, depth: int, within: frozenset[str]) -> object:
        """Flatten a keyword that holds a schema (`items`, `additionalProperties`), or a list of them."""
        if isinstance(value, Mapping):
            return self._schema(value, depth + 1, within)
        if isinstance(value, list):
            return [self._other(part, depth + 1, within) for part in value]
        return value

    def _type(self, value: object) -> object:
        """Return one type of a list of them: the first that is not null."""
        if not isinstance(value, list):
            return value.lower() if isinstance(value, str) else value
        self.has_changed = True
        return next((name for name in value if name != "null"), "string")

    def _united(self, schema: Schema, within: frozenset[str]) -> tuple[dict[str, Any], frozenset[str]]:
        """Follow the reference, add the parts of `allOf`, and take one branch of each union."""
        whole = dict(schema)
        for _ in range(MAX_DEPTH):
            parts: list[Schema] = []
            if reference := _reference(whole):
                parts.append({} if reference in within else self._referred(reference))
                within |= {reference}
            whole.pop("$ref", None)
            parts += [part for part in _listed(whole.pop("allOf", None)) if isinstance(part, Mapping)]
            for keyword in _UNIONS:
                self.has_changed |= keyword in whole
                taken, references = self._branch(_listed(whole.pop(keyword, None)), within)
                parts += taken
                within |= references
            if not parts:
                break
            self.has_changed = True
            for part in parts:
                whole = _merged(part, whole)
        return whole, within

    def _branch(self, options: list[Any], within: frozenset[str]) -> tuple[list[Schema], frozenset[str]]:
        """Reduce a union: constants become an enumeration, objects one object, others their first branch.

        Return also the references that were followed for it. An option that leads back is left out.
        """
        followed = [
            (_reference(option), self._resolved(option))
            for option in options
            if isinstance(option, Mapping) and _reference(option) not in within
        ]
        followed = [(reference, branch) for reference, branch in followed if branch.get("type") != "null"]
        references = frozenset(reference for reference, _ in followed if reference)
        branches = [branch for _, branch in followed]
        if not branches:
            return [], frozenset()
        if all("const" in branch for branch in branches):
            return [{"enum": [branch["const"] for branch in branches]}], references
        if all("enum" in branch for branch in branches):
            values = [value for branch in branches for value in _listed(branch["enum"])]
            return [{"enum": values}], references
        objects = [branch for branch in branches if isinstance(branch.get("properties"), Mapping)]
        if len(objects) > 1 and len(objects) == len(branches):
            return [_any_of(objects)], references
        return [branches[0]], references & {followed[0][0]}

    def _resolved(self, schema: Schema) -> Schema:
        reference = _reference(schema)
        return self._referred(reference) if reference else schema

    def _referred(self, reference: str) -> Schema:
        """Return the definition; anything is allowed if there is none, or no room for it."""
        node: object = self._root
        if not reference.startswith("#") or self._growth_chars > MAX_GROWTH_CHARS:
            return {}
        for step in reference[1:].strip("/").split("/") if reference != "#" else ():
            name = step.replace("~1", "/").replace("~0", "~")
            node = node.get(name) if isinstance(node, Mapping) else None
        if not isinstance(node, Mapping):
            return {}
        self._growth_chars += len(str(node))
        return node


def _reference(schema: Schema) -> str:
    reference = schema.get("$ref")
    return reference if isinstance(reference, str) else ""


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _merged(part: Schema, whole: Schema) -> dict[str, Any]:
    """Add a part to a schema. The schema's own words win; properties and required names add up."""
    merged = {**part, **whole}
    if isinstance(part.get("properties"), Mapping) and isinstance(whole.get("properties"), Mapping):
        merged["properties"] = {**part["properties"], **whole["properties"]}
    if isinstance(part.get("required"), list) and isinstance(whole.get("required"), list):
        merged["required"] = list(dict.fromkeys([*whole["required"], *part["required"]]))
    return merged


def _any_of(objects: list[Schema]) -> Schema:
    """Return one object with the properties of all; required are the names that each of them requires."""
    properties: dict[str, Any] = {}
    for branch in objects:
        for name, schema in branch["properties"].items():
            properties[name] = _common(properties[name], schema) if name in properties else schema
    required = [
        name
        for name in _listed(objects[0].get("required"))
        if all(name in _listed(branch.get("required")) for branch in objects)
    ]
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def _common(one: Any, other: Any) -> Any:
    """Return one schema for a property that two branches have: a tag takes the values of both."""
    values = [*_values(one), *_values(other)]
    if values and _values(one) and _values(other):
        kept = {name: value for name, value in one.items() if name != "const"}
        return {**kept, "enum": list(dict.fromkeys(values))}
    return one


def _values(schema: Any) -> list[Any]:
    if not isinstance(schema, Mapping):
        return []
    values = [schema["const"]] if "const" in schema else _listed(schema.get("enum"))
    return [value for value in values if isinstance(value, str | int | bool)]


def _typed(flat: dict[str, Any]) -> dict[str, Any]:
    if "type" not in flat and "properties" in flat:
        flat["type"] = "object"
    return flat
