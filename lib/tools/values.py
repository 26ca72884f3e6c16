"""Values of arguments: from the raw text of a tag, or from sloppy JSON, to the types of the schema."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from lib.tools.loose_json import NotJson, read_json, read_strictly, read_whole
from lib.tools.schema import (
    ANYTHING,
    TYPES,
    Check,
    Schema,
    is_of_type,
    options_of,
    properties_of,
    required_of,
    resolve,
    types_of,
)

MAX_DEPTH = 64
MAX_UNION_DEPTH = 3
"""Unions inside each other: a deeper one allows any type."""
_CDATA = re.compile(r"\s*<!\[CDATA\[")
_CDATA_ENDS = re.compile(r"\]{1,3}\|?>(?:\]\]>)?\s*\Z")
_FENCE = re.compile(r"\s*(`{3,}(?!`)|~{3,}(?!~))[^\n`]*\n")
_QUOTED = re.compile(r"\s*(?:\"([^\"\n]*)\"|`([^`\n]+)`)\s*\Z")
_ITEM = re.compile(r"<(item|value|element|li)>")
_PLAIN_NAMES = re.compile(r"(?:path|file|dir|directory|folder|name|url|uri|cwd|id|glob)\Z", re.IGNORECASE)
"""An argument so named is never a text in which quotes are meant."""
Note = Callable[[str], None]


def kinds_of(schema: Schema, root: Schema, depth: int = 0) -> frozenset[str]:
    """Return the types that a value may have; empty: any."""
    if depth > MAX_UNION_DEPTH:
        return frozenset()
    known = resolve(schema, root)
    if types := types_of(known):
        return frozenset(types)
    if options := options_of(known):
        each = [kinds_of(resolve(option, root), root, depth + 1) for option in options]
        return frozenset() if not all(each) else frozenset().union(*each)
    for part in known.get("allOf") or ():
        if kinds := kinds_of(resolve(part, root), root, depth + 1):
            return kinds
    if isinstance(allowed := known.get("enum"), list):
        return frozenset(name for value in allowed for name in TYPES if is_of_type(value, name))
    if "const" in known:
        return frozenset(name for name in TYPES if is_of_type(known["const"], name))
    if "properties" in known:
        return frozenset(("object",))
    return frozenset(("array",)) if "items" in known else frozenset()


def trimmed(text: str) -> str:
    """Take off the one line break at each end that belongs to the tags.

    A text of several lines that begins right behind its tag ends in a line break of its own: the native form
    of GLM writes values so.
    """
    begun = text.removeprefix("\r").removeprefix("\n") if text[:2] == "\r\n" else text.removeprefix("\n")
    if begun == text and "\n" in text.rstrip("\r\n"):
        return text
    return begun[:-2] if begun.endswith("\r\n") else begun.removesuffix("\n")


def without_cdata(text: str) -> str | None:
    """Take a CDATA section's marks off; its end is spelt in many wrong ways. None: it is no such section."""
    if not (opener := _CDATA.match(text)):
        return None
    ending = _CDATA_ENDS.search(text, opener.end())
    if not ending:
        return text[opener.end() :]
    inner = text[opener.end() : ending.start()]
    surplus = ending[0].startswith("]]]") and inner.count("[") > inner.count("]")
    return f"{inner}]" if surplus else inner


def read_text(
    text: str,
    schema: Schema,
    root: Schema,
    *,
    name: str = "",
    keeps_fence: bool = False,
    note: Note | None = None,
) -> Any:
    """Type the raw text of an argument by its schema. A text that does not fit is returned as it is."""
    inner = without_cdata(text)
    raw = trimmed(text) if inner is None else inner
    kinds = kinds_of(schema, root)
    if "string" in kinds or (not kinds and not _looks_like_json(raw)):
        return _read_string(raw, kinds, name, keeps_fence=keeps_fence, note=note)
    return fit(_read_other(raw, resolve(schema, root), kinds, root), schema, root)


def _looks_like_json(text: str) -> bool:
    found = read_strictly(text)
    return found is not None and not isinstance(found.value, str) and not text[found.end :].strip()


def _inside_fence(text: str) -> str | None:
    """Return the text in the one fence around it. Searches for the last closer only: a pattern tries each."""
    if not (opener := _FENCE.match(text)):
        return None
    inner = text[opener.end() :].rstrip()
    if not inner.endswith(opener[1]):
        return None
    return inner.removesuffix(opener[1]).rstrip(" \t").removesuffix("\n")


def _read_string(text: str, kinds: frozenset[str], name: str, *, keeps_fence: bool, note: Note | None) -> Any:
    if kinds - {"string"} and _looks_like_json(text):
        value = read_json(text).value
        if any(is_of_type(value, kind) for kind in kinds):
            return value
    if not keeps_fence and (inner := _inside_fence(text)) is not None:
        if note is not None:
            note("fence")
        return inner
    if _PLAIN_NAMES.search(name) and (quoted := _QUOTED.match(text)):
        return quoted[1] if quoted[1] is not None else quoted[2]
    if note is not None and "\\n" in text and "\n" not in text and name in ("content", "input", "text"):
        note("newline")  # It may be an escape that was meant as a line break (tools.md B35): left as it is.
    return text


def _read_other(text: str, schema: Schema, kinds: frozenset[str], root: Schema) -> Any:
    stripped = text.strip()
    if "array" in kinds:
        return _read_list(stripped, schema, root)
    try:
        return _whole(stripped)
    except NotJson:
        return stripped


def _whole(text: str) -> Any:
    """Read JSON, encoded once or twice."""
    value = read_whole(text)
    if isinstance(value, str):
        try:
            return read_whole(value)
        except NotJson:
            return value
    return value


def _read_list(text: str, schema: Schema, root: Schema) -> Any:
    if not text:
        return []
    if found := list(_items(text)):
        of_item = resolve(schema.get("items", ANYTHING), root)
        return [read_text(item, of_item, root) for item in found]
    for candidate in (text, f"{text}]", f"[{text}]"):
        # A CDATA section's wrong end takes the list's bracket along; objects stand side by side.
        if candidate is text or (candidate[0] == "[") is (candidate[-1] == "]"):
            try:
                return _as_list(_whole(candidate))
            except NotJson:
                continue
    return [part.strip().strip("\"'") for part in text.split(",")]


def _items(text: str) -> Iterator[str]:
    """Yield the texts of `<item>…</item>`. A closer that is missing is searched for once."""
    place, missing = 0, set()
    while opener := _ITEM.search(text, place):
        place, closer = opener.end(), f"</{opener[1]}>"
        end = -1 if closer in missing else text.find(closer, place)
        if end < 0:
            missing.add(closer)
            continue
        yield text[place:end]
        place = end + len(closer)


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def fit(value: Any, schema: object, root: Schema) -> Any:
    """Give the value the types of its schema, where that loses nothing."""
    return _Fitter(root).fit(value, schema, 0)


class _Fitter:
    def __init__(self, root: Schema) -> None:
        self._root = root
        self._check = Check(root)
        """Its limit holds for all unions together."""

    def fit(self, value: Any, schema: object, depth: int) -> Any:
        if depth > MAX_DEPTH or self._check.is_exhausted:
            return value
        known = resolve(schema, self._root)
        if options := options_of(known):
            return self._fit_union(value, options, depth)
        kinds = kinds_of(known, self._root)
        if kinds and not any(is_of_type(value, kind) for kind in kinds):
            value = _converted(value, kinds)
        if isinstance(value, float) and "integer" in kinds and value.is_integer():
            return int(value)
        if isinstance(value, list):
            items = known.get("items", ANYTHING)
            return value if items is ANYTHING else [self.fit(item, items, depth + 1) for item in value]
        if isinstance(value, dict):
            return self._fit_object(value, known, depth)
        return value

    def _fit_union(self, value: Any, options: list[object], depth: int) -> Any:
        for option in options:
            if self._check.problem(value, option) is None:
                return self.fit(value, option, depth + 1)
        for option in options:
            fitted = self.fit(value, option, depth + 1)
            if self._check.problem(fitted, option) is None:
                return fitted
        return value

    def _fit_object(self, value: dict[str, Any], schema: Schema, depth: int) -> dict[str, Any]:
        properties, required = properties_of(schema), required_of(schema)
        is_closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
        fitted = {}
        for name, item in value.items():
            of_item = properties.get(name)
            if of_item is None:
                if not is_closed:
                    fitted[name] = item
                continue
            made = self.fit(item, of_item, depth + 1)
            if name in required or not _stands_for_nothing(made, resolve(of_item, self._root), self._root):
                fitted[name] = made
        return fitted


def _stands_for_nothing(value: Any, schema: Schema, root: Schema) -> bool:
    """Tell whether an optional argument was meant to be left out."""
    if value is not None and value != "":
        return False
    kinds = kinds_of(schema, root)
    return bool(kinds) and not any(is_of_type(value, kind) for kind in kinds)


def _converted(value: Any, kinds: frozenset[str]) -> Any:
    if isinstance(value, str):
        return _from_string(value, kinds)
    if "array" in kinds and value is not None:
        return [value]
    if "string" in kinds and isinstance(value, bool):
        return "true" if value else "false"
    if "string" in kinds and isinstance(value, int | float):
        return str(value)
    return value


def _from_string(text: str, kinds: frozenset[str]) -> Any:
    try:
        value = _whole(text.strip())
    except NotJson:
        value = text
    if isinstance(value, float) and "integer" in kinds and value.is_integer():
        return int(value)
    if any(is_of_type(value, kind) for kind in kinds):
        return value
    return [value] if "array" in kinds and text.strip() else text
