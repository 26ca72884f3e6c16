"""Calls as JSON objects: `{"name": …, "arguments": …}` and the shapes that models make of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from lib.tools.arguments import key_of
from lib.tools.schema import properties_of
from lib.tools.toolbox import Toolbox

NAME_KEYS = ("name", "tool", "tool_name", "function_name", "function", "action", "recipient_name")
ARGUMENT_KEYS = (
    "arguments", "parameters", "params", "args", "input", "tool_input", "action_input", "tool_arguments",
)  # fmt: skip
LIST_KEYS = ("tool_calls", "tool_uses", "function_calls", "calls", "actions", "TOOL_DISPATCH")
FIRST_KEYS = frozenset(("id", "type", *NAME_KEYS, *ARGUMENT_KEYS, *LIST_KEYS, "function_call", "tool_call"))
"""The keys that an object of a call may begin with, beside the name of a tool."""


class Envelope(msgspec.Struct, frozen=True):
    name: str
    arguments: Any
    is_plain: bool
    """It has a name and arguments: nothing else looks like this."""


def envelopes_in(value: object, box: Toolbox) -> Iterator[Envelope]:
    """Find the calls of one JSON value; if any part of it is something else, there are no calls."""
    items = value if isinstance(value, list) else [value]
    found: list[Envelope] = []
    for item in items:
        if not isinstance(item, Mapping):
            return
        inner = next((item[key] for key in LIST_KEYS if isinstance(item.get(key), list)), None)
        if inner is not None:
            found += envelopes_in(inner, box)
            continue
        single = next((item[key] for key in ("function_call", "tool_call") if key in item), item)
        envelope = envelope_of(single, box) if isinstance(single, Mapping) else None
        if envelope is None:
            return
        found.append(envelope)
    yield from found


def envelope_of(item: Mapping[str, Any], box: Toolbox) -> Envelope | None:
    """Return the call that an object is, if it names a declared tool."""
    inner = item.get("function")
    if isinstance(inner, Mapping):  # OpenAI's shape
        return envelope_of(inner, box)
    name_key = next((key for key in NAME_KEYS if isinstance(item.get(key), str)), None)
    arguments_key = next((key for key in ARGUMENT_KEYS if key in item), None)
    if name_key is not None and box.find(item[name_key]):
        return _named(item, name_key, arguments_key, box)
    if arguments_key is not None and isinstance(item[arguments_key], str) and box.find(item[arguments_key]):
        swapped = item.get("name")
        return Envelope(item[arguments_key], swapped, True) if isinstance(swapped, dict) else None
    if len(item) == 1:
        name, value = next(iter(item.items()))
        if box.find(name) and isinstance(value, dict):
            return Envelope(name, value, False)
    return None


def _named(
    item: Mapping[str, Any], name_key: str, arguments_key: str | None, box: Toolbox
) -> Envelope | None:
    name = item[name_key]
    tool = box.find(name)
    assert tool is not None
    properties = properties_of(tool.schema)
    if (
        arguments_key is not None
        and arguments_key in properties
        and not isinstance(item[arguments_key], dict | None)
    ):
        arguments_key = None  # `input` is an argument of the tool itself
    others = {
        key: value
        for key, value in item.items()
        if key not in (name_key, arguments_key, "id", "type") and key_of(key, tool.schema) in properties
    }
    if arguments_key is None:
        if not others and len(item) > 1 and set(item) - {"id", "type", name_key}:
            return None  # an object of something else that happens to have this name
        return Envelope(name, others, False)
    given = item[arguments_key]
    if others and isinstance(given, dict | None):
        return Envelope(name, others | (given or {}), True)
    return Envelope(name, {} if given is None else given, True)
