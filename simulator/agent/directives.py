"""Read `[agent: …]` in the user's words; the table is in the package's docstring."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_STEPS = 500
"""`N times` makes at most so many steps."""

_START = re.compile(r"\[agent:\s*")
_SPACE = re.compile(r"\s*")
_TIMES = re.compile(r"(\d+)\s+times\s+")
_NAME = re.compile(r"[A-Za-z0-9_.:-]*[A-Za-z0-9_.-]")
_KEY = re.compile(r"([A-Za-z_][\w.-]*)=")
_WORD = re.compile(r"[^\s;&\]]*")
_HOLE = re.compile(r"\$(last|i|\d+)\b")
_JSON = json.JSONDecoder()


class Typed(str):
    """A bare word of a directive: the schema decides its type."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class PlannedCall:
    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlannedStep:
    calls: tuple[PlannedCall, ...] = ()
    words: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    steps: tuple[PlannedStep, ...]
    answer: Any = None
    """The final answer; None: quote the results."""


def read_directive(words: str) -> Task | None:
    """Read the last directive of a text; raise ValueError if it cannot be read."""
    starts = list(_START.finditer(words))
    return _Reader(words, starts[-1].end()).task() if starts else None


def fill_holes(value: Any, results: list[str], number: int) -> Any:
    """Put results into `$last` and `$N`, and the step's number into `$i`."""
    if isinstance(value, str):

        def put(hole: re.Match[str]) -> str:
            if hole[1] == "i":
                return str(number)
            index = len(results) if hole[1] == "last" else int(hole[1])
            return results[index - 1] if 0 < index <= len(results) else hole[0]

        return type(value)(_HOLE.sub(put, value))
    if isinstance(value, dict):
        return {key: fill_holes(part, results, number) for key, part in value.items()}
    return [fill_holes(part, results, number) for part in value] if isinstance(value, list) else value


class _Reader:
    def __init__(self, text: str, position: int) -> None:
        self._text = text
        self._position = position

    def task(self) -> Task:
        steps: list[PlannedStep] = []
        answer: Any = None
        while True:
            self._skip()
            times = self._take(_TIMES)
            if self._take(re.compile(r"answer(?=\s)")):
                self._skip()
                answer = self._value()
            else:
                steps += [self._step()] * min(int(times[1]) if times else 1, MAX_STEPS)
            self._skip()
            if self._take(re.compile(r"\]")):
                return Task(tuple(steps), answer)
            if not self._take(re.compile(r";\s*(?:then\s+)?")):
                raise ValueError(f"expected `;` or `]` at {self._rest()!r}")
            if self._take(re.compile(r"\]")):
                return Task(tuple(steps), answer)

    def _step(self) -> PlannedStep:
        calls: list[PlannedCall] = []
        words = ""
        while True:
            self._skip()
            if self._take(re.compile(r'say\s+(?=")')):
                words += str(self._value())
            else:
                calls.append(self._call())
            self._skip()
            if not self._take(re.compile(r"&")):
                return PlannedStep(tuple(calls), words)

    def _call(self) -> PlannedCall:
        name = self._take(_NAME)
        if name is None:
            raise ValueError(f"expected the name of a tool at {self._rest()!r}")
        arguments: dict[str, Any] = {}
        while True:
            self._skip()
            if self._text.startswith("{", self._position):
                arguments |= self._value()
            elif key := self._take(_KEY):
                arguments[key[1]] = self._value()
            else:
                return PlannedCall(name[0], arguments)

    def _value(self) -> Any:
        if self._text[self._position : self._position + 1] in ('"', "{", "["):
            value, self._position = _JSON.raw_decode(self._text, self._position)
            return value
        word = self._take(_WORD)
        return Typed(word[0] if word else "")

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._position)
        if found:
            self._position = found.end()
        return found

    def _skip(self) -> None:
        self._take(_SPACE)

    def _rest(self) -> str:
        return self._text[self._position : self._position + 40]
