"""A recorded answer of the upstream without what was said in it: for a bug report, and for a replay.

Framing, structure, names of fields, statuses, flags and small numbers are kept to the byte. All other text is
filled in (filler.py); ids and addresses are renamed. What is not known to be harmless is not kept: no field
that appears tomorrow will be.
"""

from __future__ import annotations

import json
import re
import struct
from collections import defaultdict, deque
from collections.abc import Iterator
from random import Random
from typing import Literal, NamedTuple

import msgspec

from lib.upstreams.chatglm.captures.filler import Filler, Names, Slice, Track
from lib.upstreams.chatglm.decoder.stream import PartKeys
from lib.upstreams.chatglm.wire.protocol import Event, Part, decode_event

Path = tuple[str | int, ...]

_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n|$)")
_DATA = re.compile(rb"(?:\xef\xbb\xbf)?data: *")
_PLAIN_LINE = re.compile(rb"(?:\xef\xbb\xbf)?(?:event: ?[a-z_]{1,40}|id: ?\d{0,6}|retry: ?\d{0,9}|data)?\s*")
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|([{}\[\],:])|([^\s{}\[\],:"]+)')
_ESCAPE = re.compile(r"\\u[0-9a-fA-F]{4}|\\.")
_NO_TEXT = re.compile("([\udc80-\udcff]+)")
_LONG_NUMBER = re.compile(r"(?:\d\D*){7}")
"""A telephone's, an account's; the upstream's error numbers have five digits."""

_KEPT_FIELDS = frozenset(
    (
        *("status", "role", "type", "model", "recipient", "show_type", "tool_call_name", "answer_type"),
        *("channel", "platform", "input_question_type", "chat_mode", "reasoning_effort", "match_key"),
    )
)
_WORD = re.compile(r"[A-Za-z0-9_.-]{0,40}")
_FIELD_NAME = re.compile(r"[a-z][A-Za-z_]{0,38}\d?")
_KNOWN_WORDS = frozenset(
    (
        *("success", "ok", "generator exit", "stream request error", "internal server error"),
        *("context length exceeded", "unauthorized user(40102)", "user needs login", "bad request(40001)"),
        *("bad request(40012)", "请等待其他对话生成完毕", "请求过于频繁，请稍后再试"),
    )
)
"""What the upstream is known to say of an error (protocol of 2026-09)."""
_TEXT_FIELDS = {"text": "text", "think": "think", "code": "code", "execution_output": "content"}
"""By the type of item: where its text is, which comes piece by piece."""
_LISTS_OF_PAGES = (("metadata_list",), ("search_results",))
_TERMINAL = frozenset(("finish", "error", "intervene"))
_MOST_COMPARED = 32
"""Texts of a kind, the latest: an answer has a few of them, and each new one is compared with them all."""


class Redacted(msgspec.Struct, frozen=True):
    body: bytes
    """As long as the original, and cut at the same places."""
    conversation_id: str = ""
    history_id: str = ""


def redact(body: bytes, chance: Random) -> Redacted:
    """Make an answer unreadable: a stream of events, or what came in its place."""
    redaction = _Redaction(chance)
    if body.lstrip()[:1] in (b"{", b"<"):
        redacted = redaction.payload(body, {})
    else:
        lines = _LINE.findall(body)
        places = [redaction.follow(_payload_of(line)) for line in lines]
        redacted = b"".join(map(redaction.line, lines, places))
    return Redacted(redacted, *redaction.ids)


def _payload_of(line: bytes) -> bytes:
    field = _DATA.match(line)
    return line[field.end() :].rstrip(b"\r\n") if field else b""


class _Redaction:
    """One answer's: what was filled in or renamed once is so everywhere."""

    def __init__(self, chance: Random) -> None:
        self._filler = Filler(chance)
        self._names = Names()
        self._tracks: dict[tuple[object, int, str], Track] = {}
        self._latest = defaultdict[str, deque[Track]](lambda: deque(maxlen=_MOST_COMPARED))
        self._keys = PartKeys()
        self._event = Event()

    @property
    def ids(self) -> tuple[str, str]:
        """The conversation's and the history's, as they are called now."""
        conversation_id, history_id = self._event.conversation_id or "", self._event.id or ""
        return self._names.of_id(conversation_id), self._names.of_id(history_id)

    def follow(self, payload: bytes) -> dict[Path, Slice]:
        """Find out which texts of an event are pieces of which text of the answer, as the decoder does."""
        event = decode_event(payload) if payload else None
        if event is None:
            return {}
        self._event.conversation_id = self._event.conversation_id or event.conversation_id
        self._event.id = self._event.id or event.id
        found: dict[Path, Slice] = {}
        for position, part in enumerate(event.parts or ()):
            if not (part.role == "tool" and part.status == "error"):
                found |= self._follow_part(part, position, event)
        return found

    def _follow_part(self, part: Part, position: int, event: Event) -> Iterator[tuple[Path, Slice]]:
        key = part.logic_id or self._keys.key_of(part, position)
        flag = event.meta_data.if_increase_push if event.meta_data is not None else None
        is_terminal = event.status in _TERMINAL
        for index, item in enumerate(part.content or ()):
            field = _TEXT_FIELDS.get(item.type, "")
            value = getattr(item, field, None)
            if isinstance(value, str) and value:
                may_repeat = is_terminal and not part.logic_id
                track = self._track((key, index, item.type), _halved(value), may_repeat=may_repeat)
                is_whole = _is_whole(flag, part.status, is_terminal=is_terminal)
                taken = track.take(_halved(value), is_whole=is_whole)
                yield ("parts", position, "content", index, field), taken

    def _track(self, key: tuple[object, int, str], value: str, *, may_repeat: bool) -> Track:
        if key not in self._tracks:
            repeated = self._repeated(key[2], value) if may_repeat else None
            self._tracks[key] = track = repeated or Track()
            if repeated:
                self._latest[key[2]].remove(repeated)  # it is the latest again
            self._latest[key[2]].append(track)
        return self._tracks[key]

    def _repeated(self, kind: str, value: str) -> Track | None:
        """Find what a terminal event repeats without saying so."""
        latest = reversed(self._latest[kind])
        return next((track for track in latest if value.startswith(track.text)), None)

    def line(self, line: bytes, places: dict[Path, Slice]) -> bytes:
        if _PLAIN_LINE.fullmatch(line):
            return line
        field = _DATA.match(line)
        start = field.end() if field else 0
        return line[:start] + self.payload(line[start:], places)

    def payload(self, raw: bytes, places: dict[Path, Slice]) -> bytes:
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            return self._broken(raw)
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return self._text(text).encode()
        pieces, done = [], 0
        for token in _scan(text):
            pieces += [text[done : token.start], self._token(token, places)]
            done = token.start + len(token.raw)
        return "".join([*pieces, text[done:]]).encode()

    def _text(self, text: str) -> str:
        """Fill in what is no JSON, and has no escapes."""
        return _merged(self._filler.fill(_halved(text)))

    def _broken(self, raw: bytes) -> bytes:
        """Fill in what is cut within a character, or is no text: what no text holds becomes 0x80."""
        pieces = _NO_TEXT.split(raw.decode("utf-8", "surrogateescape"))
        filled = [self._text(piece).encode() for piece in pieces[::2]]
        filled[1:] = [
            b"\x80" * len(junk) + piece for junk, piece in zip(pieces[1::2], filled[1:], strict=True)
        ]
        return b"".join(filled)

    def _token(self, token: _Token, places: dict[Path, Slice]) -> str:
        match token.kind:
            case "number":
                return re.sub(r"\d", "1", token.raw) if _LONG_NUMBER.search(token.raw) else token.raw
            case "name":
                is_plain = _FIELD_NAME.fullmatch(token.raw)
                return token.raw if is_plain else _like(token.raw, self._filler.fill(token.units))
        where = places.get(token.path)
        # They differ where an event holds something that is no part, and `position` has another meaning.
        is_followed = where is not None and where.length == len(token.units)
        return _like(token.raw, where.fill(self._filler) if where and is_followed else self._value(token))

    def _value(self, token: _Token) -> str:
        """Redact a text by the name of its field."""
        value = token.units
        field, above = token.field, token.path[-2:-1]
        if field == "id" or field.endswith("_id") or field == "rid":
            return self._names.of_id(value)
        if field == "url" or field.endswith("_url"):
            return self._names.of_url(value)
        is_harmless = field in _KEPT_FIELDS or (field == "name" and above == ("tool_calls",))
        if is_harmless and _WORD.fullmatch(value):
            return value
        if field in ("message", "err_msg") and value in _KNOWN_WORDS:
            return value
        # With its address, the title says which page it is.
        is_name = field == "title" and token.path[-3:-2] in _LISTS_OF_PAGES
        return self._filler.fill(value, is_name=is_name)


def _is_whole(flag: bool | None, status: str | None, *, is_terminal: bool) -> bool | None:
    """Tell a snapshot (True) from an increment (False) where an event says so, as the decoder does."""
    if flag is False or (status == "finish" and flag is None):
        return True
    if flag is True and status != "finish" and not is_terminal:
        return False
    return None


# JSON as it is written


class _Token(NamedTuple):
    """A name, a text (both without their quotes), a number, or another word of JSON."""

    kind: Literal["name", "text", "number"]
    path: Path
    start: int
    raw: str

    @property
    def units(self) -> str:
        return _units(self.raw)

    @property
    def field(self) -> str:
        """The name that it stands under, also where it is one of several."""
        return next((str(step) for step in reversed(self.path) if isinstance(step, str)), "")


def _scan(text: str) -> Iterator[_Token]:
    """Find the tokens of well-formed JSON, and where in it each stands."""
    path: list[str | int] = []
    expects_name = False
    for match in _TOKEN.finditer(text):
        literal, sign, word = match.groups()
        if word is not None:
            yield _Token("number", tuple(path), match.start(3), word)
        elif literal is not None:
            if expects_name:
                path[-1] = literal
            yield _Token("name" if expects_name else "text", tuple(path), match.start(1), literal)
        elif sign in "{[":
            path.append("" if sign == "{" else 0)
            expects_name = sign == "{"
        elif sign in "}]":
            path.pop()
            expects_name = False
        elif sign == ":":
            expects_name = False
        else:
            expects_name = isinstance(path[-1], str)
            if not expects_name:
                path[-1] = int(path[-1]) + 1


_UNESCAPED = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


def _units(raw: str) -> str:
    """Read what a JSON text says, in UTF-16: what is beyond it becomes two halves."""
    return _ESCAPE.sub(_unescaped, _halved(raw)) if "\\" in raw else _halved(raw)


def _unescaped(escape: re.Match[str]) -> str:
    written = escape[0]
    if len(written) == 2:
        return _UNESCAPED.get(written[1], written[1])
    return chr(int("0x" + written[2:], 0))


def _like(raw: str, units: str) -> str:
    """Write the text in the way in which another one was written: as long, and escaped where it was."""
    written, read, place = [], 0, 0
    for escape in _ESCAPE.finditer(_halved(raw)):
        plain = escape.start() - read
        written.append(units[place : place + plain])
        place, read = place + plain + 1, escape.end()
        is_short = len(escape[0]) == 2  # a line's end, a quote: nothing that is filled in
        written.append(escape[0] if is_short else f"\\u{ord(units[place - 1]):04x}")
    return _merged("".join([*written, units[place:]]))


def _halved(text: str) -> str:
    if text.isascii() or max(text) <= "\uffff":
        return text
    encoded = text.encode("utf-16-le", "surrogatepass")
    return "".join(map(chr, struct.unpack(f"<{len(encoded) // 2}H", encoded)))


def _merged(units: str) -> str:
    """Join the halves again."""
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
