"""Tags in a model's text, however they are spelt; and the roles that three families of tags give them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from lib.tools.words import ARGUMENT, RUN, TOOL

MAX_WORD_CHARS = 80
MAX_NAMESPACE_CHARS = 8
MAX_REST_CHARS = 300
"""The attributes may have so many characters. A longer tag, or one over several lines, is text."""

_LEAD = r"[<＜]\s{0,2}(?P<lead>[|｜/ ]{0,6}(?:dsml)?[|｜/ ]{0,6})"
_WORD = r"(?P<word>[A-Za-z_][\w:.\-]*)"
_TAG = re.compile(rf"{_LEAD}{_WORD}(?P<rest>[^<>＜＞\n]{{0,{MAX_REST_CHARS}}})[>＞]", re.IGNORECASE)
_PARTIAL = re.compile(rf"{_LEAD}(?:{_WORD}(?P<rest>[^<>＜＞\n]{{0,{MAX_REST_CHARS}}}))?\Z", re.IGNORECASE)
_LOST_END = re.compile(rf"{_LEAD}{_WORD}(?P<rest>)[|｜]?(?=[ \t\r]*(?:\n|[<＜]|\Z))", re.IGNORECASE)
_OPENER = re.compile(r"[<＜]")
_ATTRIBUTE = re.compile(r"([\w\-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|“([^”]*)”|([^\s|｜/\"'>]+))")
_ASSIGNED = re.compile(r"\s*=\s*[\"']?([^\s\"'|>]+)")


class Role(Enum):
    WRAP = "around several calls"
    RUN = "a call"
    NAME = "the tool's name"
    BODY = "around all arguments"
    ARGUMENT = "an argument, named by the tag"
    KEY = "an argument's name"
    VALUE = "an argument's value"


class Tag(NamedTuple):
    raw: str
    word: str
    """In its own case, without a namespace, a pipe or a slash."""
    rest: str
    is_closer: bool
    is_empty: bool
    """It closes itself."""

    @property
    def folded(self) -> str:
        return fold(self.word)

    def attribute(self, *names: str) -> str | None:
        found = attributes(self.rest)
        return next((found[name] for name in names if name in found), None)

    @property
    def assigned(self) -> str | None:
        """The name behind the equals sign of `<function=read>`."""
        found = _ASSIGNED.match(self.rest)
        return found[1] if found else None


class Mark(NamedTuple):
    """A tag that has a role."""

    role: Role
    tag: Tag
    name: str = ""

    @property
    def is_closer(self) -> bool:
        return self.tag.is_closer


Family = Callable[[Tag, "Place"], Mark | None]


class Place(NamedTuple):
    """The surroundings of a tag."""

    own_tag: str
    tools: frozenset[str]
    """Folded names of the declared tools, while the call has no name yet."""
    arguments: frozenset[str]
    """Folded names of the tool's arguments."""
    has_name: bool


@lru_cache(maxsize=512)
def fold(word: str) -> str:
    return re.sub(r"[\s\-]", "_", word.strip()).lower()


def attributes(rest: str) -> dict[str, str]:
    return {
        found[1].lower(): next(value for value in found.groups()[1:] if value is not None)
        for found in _ATTRIBUTE.finditer(rest)
    }


def _made(found: re.Match[str]) -> Tag:
    rest = found["rest"].rstrip("|｜ ")
    word = found["word"]
    if fold(word) == "bridge" and (more := re.match(r"\s+run(_x\d+)?", rest, re.IGNORECASE)):
        word, rest = f"{word}_{more[0].strip()}", rest[more.end() :]
    return Tag(
        raw=found[0],
        word=word.rsplit(":", 1)[-1] if ":" in word.strip(":") else word,
        rest=rest,
        is_closer="/" in found["lead"],
        is_empty=rest.endswith("/"),
    )


class Lexer:
    """Cuts a growing text into tags and data. Only a tag that is not complete yet is kept back."""

    def __init__(self) -> None:
        self._text = ""
        self._place = 0
        self._before = 0

    @property
    def consumed(self) -> int:
        """Characters that tokens have covered, in all."""
        return self._before + self._place

    @property
    def tail(self) -> str:
        """The text that no token has covered yet."""
        return self._text[self._place :]

    def feed(self, text: str) -> None:
        self._text, self._before, self._place = self.tail + text, self.consumed, 0

    def put_back(self, raw: str) -> None:
        """Undo the last token."""
        self._place -= len(raw)

    def next(self, *, is_final: bool) -> Tag | str | None:
        """Return the next tag or stretch of data; None: more text is needed."""
        text, place = self._text, self._place
        if place >= len(text):
            return None
        opener = _OPENER.search(text, place)
        if opener is None:
            return self._data(len(text))
        if opener.start() > place:
            return self._data(opener.start())
        if found := _TAG.match(text, place):
            return self._tag(found)
        partial = None if is_final else _PARTIAL.match(text, place)
        if partial and (partial["word"] is not None or len(text) - place < MAX_WORD_CHARS):
            return None
        if (lost := _LOST_END.match(text, place)) and "/" in lost["lead"]:
            return self._tag(lost)
        return self._data(place + 1)

    def _data(self, end: int) -> str:
        data = self._text[self._place : end]
        self._place = end
        return data

    def _tag(self, found: re.Match[str]) -> Tag:
        self._place = found.end()
        return _made(found)


def first_tag(text: str) -> Tag | None:
    """Return the complete tag at the beginning of a text."""
    found = _TAG.match(text)
    return _made(found) if found else None


def may_become(text: str, words: Iterable[str]) -> bool:
    """Tell whether a text may grow into a tag with one of the folded words."""
    if not (partial := _PARTIAL.match(text)):
        return False
    word = partial["word"]
    if word is None:
        return True
    if not partial["rest"]:
        folded = fold(word.rsplit(":", 1)[-1])
        return any(known.startswith(folded) for known in words) or _is_start_of_lead(word)
    folded = fold(word.rsplit(":", 1)[-1])
    return folded in words or (folded == "bridge" and RUN in words)


def _is_start_of_lead(word: str) -> bool:
    """A namespace, or DSML's mark, may be all that there is yet."""
    return word.endswith(":") or (word.isalpha() and len(word) <= MAX_NAMESPACE_CHARS)


# Families: each tells the role of a tag, or None: then the tag is data.


def own_family(tag: Tag, place: Place) -> Mark | None:
    """`<bridge_run><tool>read</tool><in_path>a.py</in_path></bridge_run>`."""
    word = tag.folded
    if word == fold(place.own_tag) or word == RUN:
        return Mark(Role.RUN, tag, tag.attribute(TOOL, "name") or "")
    if word == TOOL:
        return Mark(Role.NAME, tag)
    if word == "in":
        name = tag.attribute("name") or tag.assigned
        return Mark(Role.ARGUMENT, tag, name or "") if name or tag.is_closer else None
    if word.startswith(ARGUMENT):
        return Mark(Role.ARGUMENT, tag, tag.word[len(ARGUMENT) :])
    if word in place.tools and (tag.is_closer or not place.has_name):
        return Mark(Role.NAME, tag, tag.word)
    if word in place.arguments:
        return Mark(Role.ARGUMENT, tag, tag.word)
    return None


_NATIVE = {"tool_call": Role.RUN, "arg_key": Role.KEY, "arg_value": Role.VALUE}


def native_family(tag: Tag, _: Place) -> Mark | None:
    """`<tool_call>read<arg_key>path</arg_key><arg_value>a.py</arg_value></tool_call>`."""
    role = _NATIVE.get(tag.folded)
    return Mark(role, tag, tag.attribute("tool", "name") or tag.assigned or "") if role else None


_WRAPPERS = frozenset(("function_calls", "tool_calls", "ml_tool_calls"))
_RUNS = frozenset(("invoke", "ml_tool_call", "tool_use", "function_call", "function"))
_NAMES = frozenset(("ml_tool_name", "tool_name", "name"))
_BODIES = frozenset(("ml_parameters", "parameters", "arguments", "args", "params", "input"))
XML_OPENERS = _WRAPPERS | _RUNS | {"tool", "ml_tool_name"}


def xml_family(tag: Tag, place: Place) -> Mark | None:
    """DSML, `<invoke name="read">`, `<function=read>`, `<tool_use>`, `<read>`, and their relatives."""
    word = tag.folded
    if word in _WRAPPERS:
        return Mark(Role.WRAP, tag)
    if word in _RUNS or (word == TOOL and (tag.is_closer or tag.attribute("name"))):
        return Mark(Role.RUN, tag, tag.attribute("name") or tag.assigned or "")
    if word in _NAMES and (not place.has_name or tag.is_closer) and word not in place.arguments:
        return Mark(Role.NAME, tag)
    if word in ("parameter", "param"):
        return Mark(Role.ARGUMENT, tag, tag.attribute("name") or tag.assigned or "")
    if word == "param_name":
        return Mark(Role.KEY, tag)
    if word == "param_value":
        return Mark(Role.VALUE, tag)
    if place.has_name and word in place.arguments:
        return Mark(Role.ARGUMENT, tag, tag.word)
    if word in place.tools:
        return Mark(Role.RUN, tag, tag.word)
    return Mark(Role.BODY, tag) if word in _BODIES else None
