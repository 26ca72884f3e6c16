"""The beginning of a line: may it be the beginning of a call? Decided from as few characters as possible."""

from __future__ import annotations

import re
from enum import Enum

import msgspec

from lib.tools.envelopes import FIRST_KEYS, NAME_KEYS
from lib.tools.tags import (
    XML_OPENERS,
    Family,
    Tag,
    first_tag,
    fold,
    may_become,
    native_family,
    own_family,
    xml_family,
)
from lib.tools.toolbox import Toolbox
from lib.tools.words import RESULT, RUN, TOOL

MAX_OPENER_CHARS = 400
"""Longer beginnings are text: a fence's line, spaces, a tag with attributes."""

_MARKS = re.compile(r"(?:[ \t\r\n\ufeff]|>|[-*+•](?=[ \t])|\d{1,3}[.)](?=[ \t]))*")
_HALF_MARK = re.compile(r"(?:[-*+•]|\d{1,3}[.)]?)\Z")
_ROLE_WORD = re.compile(r"(?:assistant|助手)[ \t]*[:：][ \t]*(?=[<＜{\[`])", re.IGNORECASE)
_HALF_ROLE_WORD = re.compile(r"(?:assistant|助手)[ \t]*[:：]?[ \t]*\Z")
_FENCE = re.compile(r"(?P<mark>`{3,}|~{3,})[^\n`]*\n\s*")
_HALF_FENCE = re.compile(r"(?:`{1,2}|~{1,2}|(?:`{3,}|~{3,})[^\n`]*(?:\n\s*)?)\Z")
_WORD = re.compile(r"[A-Za-z_][\w.:\-]*")
_LITERALS = (
    "[function_calls]", "[call:", "[call=", "[tool_calls]", "[tool_call:", "[tool call:", "调用工具",
    "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>",
)  # fmt: skip
_PIPED = frozenset(("python_tag", "channel", "tool_call_begin", "tool_calls_section_begin"))
_RESULT_TAGS = frozenset((RESULT, "tool_response", "tool_result", "function_results"))
_ROLES = frozenset(("user", "observation", "system"))
_RESULT_LINES = ("observation:", "observation：", "## results", "## user")
_CLOSERS = frozenset(
    (
        RUN, "tool_call", "arg_key", "arg_value", "invoke", "parameter", "function_calls", "tool_calls",
        "ml_tool_calls", "ml_tool_call", "function", "tool_use",
    )
)  # fmt: skip


class Kind(Enum):
    TEXT = "an ordinary line"
    MAYBE = "too few characters to tell"
    TAGS = "calls in tags"
    PLAIN = "calls in plain text: the whole rest decides"
    FENCED_TEXT = "a fence that holds something else"
    DROPPED = "a stray tag that is not text"
    THOUGHT = "a thought in the text"
    RESULT = "a result that the model invented"


class Opening(msgspec.Struct, frozen=True):
    kind: Kind
    start: int = 0
    """The characters before it are marks of a quote or a list, or a fence's line."""
    end: int = 0
    family: Family | None = None
    prefix: str = ""
    """An opener that the model left out."""
    fence: str = ""
    is_quoted: bool = False


_TEXT = Opening(Kind.TEXT)
_MAYBE = Opening(Kind.MAYBE)


class Openers:
    """Decides for one request."""

    def __init__(self, box: Toolbox) -> None:
        self._box = box
        names = [fold(name) for name in box.names]
        self._tools = frozenset(names)
        self._words = frozenset(
            (
                *(fold(box.tag), RUN, "tool_call", "tool_code", "think", "invoke", TOOL),
                *XML_OPENERS, *_CLOSERS, *_PIPED, *_RESULT_TAGS, *_ROLES, *names,
            )
        )  # fmt: skip
        starts = {name[:1] for name in box.names}
        self._first = frozenset("<＜{[`~ \t\r\n\ufeff>-*+•0123456789调助AaTtPpOo#") | frozenset(
            letter for start in starts for letter in (start.lower(), start.upper())
        )

    def decide(self, line: str, *, follows_call: bool, is_first: bool) -> Opening:
        """Look at a line from its start, the line breaks before it included."""
        marks = _MARKS.match(line)
        place = marks.end() if marks else 0
        if place == len(line):
            return _MAYBE
        if line[place] not in self._first:
            return _TEXT
        if _HALF_MARK.match(line, place):
            return _MAYBE
        if is_first:
            if role := _ROLE_WORD.match(line, place):
                place = role.end()
            elif _is_half_role_word(line[place:].lower()):
                return _MAYBE
        opening = self._at(line, place, follows_call=follows_call)
        if ">" in line[:place] and opening.kind is Kind.TAGS:
            return msgspec.structs.replace(opening, is_quoted=True)
        return opening

    def _at(self, line: str, place: int, *, follows_call: bool) -> Opening:
        first = line[place]
        if first in "`~":
            return self._fence(line, place)
        if follows_call and (found := _result_line(line[place : place + 24].lower())):
            return found if found.kind is not Kind.RESULT else Opening(Kind.RESULT, place)
        return self._opener(line, place, follows_call=follows_call)

    def _opener(self, line: str, place: int, *, follows_call: bool = False) -> Opening:
        first = line[place]
        rest = line[place:]
        if first in "<＜[调" and (found := _literal(rest.lower())):
            return found if found.kind is Kind.MAYBE else Opening(Kind.PLAIN, place)
        if first in "<＜":
            return self._tag(rest, place, follows_call=follows_call)
        if first in "{[":
            return self._json(rest, place)
        if _WORD.match(rest):
            return self._name(rest, place)
        return _TEXT

    def _fence(self, line: str, place: int) -> Opening:
        if _HALF_FENCE.match(line, place):
            return _MAYBE
        fence = _FENCE.match(line, place)
        if not fence:
            return _TEXT
        inner = self._opener(line, fence.end())
        if inner.kind in (Kind.TAGS, Kind.PLAIN):
            return msgspec.structs.replace(inner, fence=fence["mark"])
        if inner.kind is Kind.MAYBE:
            return _MAYBE
        return Opening(Kind.FENCED_TEXT, fence=fence["mark"])

    # Tags

    def _tag(self, rest: str, place: int, *, follows_call: bool) -> Opening:
        tag = first_tag(rest)
        if tag is None:
            return _MAYBE if may_become(rest, self._words) else _TEXT
        word, end = tag.folded, place + len(tag.raw)
        if tag.is_closer:
            is_stray = word in _CLOSERS or word == fold(self._box.tag) or word == "think"
            return Opening(Kind.DROPPED, place, end) if is_stray else _TEXT
        if word == "think":
            return Opening(Kind.THOUGHT, place, end)
        is_piped = tag.raw[1:2] in "|｜"
        if follows_call and (word in _RESULT_TAGS or (is_piped and word in _ROLES)):
            return Opening(Kind.RESULT, place)
        if word == "tool_code" or (is_piped and word in _PIPED):
            return Opening(Kind.PLAIN, place)
        family = self._family(tag, word)
        return Opening(Kind.TAGS, place, family=family) if family else _TEXT

    def _family(self, tag: Tag, word: str) -> Family | None:
        if word in (fold(self._box.tag), RUN):
            return own_family
        if word == "tool_call":
            return native_family
        if word == "function":
            return xml_family if tag.assigned or tag.attribute("name") else None
        if word == TOOL:
            return xml_family if tag.attribute("name") else None
        return xml_family if word in XML_OPENERS or word in self._tools else None

    # JSON

    def _json(self, rest: str, place: int) -> Opening:
        head = _JSON_HEAD.match(rest)
        if not head:
            return _MAYBE if _HALF_JSON_HEAD.fullmatch(rest) else _TEXT
        key, after = head["key"], rest[head.end() :]
        if not after and not head["end"]:
            known = any(known.startswith(key) for known in (*FIRST_KEYS, *self._box.names))
            return _MAYBE if known else _TEXT
        if key in FIRST_KEYS:
            return self._first_value(key, after, place)
        return Opening(Kind.PLAIN, place) if self._box.find(key) else _TEXT

    def _first_value(self, key: str, after: str, place: int) -> Opening:
        value = _JSON_VALUE.match(after)
        if value is None or not value["first"]:
            return _MAYBE if _HALF_JSON_VALUE.fullmatch(after) else _TEXT
        is_text = value["first"] in "\"'“"
        if key == "type" or (key in NAME_KEYS and is_text):
            if not is_text:
                return _TEXT
            if not value["end"]:
                return _MAYBE if not after[value.end() :] else _TEXT
            known = value["text"] in _TYPES if key == "type" else self._box.find(value["text"])
            return Opening(Kind.PLAIN, place) if known else _TEXT
        if key in NAME_KEYS and value["first"] != "{":
            return _TEXT
        return Opening(Kind.PLAIN, place)

    # Names

    def _name(self, rest: str, place: int) -> Opening:
        word = _WORD.match(rest)
        assert word is not None
        if word.end() == len(rest):
            folded = fold(rest.rstrip(":"))
            known = any(name.startswith(folded) for name in self._tools)
            return _MAYBE if known or any(other.startswith(folded) for other in _REACT) else _TEXT
        if word[0].lower().rstrip(":") == "action":
            return self._action(rest, place)
        if word[0] == "print":
            inner = _PRINT.match(rest)
            if inner is None:
                return _MAYBE if _HALF_PRINT.match(rest) else _TEXT
            return Opening(Kind.PLAIN, place) if self._box.find(inner[1]) else _TEXT
        if fold(word[0]) not in self._tools:
            return _TEXT
        return _after_name(rest, word.end(), place)

    def _action(self, rest: str, place: int) -> Opening:
        found = _ACTION.match(rest)
        if not found:
            return _MAYBE if _HALF_ACTION.match(rest) else _TEXT
        if found.end() == len(rest):
            return _MAYBE
        return Opening(Kind.PLAIN, place) if self._box.find(found[1]) else _TEXT


_JSON_HEAD = re.compile(r"[\[\s]*\{\s*[\"'“]?(?P<key>[\w$.\-]+)(?P<end>[\"'”]?\s*(?=[:：=]))?")
_HALF_JSON_HEAD = re.compile(r"[\[\s]*(?:\{\s*[\"'“]?)?")
_JSON_VALUE = re.compile(
    r"[\"'”]?\s*[:：=]\s*(?P<first>[\"'“{\[\w])(?P<text>(?<=[\"'“])[^\"'”\n]{0,160})?(?P<end>[\"'”])?"
)
_HALF_JSON_VALUE = re.compile(r"[\"'”]?\s*[:：=]?\s*")
_TYPES = frozenset(("function", "tool_use", "tool_call", "function_call"))
_REACT = ("action", "print")
_PRINT = re.compile(r"print\s*\(\s*([\w.:\-]+)\s*\(")
_HALF_PRINT = re.compile(r"print\s*(?:\(\s*[\w.:\-]*\s*)?\Z")
_ACTION = re.compile(r"Action[ \t]*[:：][ \t]*([A-Za-z_][\w.\-]*)", re.IGNORECASE)
_HALF_ACTION = re.compile(r"Action[ \t]*(?:[:：][ \t]*)?\Z", re.IGNORECASE)
_KEYWORD = re.compile(r"[A-Za-z_]\w*\s*=")
_HALF_KEYWORD = re.compile(r"(?:[A-Za-z_]\w*)?\s*\Z")


def _is_half_role_word(rest: str) -> bool:
    return "assistant".startswith(rest) or bool(_HALF_ROLE_WORD.match(rest))


def _after_name(rest: str, end: int, place: int) -> Opening:
    """The line begins with a tool's name: look at the text behind it."""
    after = rest[end:].lstrip(" \t\r")
    if not after:
        return _MAYBE
    if after[0] == "(":
        inner = after[1:].lstrip()
        if not inner:
            return _MAYBE
        if inner[0] in "{)\"'" or _KEYWORD.match(inner):
            return Opening(Kind.PLAIN, place)
        return _MAYBE if _HALF_KEYWORD.match(inner) else _TEXT
    below = after.lstrip()
    if not below:
        return _MAYBE
    if below[0] == "{":
        return Opening(Kind.PLAIN, place)
    if below.startswith("<arg_key>"):
        return Opening(Kind.TAGS, place, family=native_family, prefix="<tool_call>")
    return _MAYBE if "<arg_key>".startswith(below) else _TEXT


def _literal(rest: str) -> Opening | None:
    for literal in _LITERALS:
        if rest.startswith(literal):
            return Opening(Kind.PLAIN)
        if literal.startswith(rest):
            return _MAYBE
    return None


def _result_line(rest: str) -> Opening | None:
    for literal in _RESULT_LINES:
        if rest.startswith(literal):
            return Opening(Kind.RESULT)
        if literal.startswith(rest):
            return _MAYBE
    return None
