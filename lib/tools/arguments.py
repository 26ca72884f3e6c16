"""The arguments of a call: raw texts, JSON or sloppy JSON become one object with the types of the schema."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lib.tools.drafts import Draft
from lib.tools.loose_json import CutOff, NotJson, read_json
from lib.tools.schema import ANYTHING, Schema, properties_of, required_of, resolve
from lib.tools.values import fit, kinds_of, read_text, trimmed, without_cdata
from lib.tools.words import ARGUMENT, FREEFORM, WHOLE

_WHOLE_NAMES = frozenset(
    (WHOLE, "json", "arguments", "parameters", "params", "args", "input", "tool_input", "kwargs")
)
"""An argument so named that the tool does not declare holds all arguments as one object."""
_LINE = re.compile(r"[ \t]*[-*]?[ \t]*([\w.\-]+)[ \t]*[:=：][ \t]*(.*)")
Note = Callable[[str], None]


class NotAnObject(ValueError):
    """The arguments cannot be read. `%` in the message stands for the label of an argument."""


def read_arguments(draft: Draft, schema: Schema, *, note: Note) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if draft.arguments is not None:
        found |= as_object(draft.arguments)
    if draft.body.strip():
        found |= _from_body(draft.body, schema, has_more=bool(draft.fields))
    keys = _Keys(schema)
    found = {keys.meant_by(name): value for name, value in found.items()}
    found = _fitted(found, schema)
    for name, value in _from_fields(draft.fields, schema, note).items():
        found[name] = value
    return found


def _fitted(found: dict[str, Any], schema: Schema) -> dict[str, Any]:
    fitted = fit(found, schema, schema)
    return fitted if isinstance(fitted, dict) else found


def as_object(value: object) -> dict[str, Any]:
    """Return the object that the value is, or that its text holds; nothing at all is an empty one."""
    if value is None or value == []:
        return {}
    if isinstance(value, dict):
        if any("<" in name or ">" in name for name in value):  # markup in a key: damaged (tools.md C5)
            raise NotAnObject("the arguments are no object")
        return value
    if isinstance(value, str):
        return _object_in(value)
    raise NotAnObject("the arguments must be one JSON object")


def _object_in(text: str, depth: int = 0) -> dict[str, Any]:
    stripped = text.strip()
    if stripped in ("", "null", "None"):
        return {}
    try:
        found = read_json(stripped)
    except NotJson as error:
        if (again := _repeated(stripped)) is not None:
            return again
        if isinstance(error, CutOff):
            raise
        raise NotAnObject(f"the arguments must be one JSON object: {error}") from error
    if isinstance(found.value, str) and depth == 0:  # encoded twice
        return _object_in(found.value, 1)
    is_clean = found.is_strict and not stripped[found.end :].strip()
    if not is_clean and (again := _repeated(stripped)) is not None:
        return again
    if isinstance(found.value, str):
        raise NotAnObject("the arguments must be one JSON object, got a text")
    return as_object(found.value)


def _repeated(text: str) -> dict[str, Any] | None:
    """Return the last object of a text that begins anew, `{"a":"b{"a":"bc"}`; None: it does not."""
    if not (opener := re.match(r"\{\s*\"[^\"]*\"\s*:", text)):
        return None
    again = text.rfind(opener[0])
    if again <= 0:
        return None
    try:
        found = read_json(text, again)
    except NotJson:
        return None
    is_last = not text[found.end :].strip()
    return found.value if found.is_strict and is_last and isinstance(found.value, dict) else None


def _from_body(body: str, schema: Schema, *, has_more: bool) -> dict[str, Any]:
    text = without_cdata(body) or body
    stripped = text.strip()
    only = only_text(schema)
    if only == FREEFORM and not has_more:
        return {only: trimmed(text)}
    if stripped.startswith(("{", '"{')):
        return _unwrapped(as_object(stripped), schema)
    lines = [_LINE.fullmatch(line) for line in stripped.splitlines() if line.strip()]
    if lines and all(lines):
        pairs = [(line[1], line[2]) for line in lines if line]
        keys, properties = _Keys(schema), properties_of(schema)
        if any(keys.meant_by(name) in properties for name, _ in pairs):
            return _from_fields(tuple(pairs), schema, lambda _: None)
    if only is not None and not has_more:
        return {only: stripped}
    if has_more:
        return {}  # words between the arguments
    raise NotAnObject("the arguments must stand in tags of their own, or be one JSON object")


def _unwrapped(found: dict[str, Any], schema: Schema) -> dict[str, Any]:
    """Take the object out of `{"name": …, "arguments": {…}}`."""
    properties = properties_of(schema)
    for name in ("arguments", "parameters", "args", "params"):
        if name in found and name not in properties and isinstance(found[name], dict | str):
            rest = {key: value for key, value in found.items() if key in properties}
            return rest | as_object(found[name])
    return {key: value for key, value in found.items() if key in properties or key not in ("name", "tool")}


def only_text(schema: Schema) -> str | None:
    """Return the argument that a call without names means: the only required one, if it is a text."""
    required = required_of(schema)
    names = required or tuple(properties_of(schema))
    if len(names) != 1:
        return None
    of_value = properties_of(schema).get(names[0], ANYTHING)
    return names[0] if "string" in kinds_of(resolve(of_value, schema), schema) else None


def _from_fields(fields: tuple[tuple[str, str], ...], schema: Schema, note: Note) -> dict[str, Any]:
    properties, keys = properties_of(schema), _Keys(schema)
    raw: dict[str, list[str]] = {}
    found: dict[str, Any] = {}
    for written, text in fields:
        name = keys.meant_by(written)
        if name in _WHOLE_NAMES and name not in properties and _is_object(text):
            inner = _unwrapped(_object_in(without_cdata(text) or text), schema)
            found |= _fitted({keys.meant_by(key): value for key, value in inner.items()}, schema)
        else:
            raw.setdefault(name, []).append(text)
    keeps_fence = any(
        text.strip().strip("\"'`").lower().endswith((".md", ".mdx", ".markdown"))
        for texts in raw.values()
        for text in texts
        if len(text) < 400
    )
    for name, texts in raw.items():
        of_value = resolve(properties.get(name, ANYTHING), schema)
        if name not in properties and schema.get("additionalProperties") is False:
            continue
        values = [
            read_text(text, of_value, schema, name=name, keeps_fence=keeps_fence, note=note) for text in texts
        ]
        found[name] = _one(name, values, is_list="array" in kinds_of(of_value, schema))
    return _fitted(found, schema)


def _is_object(text: str) -> bool:
    return (without_cdata(text) or text).lstrip().startswith(("{", '"{'))


def _one(name: str, values: list[Any], *, is_list: bool) -> Any:
    """Make one value of an argument that was given several times."""
    if len(values) == 1:
        return values[0]
    if is_list:
        return [item for value in values for item in (value if isinstance(value, list) else [value])]
    if any(value != values[0] for value in values):
        raise NotAnObject(f"%{name} was given {len(values)} times, with different values")
    return values[0]


def key_of(written: str, schema: Schema) -> str:
    """Return the declared argument that the model means; an unknown name stays as it is."""
    return _Keys(schema).meant_by(written)


def takes_text(name: str, schema: Schema) -> bool:
    """Tell whether a text can be a value of the argument. It is then read as it is, or as strict JSON."""
    kinds = kinds_of(resolve(properties_of(schema).get(name, ANYTHING), schema), schema)
    return not kinds or "string" in kinds


class _Keys:
    """The declared arguments, by the spellings that a model writes."""

    def __init__(self, schema: Schema) -> None:
        self._declared = properties_of(schema)
        self._alike: dict[str, list[str]] | None = None

    def meant_by(self, written: str) -> str:
        if written in self._declared or not self._declared:
            return written
        name = written.strip()
        if name.startswith(ARGUMENT) and name.removeprefix(ARGUMENT) in self._declared:
            return name.removeprefix(ARGUMENT)
        if self._alike is None:
            self._alike = {}
            for known in self._declared:
                self._alike.setdefault(_fold(known), []).append(known)
        alike = self._alike.get(_fold(name), ())
        return alike[0] if len(alike) == 1 else written


def _fold(name: str) -> str:
    return re.sub(r"[\s_\-]", "", name).lower()
