"""The one JSON value in a complete answer: chatter and fences off, sloppy JSON mended, typed and checked."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from lib.tools.loose_json import CutOff, Loose, NotJson, read_json
from lib.tools.schema import Schema, problem_of
from lib.tools.toolbox import encoded
from lib.tools.values import fit, kinds_of

MAX_STARTS = 16
"""So many beginnings are tried; an answer with more brackets before its JSON is prose."""
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n]*\n", re.MULTILINE)
_LINE = re.compile(r"^[ \t]*(?=[{\[])", re.MULTILINE)
_BRACKET = re.compile(r"[{\[]")
_TOKEN = re.compile(r"\"(?:[^\"\\]|\\.)*\"|[{}\[\]:,]|[^\s{}\[\]:,\"]+")


class Answer(msgspec.Struct, frozen=True):
    text: str
    problem: str | None = None
    """The fault, in words for the model and for the client."""
    is_mended: bool = False


def read_answer(text: str, schema: Schema) -> Answer:
    """Find the value and write it as valid JSON. A value that was clean stays as it is."""
    problem = "there is no JSON in it"
    for start in _starts(text, schema):
        try:
            found = read_json(text, start)
        except CutOff as error:
            problem = str(error)
            continue
        except NotJson as error:
            problem = f"it is no valid JSON ({error})" if problem.startswith("there") else problem
            continue
        answer = _checked(text, start, found, schema)
        if answer.problem is None:
            return answer
        problem = answer.problem
        if isinstance(found.value, dict | list) and found.value:
            break
    return Answer("", problem)


def _starts(text: str, schema: Schema) -> list[int]:
    kinds = kinds_of(schema, schema)
    starts = [len(text) - len(text.lstrip(" \t\r\n\ufeff"))] if text.strip() else []
    if kinds and not kinds & {"object", "array"}:
        return starts
    found = [place.end() for pattern in (_FENCE, _LINE) for place in pattern.finditer(text)]
    found += [place.start() for place in _BRACKET.finditer(text)]
    starts = [start for start in starts if text[start] in "{["]
    return list(dict.fromkeys([*starts, *found[: 4 * MAX_STARTS]]))[:MAX_STARTS]


def _checked(text: str, start: int, found: Loose, schema: Schema) -> Answer:
    fitted: Any = fit(found.value, schema, schema)
    if problem := problem_of(fitted, schema):
        return Answer("", problem)
    if found.is_strict and fitted == found.value and encoded(fitted) == encoded(found.value):
        return Answer(text[start : found.end].strip())
    return Answer(encoded(fitted), None, True)


def mended_end(sent: str, rest: str) -> str | None:
    """Return valid JSON that goes on behind the valid beginning `sent`, where `rest` is sloppy.

    None: the value cannot be read, or it does not begin like this.
    """
    try:
        value = read_json(sent + rest).value
    except NotJson:
        return None
    wanted, known = _TOKEN.findall(encoded(value)), _TOKEN.findall(sent)
    if len(known) > len(wanted) or not all(map(_is_same, known, wanted)):
        return None
    return "".join(wanted[len(known) :])


def _is_same(one: str, other: str) -> bool:
    if one == other or one[0] != other[0] or one[0] not in '"-0123456789':
        return one == other
    return bool(json.loads(one) == json.loads(other))
