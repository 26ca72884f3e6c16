"""JSON that is passed on while it grows. Small faults are mended on the way; a larger one stops it."""

from __future__ import annotations

import re
from enum import Enum
from string import hexdigits

_PLAIN = re.compile(r'[^"\\\x00-\x1f]+')
_SPACE = re.compile(r"[ \t\r\n]+")
_WORD = re.compile(r"[A-Za-z]+")
_NUMBER_PART = re.compile(r"[0-9eE+.\-]+")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?\Z")
_HALF_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)?(?:(?<=\d)\.\d*)?(?:(?<=\d)[eE][+-]?\d*)?\Z")
_WORDS = {"true": "true", "false": "false", "null": "null", "True": "true", "False": "false", "None": "null"}
_CONTROLS = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
_CLOSERS = {"{": "}", "[": "]"}


class _At(Enum):
    VALUE = "a value must come"
    FIRST_ITEM = "a value or the end of a list"
    FIRST_KEY = "a key or the end of an object"
    KEY = "a key must come"
    COLON = "a colon must come"
    AFTER_VALUE = "a comma or the end of the container"
    STRING = "within a string"
    ESCAPE = "behind a backslash"
    HEX = "behind a backslash, a u, and at most three digits"
    WORD = "within a number or a word"
    DONE = "behind the value"
    BROKEN = "behind something that only a second look can mend"


class CleanJson:
    """Takes pieces of one JSON value and returns the text that may be passed on."""

    def __init__(self) -> None:
        self._at = _At.VALUE
        self._open: list[str] = []
        self._is_key = False
        self._token = ""
        self._held = ""
        """A comma and spaces: they are left out if the container ends behind them."""
        self.rest = ""
        """The text behind the value, or from the fault on."""

    @property
    def is_done(self) -> bool:
        return self._at is _At.DONE

    @property
    def is_broken(self) -> bool:
        return self._at is _At.BROKEN

    def feed(self, text: str) -> str:
        out: list[str] = []
        place = 0
        while place < len(text) and self._at not in (_At.DONE, _At.BROKEN):
            place = self._step(text, place, out)
        self.rest += text[place:]
        return "".join(out)

    def close(self) -> str | None:
        """Return the closers that are missing at a boundary; None: the text ends inside something."""
        if self._at is _At.DONE:
            return ""
        is_boundary = self._at in (_At.AFTER_VALUE, _At.FIRST_ITEM, _At.FIRST_KEY) or "," in self._held
        if not self._open or not is_boundary:
            return None
        return "".join(_CLOSERS[opener] for opener in reversed(self._open))

    def _step(self, text: str, place: int, out: list[str]) -> int:
        match self._at:
            case _At.STRING:
                return self._in_string(text, place, out)
            case _At.ESCAPE:
                return self._in_escape(text, place, out)
            case _At.HEX:
                return self._in_hex(text, place, out)
            case _At.WORD:
                return self._in_token(text, place, out)
        if space := _SPACE.match(text, place):
            self._held += space[0]
            return space.end()
        here = text[place]
        if here in "}]":
            return self._end_container(here, place, out)
        if self._at is _At.AFTER_VALUE and here == ",":
            self._held += here
            self._at = _At.KEY if self._open[-1] == "{" else _At.VALUE
            return place + 1
        if self._at is _At.COLON and here == ":":
            out += [self._held, here]
            self._held, self._at = "", _At.VALUE
            return place + 1
        return self._begin_token(text, place, out)

    def _begin_token(self, text: str, place: int, out: list[str]) -> int:
        here = text[place]
        wants_key = self._at in (_At.KEY, _At.FIRST_KEY)
        if here == '"' and (wants_key or self._wants_value):
            self._is_key = wants_key
            out += [self._held, here]
            self._held, self._at = "", _At.STRING
            return place + 1
        if not self._wants_value:
            return self._break(place)
        if here in "{[":
            out += [self._held, here]
            self._held = ""
            self._open.append(here)
            self._at = _At.FIRST_KEY if here == "{" else _At.FIRST_ITEM
            return place + 1
        if here in "-0123456789" or here in "tfnTFN":
            self._token, self._at = "", _At.WORD
            return place
        return self._break(place)

    @property
    def _wants_value(self) -> bool:
        return self._at in (_At.VALUE, _At.FIRST_ITEM)

    def _break(self, place: int) -> int:
        self.rest = self._held + self._token
        self._at = _At.BROKEN
        return place

    def _end_container(self, here: str, place: int, out: list[str]) -> int:
        is_comma = self._held.strip() == ","
        may_end = self._at in (_At.AFTER_VALUE, _At.FIRST_ITEM, _At.FIRST_KEY) or is_comma
        if not self._open or _CLOSERS[self._open[-1]] != here or not may_end:
            return self._break(place)
        out += [self._held.replace(",", ""), here]
        self._held = ""
        self._open.pop()
        self._at = _At.AFTER_VALUE if self._open else _At.DONE
        return place + 1

    def _in_string(self, text: str, place: int, out: list[str]) -> int:
        if plain := _PLAIN.match(text, place):
            out.append(plain[0])
            return plain.end()
        here = text[place]
        if here == "\\":
            self._at = _At.ESCAPE
        elif here == '"':
            out.append(here)
            self._end_value()
            if self._is_key:
                self._at = _At.COLON
        else:
            out.append(_CONTROLS.get(here, f"\\u{ord(here):04x}"))
        return place + 1

    def _in_escape(self, text: str, place: int, out: list[str]) -> int:
        here = text[place]
        if here == "u":
            self._token, self._at = "", _At.HEX
            return place + 1
        # A backslash that begins no escape was meant as one: it is kept.
        out.append(f"\\{here}" if here in '"\\/bfnrt' else f"\\\\{here}" if here >= " " else "\\\\")
        self._at = _At.STRING
        return place + 1 if here >= " " else place

    def _in_hex(self, text: str, place: int, out: list[str]) -> int:
        """Hold the digits of `\\u4f60` until all are there: behind `C:\\users` there are none."""
        here = text[place]
        is_digit = here in hexdigits
        self._token += here if is_digit else ""
        if is_digit and len(self._token) < 4:
            return place + 1
        out.append(f"\\u{self._token}" if is_digit else f"\\\\u{self._token}")
        self._token, self._at = "", _At.STRING
        return place + is_digit

    def _in_token(self, text: str, place: int, out: list[str]) -> int:
        first = self._token or text[place]
        part = (_WORD if first[0].isalpha() else _NUMBER_PART).match(text, place)
        if part:
            self._token += part[0]
            is_possible = (
                any(word.startswith(self._token) for word in _WORDS)
                if first[0].isalpha()
                else _HALF_NUMBER.match(self._token)
            )
            return part.end() if is_possible else self._break(part.end())
        token = _WORDS.get(self._token, self._token if _NUMBER.match(self._token) else None)
        if token is None:
            return self._break(place)
        out += [self._held, token]
        self._held = self._token = ""
        self._end_value()
        return place

    def _end_value(self) -> None:
        self._at = _At.AFTER_VALUE if self._open else _At.DONE
