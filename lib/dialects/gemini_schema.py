"""Google's own form of a schema (a part of OpenAPI 3.0), as JSON Schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Schema = Mapping[str, Any]

_NAMES = {
    "any_of": "anyOf",
    "min_items": "minItems",
    "max_items": "maxItems",
    "min_length": "minLength",
    "max_length": "maxLength",
    "min_properties": "minProperties",
    "max_properties": "maxProperties",
    "additional_properties": "additionalProperties",
    "property_ordering": "propertyOrdering",
    "defs": "$defs",
    "ref": "$ref",
}
"""The snake_case names of fields, and two names that JSON Schema writes otherwise."""
_LEFT_OUT = ("nullable", "propertyOrdering", "example")
"""`nullable` and the order are written in JSON Schema's way."""
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
"""Google's JSON writes integers of 64 bits as strings."""


def json_schema(schema: Schema) -> dict[str, Any]:
    """Return the schema in JSON Schema's words. A schema that is JSON Schema already stays as it is."""
    named = {_NAMES.get(name, name): value for name, value in schema.items()}
    read = {
        name: _READERS.get(name, _as_it_is)(value) for name, value in named.items() if name not in _LEFT_OUT
    }
    if read.get("type") == "type_unspecified":
        del read["type"]
    if read.get("format") == "enum":
        del read["format"]
    _order(read, named.get("propertyOrdering"))
    return _nullable(read) if named.get("nullable") is True else read


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if isinstance(kind := schema.get("type"), str):
        schema["type"] = [kind, "null"]
    elif isinstance(alternatives := schema.get("anyOf"), list):
        schema["anyOf"] = [*alternatives, {"type": "null"}]
    if isinstance(values := schema.get("enum"), list):
        schema["enum"] = [*values, None]
    return schema


def _order(schema: dict[str, Any], names: object) -> None:
    """Put the properties in the order that the client wants the model to write them in."""
    properties = schema.get("properties")
    if isinstance(names, list) and isinstance(properties, dict):
        first = [name for name in names if isinstance(name, str) and name in properties]
        schema["properties"] = {name: properties[name] for name in (*first, *properties)}


def _as_it_is(value: object) -> object:
    return value


def _kind(value: object) -> object:
    if isinstance(value, list):
        return [_kind(one) for one in value]
    return value.lower() if isinstance(value, str) else value


def _one(value: object) -> object:
    return json_schema(value) if isinstance(value, dict) else value


def _all(value: object) -> object:
    return [_one(one) for one in value] if isinstance(value, list) else value


def _each(value: object) -> object:
    return {name: _one(one) for name, one in value.items()} if isinstance(value, dict) else value


def _count(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 20 else value


_READERS: dict[str, Callable[[object], object]] = {
    "type": _kind,
    "items": _one,
    "additionalProperties": _one,
    **dict.fromkeys(("anyOf", "oneOf", "allOf", "prefixItems"), _all),
    "properties": _each,
    "$defs": _each,
    **dict.fromkeys(_COUNTS, _count),
}
