"""Makes a recorded answer unreadable, so that a person can send it with a bug report, and replay it.

Framing, structure, names of fields, statuses, flags and small numbers stay to the byte. All other text is
replaced (filler.py); ids and addresses get new names. Only fields that are known to be harmless are kept, so
a field that the upstream adds tomorrow is not.
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

from lib.upstreams.chatglm.decoder.blocks import PartKeys
from lib.upstreams.chatglm.wire.protocol import Event, Part, decode_event
from scripts.support.redaction.filler import Filler, Names, Slice, Track

Path = tuple[str | int, ...]

_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n|$)")
_DATA = re.compile(rb"(?:\xef\xbb\xbf)?data: *")
_PLAIN_LINE = re.compile(rb"(?:\xef\xbb\xbf)?(?:event: ?[a-z_]{1,40}|id: ?\d{0,6}|retry: ?\d{0,9}|data)?\s*")
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|([{}\[\],:])|([^\s{}\[\],:"]+)')
_ESCAPE = re.compile(r"\\u[0-9a-fA-F]{4}|\\.")
_NO_TEXT = re.compile("([\udc80-\udcff]+)")
_LONG_NUMBER = re.compile(r"(?:\d\D*){7}")
"""So long is a number of a telephone or of an account. The upstream's error numbers have five digits."""

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
"""The upstream's own words for an error, as observed up to 2026-09."""
_TEXT_FIELDS = {"text": "text", "think": "think", "code": "code", "execution_output": "content"}
"""The type of an item, and the field of its text. Such a text comes piece by piece."""
_LISTS_OF_PAGES = (("metadata_list",), ("search_results",))
_TERMINAL = frozenset(("finish", "error", "intervene"))
_MAX_COMPARED = 32
"""Each new text is compared with so many earlier ones of its kind. An answer has a few of them."""


class Redacted(msgspec.Struct, frozen=True):
    body: bytes
    """It is as long as the original, and cut at the same places."""
    conversation_id: str = ""
    history_id: str = ""


def redact(body: bytes, chance: Random) -> Redacted:
    """Make an answer unreadable: a stream of events, or the JSON or HTML that came in its place."""
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
    """The redaction of one answer: a text or an id gets the same replacement everywhere."""

    def __init__(self, chance: Random) -> None:
        self._filler = Filler(chance)
        self._names = Names()
        self._tracks: dict[tuple[object, int, str], Track] = {}
        self._latest = defaultdict[str, deque[Track]](lambda: deque(maxlen=_MAX_COMPARED))
        self._keys = PartKeys()
        self._event = Event()

    @property
    def ids(self) -> tuple[str, str]:
        """The new ids of the conversation and the history."""
        conversation_id, history_id = self._event.conversation_id or "", self._event.id or ""
        return self._names.of_id(conversation_id), self._names.of_id(history_id)

    def follow(self, payload: bytes) -> dict[Path, Slice]:
        """Match each text of an event to its text of the answer, as the decoder does."""
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
                self._latest[key[2]].remove(repeated)  # It is the latest again.
            self._latest[key[2]].append(track)
        return self._tracks[key]

    def _repeated(self, kind: str, value: str) -> Track | None:
        """Find the text that a terminal event repeats without its logic_id."""
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
        """Replace a text that is not JSON, and has no escapes."""
        return _merged(self._filler.fill(_halved(text)))

    def _broken(self, raw: bytes) -> bytes:
        """Replace a text that is cut within a character or not UTF-8. A byte outside UTF-8 becomes 0x80."""
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
        # They differ if an event holds a thing that is not a part: `position` then counts otherwise.
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
        # A title names a page together with its address, so equal titles must stay equal.
        is_name = field == "title" and token.path[-3:-2] in _LISTS_OF_PAGES
        return self._filler.fill(value, is_name=is_name)


def _is_whole(flag: bool | None, status: str | None, *, is_terminal: bool) -> bool | None:
    """Tell a snapshot (True) from an increment (False) if the event says so, as the decoder does."""
    if flag is False or (status == "finish" and flag is None):
        return True
    if flag is True and status != "finish" and not is_terminal:
        return False
    return None


# Reading and writing JSON to the byte


class _Token(NamedTuple):
    """A name or a text (without its quotes), a number, or `true`, `false`, `null` (of kind number)."""

    kind: Literal["name", "text", "number"]
    path: Path
    start: int
    raw: str

    @property
    def units(self) -> str:
        return _units(self.raw)

    @property
    def field(self) -> str:
        """The name that the token stands under, also inside a list."""
        return next((str(step) for step in reversed(self.path) if isinstance(step, str)), "")


def _scan(text: str) -> Iterator[_Token]:
    """Find the tokens of well-formed JSON, each with its path."""
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
    """Decode a JSON string to UTF-16 units: a character above U+FFFF becomes two."""
    return _ESCAPE.sub(_unescaped, _halved(raw)) if "\\" in raw else _halved(raw)


def _unescaped(escape: re.Match[str]) -> str:
    written = escape[0]
    if len(written) == 2:
        return _UNESCAPED.get(written[1], written[1])
    return chr(int("0x" + written[2:], 0))


def _like(raw: str, units: str) -> str:
    """Write `units` as long as `raw`, and with escapes at the same places."""
    written, read, place = [], 0, 0
    for escape in _ESCAPE.finditer(_halved(raw)):
        plain = escape.start() - read
        written.append(units[place : place + plain])
        place, read = place + plain + 1, escape.end()
        is_short = len(escape[0]) == 2  # A line break, a quote: such a character is never replaced.
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
