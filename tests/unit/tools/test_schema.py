"""The check of JSON Schema: one sentence with a path, bounded work, nothing fetched."""

from __future__ import annotations

from typing import Any

import pytest

from lib.errors import InvalidRequest
from lib.tools.schema import MAX_SCHEMA_CHARS, check_limits, problem_of
from lib.tools.values import fit, read_text

TEXT = {"type": "string"}
TREE: dict[str, Any] = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"name": TEXT, "below": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
            "required": ["name"],
        }
    },
}


@pytest.mark.parametrize(
    ("value", "schema", "problem"),
    [
        ("x", {"type": "integer"}, 'the value must be an integer, got "x"'),
        (True, {"type": "integer"}, "the value must be an integer, got true"),
        (5.0, {"type": "integer"}, None),
        (5, {"type": ["string", "null"]}, "the value must be a string or null, got 5"),
        ("x", {"type": "STRING"}, None),
        (None, {"type": "string", "nullable": True}, None),
        ("c", {"enum": ["a", "b"]}, 'the value must be one of "a", "b", got "c"'),
        (1, {"enum": [True]}, "the value must be one of true, got 1"),
        ("x", {"const": "y"}, 'the value must be "y", got "x"'),
        ({}, {"required": ["a"]}, "a is missing"),
        ({"a": {}}, {"properties": {"a": {"required": ["b"]}}}, "a.b is missing"),
        ({"x": 1}, {"properties": {}, "additionalProperties": False}, "x is not a known property"),
        ({"x": 1}, {"additionalProperties": TEXT}, "x must be a string, got 1"),
        ({"x": 1}, {"additionalProperties": False, "patternProperties": {"x": {}}}, None),
        ([1, "x"], {"items": {"type": "integer"}}, '[1] must be an integer, got "x"'),
        ([1, 2], {"prefixItems": [TEXT], "items": {}}, "[0] must be a string, got 1"),
        ([], {"minItems": 1}, "the value must have at least 1 items, got 0"),
        ([1, 2], {"maxItems": 1}, "the value must have at most 1 items, got 2"),
        ([1, 1], {"uniqueItems": True}, "the value must not repeat an item"),
        ({}, {"minProperties": 1}, "the value must have at least 1 properties, got 0"),
        ("", {"minLength": 1}, "the value must have at least 1 characters, got 0"),
        ("ab", {"maxLength": 1}, "the value must have at most 1 characters, got 2"),
        (1, {"minimum": 2}, "the value must be at least 2, got 1"),
        (3, {"maximum": 2}, "the value must be at most 2, got 3"),
        (2, {"exclusiveMinimum": 2}, "the value must be more than 2, got 2"),
        (2, {"maximum": 2, "exclusiveMaximum": True}, "the value must be less than 2, got 2"),
        (3, {"multipleOf": 2}, "the value must be a multiple of 2, got 3"),
        (5, {"anyOf": [TEXT, {"type": "integer"}]}, None),
        ([], {"oneOf": [TEXT, {"type": "integer"}]}, "the value must be a string, got []"),
        ({}, {"anyOf": [TEXT, {"type": "object", "required": ["a"]}]}, "a is missing"),
        (1, {"allOf": [{"minimum": 0}, {"maximum": 0}]}, "the value must be at most 0, got 1"),
        ({"a": 1}, {"properties": {"a": False}}, "a is not allowed"),
        ({"a": 1}, {"properties": {"a": True}}, None),
        ({"name": "x", "below": [{"name": "y"}]}, TREE, None),
        ({"name": "x", "below": [{}]}, TREE, "below[0].name is missing"),
        (1, {"$ref": "https://a.example/schema"}, None),
        (1, {"$ref": "#/nowhere"}, None),
        (1, {"$ref": "#"}, None),
        ("x" * 99, {"type": "integer"}, f'the value must be an integer, got "{"x" * 59}…'),
    ],
)
def test_a_fault_is_one_sentence(value: object, schema: dict[str, Any], problem: str | None) -> None:
    assert problem_of(value, schema) == problem


def test_a_union_that_refers_to_itself_is_given_up() -> None:
    schema = {"anyOf": [{"type": "array", "items": {"$ref": "#"}}] * 8 + [{"type": "null"}]}
    value: Any = "x"
    for _ in range(30):
        value = [value]
    assert problem_of(value, schema) is None
    assert fit(value, schema, schema) == value


def test_a_value_that_is_too_deep_is_a_fault() -> None:
    value: Any = "x"
    for _ in range(100):
        value = [value]
    assert "nested too deeply" in (problem_of(value, {"items": {"$ref": "#"}}) or "")


def test_an_unknown_type_allows_anything() -> None:
    assert problem_of(1, {"type": "strange"}) is None


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("schema", "param"),
    [
        (deep(40), "p"),
        ({"description": "x" * MAX_SCHEMA_CHARS, "type": "object"}, "p"),
        ({"enum": list(range(30_000))}, "p"),
        ({"type": "strange"}, "p.type"),
        ({"properties": []}, "p.properties"),
        ({"properties": {"a": 5}}, "p.properties.a"),
        ({"required": "a"}, "p.required"),
        ({"anyOf": [{"type": 5}, {"items": {"type": "x"}}]}, "p.anyOf[1].items.type"),
    ],
)
def test_a_schema_that_is_none_is_refused(schema: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_limits(schema, "p")
    assert caught.value.param == param


@pytest.mark.parametrize(
    "schema",
    [{}, deep(20), TREE, {"items": [{}, {}]}, {"additionalProperties": False}, {"properties": {"a": True}}],
)
def test_an_ordinary_schema_passes(schema: dict[str, Any]) -> None:
    check_limits(schema, "p")


@pytest.mark.parametrize(
    ("value", "schema", "fitted"),
    [
        ({"a": "5"}, {"properties": {"a": {"type": "integer"}}}, {"a": 5}),
        ({"a": None, "b": None}, {"properties": {"a": {"type": "integer"}, "b": {}}}, {"b": None}),
        ({"a": 5}, {"properties": {"a": TEXT}}, {"a": "5"}),
        ({"a": True}, {"properties": {"a": TEXT}}, {"a": "true"}),
        ({"a": "x"}, {"properties": {"a": {"type": "array", "items": TEXT}}}, {"a": ["x"]}),
        ({"a": '["x"]'}, {"properties": {"a": {"type": "array"}}}, {"a": ["x"]}),
        ({"a": {"b": 1}}, {"properties": {"a": {"type": "array"}}}, {"a": [{"b": 1}]}),
        ({"a": "5"}, {"properties": {"a": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}}, {"a": 5}),
        ({"a": "x"}, {"properties": {"a": {"type": "integer"}}}, {"a": "x"}),
        ({"x": 1}, {"properties": {}, "additionalProperties": False}, {}),
        ({"a": 5.0}, {"properties": {"a": {"type": "number"}}}, {"a": 5.0}),
        ({"a": "5.0"}, {"properties": {"a": {"type": "integer"}}}, {"a": 5}),
        ({"a": []}, {"properties": {"a": {"anyOf": [{"type": "integer"}]}}}, {"a": []}),
        ([[1]], {"items": {"items": {"type": "string"}}}, [["1"]]),
    ],
)
def test_a_value_gets_the_types_of_its_schema(value: object, schema: dict[str, Any], fitted: object) -> None:
    assert fit(value, schema, schema) == fitted


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("5", {"anyOf": [TEXT, {"type": "integer"}]}, 5),
        ("five", {"anyOf": [TEXT, {"type": "integer"}]}, "five"),
        ("null", {"type": ["string", "null"]}, None),
        ("5", {}, 5),
        ("five", {}, "five"),
        ('"five"', {}, '"five"'),
        ("a", {"enum": ["a", "b"]}, "a"),
        ("2", {"enum": [1, 2]}, 2),
        ('{"a": 1}', {"type": "object"}, {"a": 1}),
        ('{"a": 1}', {"$ref": "#/$defs/x", "$defs": {"x": {"type": "object"}}}, {"a": 1}),
        ("[1]", {"allOf": [{"type": "array"}]}, [1]),
        ("2", {"const": 2}, 2),
        ("[1]", {"items": {}}, [1]),
        ("x", {"allOf": [{}, TEXT]}, "x"),
        ("5", {"anyOf": [{"anyOf": [{"anyOf": [{"anyOf": [{"anyOf": [TEXT]}]}]}]}]}, "5"),
        ("[1]", {"type": ["string", "object"]}, "[1]"),
        ('"a b"', {"type": "array", "items": TEXT}, ["a b"]),
        ("```\nx\n```", TEXT, "x"),
        ("{}", {"properties": {}}, {}),
    ],
)
def test_a_raw_text_is_typed_by_its_schema(text: str, schema: dict[str, Any], value: object) -> None:
    assert read_text(text, schema, schema) == value
