"""JSON as a model writes it: sloppy JSON is read, and a text that was cut off is never completed."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import msgspec

MAX_DEPTH = 100
"""Deeper JSON is refused: no tool's argument is, and reading it would exhaust the stack."""
_SPACE = re.compile(r"(?:\s|\ufeff|//[^\n]*|#[^\n]*|/\*.*?\*/)*", re.DOTALL)
_BARE_KEY = re.compile(r"[A-Za-z_$][\w$.\-]*")
_BARE_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_WORDS = {"true": True, "false": False, "null": None, "none": None, "undefined": None}
_QUOTES = {'"': '"', "'": "'", "“": "”", "”": "”", "‘": "’", "`": "`"}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_DRIVE = re.compile(r"\s*(?:[A-Za-z]:\\|\\\\[\w.\-])")
_PATH_STRING = re.compile(r'"(?:[A-Za-z]:(?:\\[\w.\-]+){2,}|[CDcd]:\\[\w.\-]+)\\?"')
"""A string of JSON with single backslashes that is a path as a whole: no escape was meant in it."""


class Loose(msgspec.Struct, frozen=True):
    value: Any
    end: int
    """The position of the value's end in the text."""
    is_strict: bool
    """The value was valid JSON."""


class NotJson(ValueError):
    pass


class CutOff(NotJson):
    """The text ends inside a string, a number or after a key."""


def _refuse_constant(name: str) -> NoReturn:
    raise NotJson(f"{name} is no JSON")


_STRICT = json.JSONDecoder(parse_constant=_refuse_constant)


def read_json(text: str, start: int = 0) -> Loose:
    """Read the value that begins at `start`; raise NotJson or CutOff."""
    if found := read_strictly(text, start):
        return found
    begin = _after_space(text, start)
    if begin >= len(text):
        raise CutOff("there is no JSON")
    parser = _Parser(text, begin)
    return Loose(parser.value(0), parser.place, False)


def read_strictly(text: str, start: int = 0) -> Loose | None:
    """Read the value that begins at `start` if it is valid JSON and nothing in it is meant otherwise."""
    begin = _after_space(text, start)
    try:
        value, end = _STRICT.raw_decode(text, begin)
    except (ValueError, RecursionError):
        return None
    if "\\" in text and _PATH_STRING.search(text, begin, end):
        return None
    return Loose(value, end, True)


def read_whole(text: str) -> Any:
    """Read a text that is one value and nothing else; surplus closers after it are ignored."""
    found = read_json(text)
    if text[found.end :].strip(" \t\r\n}];,"):
        raise NotJson("something follows the JSON")
    return found.value


def _after_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place


def read_keywords(text: str, start: int) -> Loose:
    """Read `path="a.py", limit=5)` up to and with its closing bracket."""
    parser = _Parser(text, start, is_code=True)
    return Loose(parser.keywords(), parser.place, False)


class _Parser:
    """Reads one value from a place on, without going back."""

    def __init__(self, text: str, place: int, *, is_code: bool = False) -> None:
        self._text = text
        self.place = place
        self._ends = "}])" if is_code else "}];"

    def keywords(self) -> dict[str, Any]:
        return self._pairs(")", 0)

    def value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise NotJson("the JSON is nested too deeply")
        self._skip()
        first = self._peek()
        if first == "{":
            return self._object(depth)
        if first == "[":
            return self._list(depth)
        if first in _QUOTES:
            return self._string()
        return self._scalar()

    def _skip(self) -> None:
        self.place = _after_space(self._text, self.place)

    def _peek(self) -> str:
        if self.place >= len(self._text):
            raise CutOff("the JSON was cut off")
        return self._text[self.place]

    def _is_at_end(self) -> bool:
        self._skip()
        return self.place >= len(self._text)

    def _object(self, depth: int) -> dict[str, Any]:
        self.place += 1
        return self._pairs("}", depth)

    def _pairs(self, closer: str, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not self._closes(closer):
            key = self._key()
            self._skip()
            if self._peek() not in ":=：":
                raise NotJson("a key without a value")
            self.place += 1
            found[key] = self.value(depth + 1)
        return found

    def _list(self, depth: int) -> list[Any]:
        self.place += 1
        found: list[Any] = []
        while not self._closes("]"):
            found.append(self.value(depth + 1))
        return found

    def _closes(self, closer: str) -> bool:
        """Pass over commas; tell whether the container ends here. The end of the text closes it, too."""
        while not self._is_at_end():
            here = self._text[self.place]
            if here in ",，;":
                self.place += 1
            elif here == closer:
                self.place += 1
                return True
            elif here in "}]":
                if closer == "]":  # a list's `]` is missing; the `}` is the object's around it
                    return True
                raise NotJson("closers that do not match")
            else:
                return False
        return True

    def _key(self) -> str:
        if self._peek() in _QUOTES:
            return self._string(is_key=True)
        found = _BARE_KEY.match(self._text, self.place)
        if not found:
            raise NotJson("expected a key")
        self.place = found.end()
        return found[0]

    def _scalar(self) -> Any:
        if number := _NUMBER.match(self._text, self.place):
            self.place = number.end()
            if self.place >= len(self._text):
                raise CutOff("the JSON was cut off in a number")
            if self._text[self.place] not in ",}]) \t\r\n/;#":
                raise NotJson("a number with something behind it")
            return json.loads(number[0]) if not _has_leading_zero(number[0]) else number[0]
        word = _BARE_WORD.match(self._text, self.place)
        if not word or word[0].lower() not in _WORDS:
            raise NotJson(f"expected a value, got {self._text[self.place : self.place + 20]!r}")
        self.place = word.end()
        return _WORDS[word[0].lower()]

    def _string(self, *, is_key: bool = False) -> str:
        closer = _QUOTES[self._text[self.place]]
        begin = place = self.place + 1
        stops = _STOPS[closer]
        while stop := stops.search(self._text, place):
            if stop[0][0] == "\\":
                place = stop.end()
            elif self._ends_string(stop.end(), is_key):
                self.place = stop.end()
                return unescaped(self._text[begin : stop.start()])
            else:
                place = stop.end()
        raise CutOff("the JSON was cut off in a string")

    def _ends_string(self, after: int, is_key: bool) -> bool:
        """Tell a closing quote from one inside the string by the text behind it."""
        after = _after_blanks(self._text, after)
        if after >= len(self._text):
            return True
        following = self._text[after]
        if is_key:
            return following in ":=："
        if following in self._ends:
            return True
        if following in ",，":
            return bool(_ITEM.match(self._text, after + 1))
        # A comma is missing: the next key begins on a line of its own, or after spaces.
        return bool(_NEXT_KEY.match(self._text, after)) or following in "/#"


_STOPS = {closer: re.compile(rf"\\.|{closer}", re.DOTALL) for closer in set(_QUOTES.values())}
_BLANKS = re.compile(r"[\s\ufeff]*")
_ITEM = re.compile(
    r"\s*(?:[\"'“‘{\[}\]/#]|-?\d|(?:true|false|null|True|False|None)\b|[A-Za-z_$][\w$]*\s*[:=]|\Z)"
)
_NEXT_KEY = re.compile(r"\"[^\"\\\n]{1,64}\"\s*:|'[^'\\\n]{1,64}'\s*:")


def _after_blanks(text: str, place: int) -> int:
    found = _BLANKS.match(text, place)
    return found.end() if found else place


def _has_leading_zero(number: str) -> bool:
    digits = number.lstrip("-")
    return len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()


def unescaped(body: str) -> str:
    """Read a string's escapes; a path keeps its backslashes."""
    if "\\" not in body:
        return body
    if _is_path(body):
        return re.sub(r"\\([\\\"/])", r"\1", body)
    try:
        return str(json.loads(f'"{body}"', strict=False))
    except ValueError:
        has_foreign = any(found[1][0] not in "ntrbfu\"\\/'" for found in _ESCAPE.finditer(body))
        return _ESCAPE.sub(lambda found: _meant(found, has_foreign), body)


def _is_path(body: str) -> bool:
    """A drive, or an escape that JSON does not know, among single backslashes: no escape was meant."""
    if not _DRIVE.match(body) or re.search(r"\\\\", body[2:]):
        return False
    return _PATH_STRING.fullmatch(f'"{body}"') is not None or any(
        found[1][0] not in 'ntru"\\/' for found in _ESCAPE.finditer(body)
    )


def _meant(escape: re.Match[str], has_foreign: bool) -> str:
    code = escape[1]
    if code in "\"\\/'":
        return code
    if len(code) == 5:
        return chr(int(code[1:], 16))
    if code in "bf" and has_foreign:  # a pattern: \b, \d
        return escape[0]
    return _ESCAPED.get(code, escape[0])
