"""Google's form of a schema, read as JSON Schema."""

from __future__ import annotations

from typing import Any

import pytest

from lib.dialects.gemini_names import camelled
from lib.dialects.gemini_schema import json_schema

CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"type": "STRING", "description": "x"}, {"type": "string", "description": "x"}),
    ({"type": "TYPE_UNSPECIFIED"}, {}),
    ({"type": ["STRING", "NULL"]}, {"type": ["string", "null"]}),
    ({"type": "STRING", "nullable": True}, {"type": ["string", "null"]}),
    ({"type": "STRING", "nullable": False}, {"type": "string"}),
    (
        {"type": "STRING", "format": "enum", "enum": ["A", "B"], "nullable": True},
        {"type": ["string", "null"], "enum": ["A", "B", None]},
    ),
    (
        {"anyOf": [{"type": "STRING"}, {"type": "INTEGER", "format": "int64"}], "nullable": True},
        {"anyOf": [{"type": "string"}, {"type": "integer", "format": "int64"}, {"type": "null"}]},
    ),
    ({"any_of": [{"type": "STRING"}]}, {"anyOf": [{"type": "string"}]}),
    (
        {"type": "ARRAY", "minItems": "1", "max_items": 3, "items": {"type": "NUMBER"}},
        {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "number"}},
    ),
    ({"minLength": "many", "maxLength": "9" * 30}, {"minLength": "many", "maxLength": "9" * 30}),
    (
        {
            "type": "OBJECT",
            "properties": {"type": {"type": "STRING", "example": "x"}, "any_of": {"type": "BOOLEAN"}},
            "required": ["type"],
            "additional_properties": {"type": "STRING"},
        },
        {
            "type": "object",
            "properties": {"type": {"type": "string"}, "any_of": {"type": "boolean"}},
            "required": ["type"],
            "additionalProperties": {"type": "string"},
        },
    ),
    (
        {"ref": "#/$defs/a", "defs": {"a": {"type": "STRING"}}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}},
    ),
    ({"items": True, "properties": [], "anyOf": 1}, {"items": True, "properties": [], "anyOf": 1}),
    ({"nullable": True}, {}),
    ({"propertyOrdering": ["a"]}, {}),
]


@pytest.mark.parametrize(("schema", "expected"), CASES)
def test_a_schema_is_written_in_json_schemas_words(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    assert json_schema(schema) == expected
    assert json_schema(expected) == expected, "what is JSON Schema already stays as it is"


def test_properties_stand_in_the_order_that_the_client_wants() -> None:
    properties = {name: {"type": "STRING"} for name in "abc"}
    read = json_schema({"properties": properties, "propertyOrdering": ["c", "x", 1, "b"]})
    assert list(read["properties"]) == ["c", "b", "a"]


def test_names_of_fields_are_read_in_both_spellings_and_the_clients_own_values_are_left_alone() -> None:
    asked = {
        "system_instruction": {"parts": [{"inline_data": {"mime_type": "a_b"}}]},
        "_responseJsonSchema": {"a_b": 1},
        "tools": [{"function_declarations": [{"parameters_json_schema": {"any_of": []}}]}],
        "contents": [{"parts": [{"function_call": {"args": {"a_b": {"c_d": 1}}}}]}],
    }
    assert camelled(asked) == {
        "systemInstruction": {"parts": [{"inlineData": {"mimeType": "a_b"}}]},
        "responseJsonSchema": {"a_b": 1},
        "tools": [{"functionDeclarations": [{"parametersJsonSchema": {"any_of": []}}]}],
        "contents": [{"parts": [{"functionCall": {"args": {"a_b": {"c_d": 1}}}}]}],
    }
