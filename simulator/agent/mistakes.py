"""Mistakes that real models make with calls and with JSON; each spoils one answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .model import Move
from .prompt import Reading
from .syntaxes import Call

Spoil = Callable[[Move, Reading], Move]

DESTROYED_NAMES = ("tool_call] {name}", "{name}({json})</arg_value>", "tool_9a822147</arg_value>")
"""Names after an interception that destroyed the call, as SILZ has logged them (field.md §1.1, 5)."""
IMAGINED = "I have looked at it: everything is in order, and nothing has to be changed."
WRONG_VALUES = {"integer": "five", "number": "a few", "boolean": "perhaps", "array": "{", "object": "nothing"}


def spoil(move: Move, mistake: str, reading: Reading) -> Move:
    """Return the move with the mistake; an answer that cannot have it stays as it is."""
    return MISTAKES[mistake](move, reading)


def destroyed_name(call: Call, number: int) -> str:
    form = DESTROYED_NAMES[number % len(DESTROYED_NAMES)]
    return form.replace("{name}", call.tool).replace("{json}", call.json)


def narrate(move: Move) -> Move:
    """Announce the calls in words; no block follows."""
    if not move.calls:
        return move
    said = "\n".join(f"I will now use {call.tool} with {_listed(call)}:" for call in move.calls)
    return replace(move, words=said, calls=())


def _misspelt(move: Move, reading: Reading) -> Move:
    """Swap two letters of the first tool's name; the result is never a declared name."""

    def wrong(call: Call) -> Call:
        name = call.tool
        swapped = name[0] + name[2:3] + name[1:2] + name[3:]
        return replace(call, tool=f"{name}x" if reading.find_tool(swapped) else swapped)

    return _change_first(move, wrong)


def _missing(move: Move, reading: Reading) -> Move:
    """Leave the first required argument out."""

    def wrong(call: Call) -> Call:
        tool = reading.find_tool(call.tool)
        required = tool.required if tool else ()
        left_out = next((name for name in call.arguments if name in required), None)
        return replace(call, arguments={k: v for k, v in call.arguments.items() if k != left_out})

    return _change_first(move, wrong)


def _mistyped(move: Move, reading: Reading) -> Move:
    """Write words for the first argument that is not a text, even if it has to be added."""

    def wrong(call: Call) -> Call:
        tool = reading.find_tool(call.tool)
        schemas = tool.arguments if tool else {}
        kinds = {name: str(schema.get("type", "string")) for name, schema in schemas.items()}
        name = next((name for name, kind in kinds.items() if kind in WRONG_VALUES), None)
        if name is None:
            return call
        return replace(call, arguments={**call.arguments, name: WRONG_VALUES[kinds[name]]})

    return _change_first(move, wrong)


def _announced(move: Move, reading: Reading) -> Move:  # noqa: ARG001
    return narrate(move)


def _invalid_json(move: Move, reading: Reading) -> Move:
    """Leave the first required member out, and chat around the value."""
    if not (move.is_final and reading.wants_json):
        return move
    value: Any = json.loads(move.words)
    if isinstance(value, dict) and value:
        del value[next(iter((reading.schema or {}).get("required", value)))]
        return replace(move, words=f"Here you are:\n{json.dumps(value, ensure_ascii=False)}\nAnything else?")
    return replace(move, words="Here you are: I could not find a value.")


def _as_it_is(move: Move, reading: Reading) -> Move:  # noqa: ARG001
    return move  # the scene plays this one: it is no matter of words


def _change_first(move: Move, change: Callable[[Call], Call]) -> Move:
    return replace(move, calls=(change(move.calls[0]), *move.calls[1:])) if move.calls else move


def _listed(call: Call) -> str:
    return (
        ", ".join(f"{name} = {str(value)[:40]!r}" for name, value in call.arguments.items()) or "no arguments"
    )


MISTAKES: dict[str, Spoil] = {
    "misspelt": _misspelt,
    "missing": _missing,
    "mistyped": _mistyped,
    "announced": _announced,
    "invalid_json": _invalid_json,
    "destroyed": _as_it_is,
    "cut": _as_it_is,
}
