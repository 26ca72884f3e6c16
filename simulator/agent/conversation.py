"""Read the conversation of a prompt: system texts, words of the user, answers, results of calls."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from simulator.dialogue import read_turns

Kind = Literal["system", "words", "assistant", "result"]

_RESULT = re.compile(r"<(bridge_result(?:_x\d+)?)>\n?(.*?)\n?</\1>", re.DOTALL)
_RESULT_HEAD = re.compile(r"action (\d+): (\S+?)(?: \((.*)\))?(, failed)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Result:
    """A `<bridge_result>` block."""

    number: int
    tool: str
    arguments: str
    """The call's arguments, shortened by the gateway."""
    failed: bool
    text: str


@dataclass(frozen=True, slots=True)
class Item:
    """One thing in the conversation, in its order."""

    kind: Kind
    text: str
    result: Result | None = None


def items_of(conversation: str) -> Iterator[Item]:
    """Yield the items in their order; each result is an item of its own."""
    for role, text in read_turns(conversation):
        if role in ("user", "observation"):
            yield from _split_user(text)
        elif text:
            yield Item("system" if role == "system" else "assistant", text)


def _split_user(text: str) -> Iterator[Item]:
    """Tell the user's words from the results that stand under the user's marker."""
    position = 0
    for block in _RESULT.finditer(text):
        yield from _words(text[position : block.start()])
        yield Item("result", block[2], _read_result(block[2]))
        position = block.end()
    yield from _words(text[position:])


def _words(text: str) -> Iterator[Item]:
    text = re.sub(r"^## Results[ \t]*$", "", text, flags=re.MULTILINE).strip()
    if text:
        yield Item("words", text)


def _read_result(block: str) -> Result:
    first, _, rest = block.partition("\n")
    head = _RESULT_HEAD.fullmatch(first.strip())
    if head is None:
        return Result(0, "", "", failed=False, text=block)
    number, tool, arguments, failed = head.groups()
    return Result(int(number), tool, arguments or "", failed=bool(failed), text=rest)
