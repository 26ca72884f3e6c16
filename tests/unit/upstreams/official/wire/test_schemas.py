from __future__ import annotations

from typing import Any

import pytest

from lib.upstreams.official.wire.schemas import Flattener
from simulator.official.requests import BREAKING, UNWANTED, schema_keys

OBJECT = {"type": "object"}


def flat(schema: dict[str, Any]) -> dict[str, Any]:
    return Flattener(schema).flatten()


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


TREE = {
    "$ref": "#/$defs/node",
    "$defs": {"node": of(next={"$ref": "#/$defs/node"}, value={"type": "integer"})},
}
CAT = {
    "type": "object",
    "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}},
    "required": ["kind"],
}
DOG = {"type": "object", "properties": {"kind": {"const": "dog"}}, "required": ["kind"]}

CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "a plain schema stays",
        of(a={"type": "string", "enum": ["x"]}),
        of(a={"type": "string", "enum": ["x"]}),
    ),
    ("no schema allows any object", {}, {"type": "object", "properties": {}}),
    (
        "notes for validators go",
        {"$schema": "s", "$id": "i", **of(a={"type": "string", "format": "date"})},
        of(a={"type": "string"}),
    ),
    (
        "a property may have any name",
        of(format={"type": "string"}, anyOf=OBJECT),
        of(format={"type": "string"}, anyOf=OBJECT),
    ),
    (
        "a reference is followed",
        {**of(a={"$ref": "#/$defs/n"}), "$defs": {"n": {"type": "integer"}}},
        of(a={"type": "integer"}),
    ),
    (
        "a reference that leads nowhere allows anything",
        of(a={"$ref": "#/$defs/none"}, b={"$ref": "http://x"}),
        of(a={}, b={}),
    ),
    (
        "an optional value loses its null",
        of(a={"anyOf": [{"type": "null"}, {"type": "integer"}]}),
        of(a={"type": "integer"}),
    ),
    ("a list of types becomes one", of(a={"type": ["null", "string"]}), of(a={"type": "string"})),
    (
        "a union of scalars is its first",
        of(a={"oneOf": [{"type": "integer"}, {"type": "string"}]}),
        of(a={"type": "integer"}),
    ),
    (
        "a union of constants is an enumeration",
        of(a={"anyOf": [{"const": 1}, {"const": 2}]}),
        of(a={"enum": [1, 2]}),
    ),
    (
        "a union of enumerations is one",
        of(a={"anyOf": [{"enum": [1]}, {"enum": [2]}]}),
        of(a={"enum": [1, 2]}),
    ),
    (
        "all parts add up",
        {"allOf": [of(a={"type": "string"}), {**of(b=OBJECT), "required": ["b"]}]},
        {**of(a={"type": "string"}, b=OBJECT), "required": ["b"]},
    ),
    (
        "words beside a union stay",
        of(a={"description": "d", "anyOf": [{"type": "integer"}]}),
        of(a={"description": "d", "type": "integer"}),
    ),
    (
        "items are flattened",
        of(a={"type": "array", "items": {"$ref": "#/$defs/n"}}) | {"$defs": {"n": OBJECT}},
        of(a={"type": "array", "items": OBJECT}),
    ),
    (
        "data is left alone",
        of(a={"default": {"$ref": 1}, "enum": [{"format": 1}]}),
        of(a={"default": {"$ref": 1}, "enum": [{"format": 1}]}),
    ),
    (
        "Gemini's types are written small",
        {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}},
        of(a={"type": "string"}),
    ),
    (
        "a list of schemas is flattened",
        of(a={"prefixItems": [{"format": "x"}, True]}),
        of(a={"prefixItems": [{}, True]}),
    ),
    ("a schema that is no object allows anything", of(a=True), of(a={})),
    ("properties make an object", of(a={"properties": {}}), of(a=of())),
    (
        "required names add up, and the schema's own property wins",
        {
            "allOf": [{**of(a=OBJECT, b=OBJECT), "required": ["b"]}],
            **of(a={"type": "string"}),
            "required": ["a"],
        },
        {**of(a={"type": "string"}, b=OBJECT), "required": ["a", "b"]},
    ),
    (
        "a property of two branches is the first one's",
        of(a={"oneOf": [of(x={"type": "string"}, y=True), of(x={"type": "integer"}, y=True)]}),
        of(a=of(x={"type": "string"}, y={})),
    ),
    ("another root becomes an object", {"type": "array"}, {"type": "object", "properties": {}}),
    (
        "a union of objects is one with all properties",
        of(a={"oneOf": [CAT, DOG]}),
        of(
            a={
                "type": "object",
                "properties": {"kind": {"enum": ["cat", "dog"]}, "lives": {"type": "integer"}},
                "required": ["kind"],
            }
        ),
    ),
]


@pytest.mark.parametrize(
    ("schema", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_schema_is_flattened(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    assert flat(schema) == expected
    assert flat(expected) == expected, "flattening again changes nothing"
    assert not {*BREAKING, *UNWANTED} & set(schema_keys(flat(schema)))


def test_a_change_is_known() -> None:
    plain, changed = Flattener(of(a=OBJECT)), Flattener(of(a={"anyOf": [OBJECT]}))
    plain.flatten()
    changed.flatten()
    assert (plain.has_changed, changed.has_changed) == (False, True)
    emptied = Flattener(of(a={"anyOf": [{"type": "null"}]}))
    emptied.flatten()
    assert emptied.has_changed


def test_a_schema_that_refers_to_itself_ends() -> None:
    node = flat(TREE)
    assert node["properties"]["value"] == {"type": "integer"}
    assert node["properties"]["next"] == {}
    around = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}
    assert flat(around) == {"type": "object", "properties": {}}


def optional(name: str) -> dict[str, Any]:
    """Give the form in which pydantic writes a property that may be null."""
    return {"anyOf": [{"$ref": f"#/$defs/{name}"}, {"type": "null"}]}


def test_a_union_that_refers_to_its_own_schema_ends() -> None:
    number = {"type": "integer"}
    node = of(value=number, left=optional("node"), right=optional("node"))
    tree = {"$ref": "#/$defs/node", "$defs": {"node": node}}
    assert flat(tree) == of(value=number, left={}, right={})
    assert flat({**of(root=optional("node")), "$defs": {"node": node}})["properties"]["root"] == flat(tree)
    plus = of(one={"$ref": "#/$defs/term"}, other={"$ref": "#/$defs/term"})
    term = {"oneOf": [{"$ref": "#/$defs/plus"}, number]}
    expression = {
        **of(a={"oneOf": [{"$ref": "#/$defs/plus"}, number]}),
        "$defs": {"plus": plus, "term": term},
    }
    assert flat(expression)["properties"]["a"] == of(one=number, other=number)


def test_two_objects_of_a_union_that_refer_to_each_other_end() -> None:
    one, other = of(x=optional("b")), of(y=optional("a"), z={"type": "integer"})
    either = {"oneOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]}
    schema = {**of(root=either), "$defs": {"a": one, "b": other}}
    assert flat(schema)["properties"]["root"] == of(x={}, y={}, z={"type": "integer"})


def test_schemas_that_refer_to_each_other_stay_small() -> None:
    names = [f"n{i}" for i in range(9)]
    definitions = {name: of(**{other: optional(other) for other in names}) for name in names}
    flattened = flat({"$ref": "#/$defs/n0", "$defs": definitions})
    assert set(flattened["properties"]) == set(names)
    assert len(str(flattened)) < 200_000


def test_a_deep_and_a_large_schema_are_cut() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(40):
        deep = of(a=deep)
    assert str(flat(deep)).count("properties") < 20
    wide = of(**{f"p{i}": of(x=OBJECT) for i in range(20_000)})
    assert sum(bool(part) for part in flat(wide)["properties"].values()) <= 10_000
