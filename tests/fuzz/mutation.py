"""Makes inputs out of inputs: bytes, JSON and events that are cut, repeated, swapped and blown up."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

MAX_BYTES = 32 * 1024
"""Of an input: what is wrong with longer ones mostly is with these."""
MAX_ROUNDS = 4

_MEANT_FOR_BYTES = (
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n",
    b"\r\n",
    b"\n\n",
    b'"',
    b"\\",
    b"\\ud83d",
)
_MEANT_FOR_TEXTS = (
    "",
    " ",
    "null",
    "\x00",
    "\r\n",
    "\u2028",
    "\ud83d",
    "\udc00",
    "🙂",
    "你好",
    "【1†source】",
    "【turn0search1】",
    "turn0search1",
    "```",
    "a" * 300,
    "../../etc/passwd",
    "http://127.0.0.1/",
    "data:;base64,",
    "<|user|>",
    "finish",
    "init",
)
_ODD_NUMBERS: tuple[Any, ...] = (0, -1, 1, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**400, 1e308, 0.1)
_ODD_VALUES: tuple[Any, ...] = (None, True, False, [], {}, [[]], {"": {}}, *_MEANT_FOR_TEXTS, *_ODD_NUMBERS)
_DEEPEST = 200

Mutation = Callable[[bytes, "Mutator"], bytes]


class Mutator:
    """Mutates inputs of one target; the same chance and the same seeds give the same."""

    def __init__(self, chance: Random, seeds: Sequence[bytes]) -> None:
        self.chance = chance
        self.seeds = seeds or (b"",)

    def next(self) -> bytes:
        data = self.chance.choice(self.seeds)
        for _ in range(self.chance.randint(1, MAX_ROUNDS)):
            data = self.chance.choice(MUTATIONS)(data, self)[:MAX_BYTES]
        return data


# Bytes


def _cut(data: bytes, by: Mutator) -> bytes:
    start, end = _span(data, by)
    return data[:start] + data[end:]


def _keep(data: bytes, by: Mutator) -> bytes:
    return data[: by.chance.randint(0, len(data))]


def _flip(data: bytes, by: Mutator) -> bytes:
    changed = bytearray(data)
    for _ in range(by.chance.randint(1, 4)):
        if changed:
            changed[by.chance.randrange(len(changed))] ^= 1 << by.chance.randrange(8)
    return bytes(changed)


def _repeat(data: bytes, by: Mutator) -> bytes:
    start, end = _span(data, by)
    return data[:end] + data[start:end] * by.chance.choice((1, 2, 30)) + data[end:]


def _insert(data: bytes, by: Mutator) -> bytes:
    at = by.chance.randint(0, len(data))
    fresh = by.chance.choice(
        (by.chance.choice(_MEANT_FOR_BYTES), by.chance.choice(_MEANT_FOR_TEXTS).encode("utf-8", "replace"))
    )
    return data[:at] + fresh + data[at:]


def _noise(data: bytes, by: Mutator) -> bytes:
    start, end = _span(data, by)
    return data[:start] + by.chance.randbytes(by.chance.randint(1, 16)) + data[end:]


def _deepen(data: bytes, by: Mutator) -> bytes:
    """Put what is nested deeply before some member's value, as a member of its own."""
    colons = [at for at, byte in enumerate(data) if byte == ord(":")]
    at = by.chance.choice(colons) + 1 if colons else 0
    depth = by.chance.choice((100, 1000, 10000))
    opened, closed = by.chance.choice(((b"[", b"]"), (b'{"a":', b"}")))
    return data[:at] + opened * depth + b"1" + closed * depth + b',"deep":' + data[at:]


def _splice(data: bytes, by: Mutator) -> bytes:
    other = by.chance.choice(by.seeds)
    return data[: by.chance.randint(0, len(data))] + other[by.chance.randint(0, len(other)) :]


def _span(data: bytes, by: Mutator) -> tuple[int, int]:
    start = by.chance.randint(0, len(data))
    longest = by.chance.choice((1, 4, 64, len(data)))
    return start, by.chance.randint(start, min(len(data), start + longest))


# Events: records that an empty line ends


def _events(change: Callable[[list[bytes], Random], None]) -> Mutation:
    def mutation(data: bytes, by: Mutator) -> bytes:
        records = data.split(b"\n\n")
        change(records, by.chance)
        return b"\n\n".join(records)

    return mutation


def _drop(records: list[bytes], chance: Random) -> None:
    del records[chance.randrange(len(records))]


def _duplicate(records: list[bytes], chance: Random) -> None:
    records.insert(chance.randint(0, len(records)), chance.choice(records))


def _reorder(records: list[bytes], chance: Random) -> None:
    one, other = chance.randrange(len(records)), chance.randrange(len(records))
    records[one], records[other] = records[other], records[one]


# JSON: the whole input, or what follows `data:` in one of its events


def _json(data: bytes, by: Mutator) -> bytes:
    records = data.split(b"\n\n")
    at = by.chance.randrange(len(records))
    head, mark, text = records[at].rpartition(b"data:")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _flip(data, by)
    value = _changed(value, by.chance)
    ascii_only = by.chance.random() < 0.5
    written = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    records[at] = head + mark + written
    return b"\n\n".join(records)


def _changed(value: Any, chance: Random) -> Any:
    """Change one place, anywhere in the value."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        name = chance.choice(list(value))
        if chance.random() < 0.7:
            return {**value, name: _changed(value[name], chance)}
        return _with_other_keys(value, name, chance)
    if isinstance(value, list) and value and chance.random() < 0.85:
        at = chance.randrange(len(value))
        return [*value[:at], *_in_place_of(value[at], chance), *value[at + 1 :]]
    return _other(value, chance)


def _with_other_keys(value: dict[str, Any], name: str, chance: Random) -> dict[str, Any]:
    match chance.randrange(3):
        case 0:
            return {key: item for key, item in value.items() if key != name}
        case 1:
            return {**value, chance.choice(_MEANT_FOR_TEXTS): value[name]}
        case _:
            return {**value, name: value[chance.choice(list(value))]}


def _in_place_of(item: Any, chance: Random) -> list[Any]:
    match chance.randrange(6):
        case 0:
            return []
        case 1:
            return [item, item]
        case 2:
            return [_other(item, chance), item]
        case _:
            return [_changed(item, chance)]


def _other(value: Any, chance: Random) -> Any:
    match chance.randrange(5):
        case 0 if isinstance(value, str):
            at = chance.randint(0, len(value))
            return value[:at] + chance.choice(_MEANT_FOR_TEXTS) + value[at:]
        case 1 if isinstance(value, str):
            return value[: chance.randint(0, len(value))]
        case 2:
            return _nested(value, chance.choice((1, 10, _DEEPEST)), chance.choice(("list", "dict")))
        case _:
            return chance.choice(_ODD_VALUES)


def _nested(value: Any, depth: int, kind: str) -> Any:
    for _ in range(depth):
        value = [value] if kind == "list" else {"a": value}
    return value


MUTATIONS: tuple[Mutation, ...] = (
    *(_cut, _keep, _flip, _repeat, _insert, _noise, _splice, _deepen),
    *map(_events, (_drop, _duplicate, _reorder)),
    *(_json, _json, _json, _json, _json, _json),
)
