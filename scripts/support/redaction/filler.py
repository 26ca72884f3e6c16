"""Replaces text by text that cannot be read, of the same shape and with the same relations.

The decoder must read the redacted stream as it read the original. So each character becomes a random one of
its kind and of its length in UTF-8. This is not a cipher: only kinds and lengths can be read from the result.
A value that is a piece of a whole text stays a piece of it; a value that repeats everything still does. If
the decoder has to guess between the two, values with a common beginning keep one. Texts are UTF-16 here, as
in the escapes of JSON: a surrogate pair may be cut in two.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from random import Random

_SMALL, _CAPITAL, _DIGITS = "bcdfghjklmnpqrsvwxz", "BCDFGHJKLMNPQRSVWXZ", "0123456789"
"""Letters that spell no marker (`turn0search3`) and few words."""
_TWO_BYTES = "àáâãäåæçèéêëìíîï"
_THREE_BYTES = "天地玄黄宇宙洪荒日月盈昃辰宿列张"
"""The beginning of the Thousand Character Classic. A Chinese reader sees that it is not an answer."""
_HIGH_HALF, _LOW_HALVES = "\ud83c", "".join(map(chr, range(0xDF30, 0xDF40)))
"""Together they are U+1F330 to U+1F33F: plants."""

KEPT = re.compile(
    r"turn\d{1,4}[a-z]{1,20}\d{1,4}"  # the key of a source, in its marker
    r"|(?<=【)\d{1,4}(?=†)|†(?:source|来源|源)"  # the number of a source
    r"|其他对话"  # distinguishes "busy" from "too frequent" (10061, 2026-09)
    r"|https?://|\.(?:jpe?g|png|webp|gif)\b"  # makes a text a link
)
"""The decoder looks for these in texts. They say nothing of the content."""

_IMAGE_SUFFIX = re.compile(r"(?:_\d{1,4}_\d{1,4})?\.\w{2,5}$")
"""The gateway sorts images by these numbers (captured 2026-09-30)."""
_MAX_PLAIN_ID = 3
"""An id of at most so many characters identifies nothing, for example `L1`."""
MAX_GUESSED = 12
"""The decoder never guesses in a longer text. A fixed replacement of so few letters is not a cipher yet."""
MIN_REPEATED = 16
"""A shorter value gets a new replacement each time: a fixed one for each word or letter is a cipher."""


class Filler:
    """Replaces texts. The caller puts kept phrases back: it knows the whole text."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._known: dict[str, str] = {}
        self._after: dict[tuple[int, str], tuple[int, str]] = {}

    def fill(self, text: str, *, is_name: bool = False) -> str:
        """Replace a text that stands for itself. A long text, or a name, gets the same replacement again."""
        if len(text) < MIN_REPEATED and not is_name:
            return keep_phrases(text, self.fill_piece(text))
        if text not in self._known:
            self._known[text] = keep_phrases(text, self.fill_piece(text))
        return self._known[text]

    def fill_piece(self, text: str) -> str:
        chance = self._chance.random
        kinds = map(_alphabet, text)
        return "".join(
            [kind[int(chance() * len(kind))] if kind else c for c, kind in zip(text, kinds, strict=True)]
        )

    def fill_beginning(self, text: str) -> str:
        """Replace a piece so that equal beginnings stay equal, and a repeated letter stays repeated."""
        place, seen = 0, dict[str, str]()
        for character in text[:MAX_GUESSED]:
            if (place, character) not in self._after:
                instead = seen.get(character) or self._unlike(character, seen)
                self._after[place, character] = len(self._after) + 1, instead
            place, seen[character] = self._after[place, character]
        beginning = "".join([seen[character] for character in text[:MAX_GUESSED]])
        return beginning + self.fill_piece(text[MAX_GUESSED:])

    def _unlike(self, character: str, seen: dict[str, str]) -> str:
        """Choose a character that stands for no other one yet, if there is one."""
        taken = set(seen.values())
        left = [other for other in _alphabet(character) if other not in taken]
        return self._chance.choice(left) if left else self.fill_piece(character)


class Names:
    """Gives each id and each address a new name, of the same shape and without collisions."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}

    def of_id(self, text: str) -> str:
        """Rename an id, unless it is too short to identify anything."""
        if len(text) <= _MAX_PLAIN_ID and text.isascii():
            return text
        return self._numbered(text, 0, len(text))

    def of_url(self, text: str) -> str:
        """Rename all but the scheme, and the numbers that order images."""
        scheme = re.match(r"https?://", text)
        suffix = _IMAGE_SUFFIX.search(text)
        return self._numbered(text, scheme.end() if scheme else 0, suffix.start() if suffix else len(text))

    def _numbered(self, text: str, start: int, end: int) -> str:
        if text not in self._given:
            number, renamed = len(self._given) + 1, list(text)
            for place in reversed(range(start, end)):
                kind = _alphabet(text[place])
                if len(kind) > 1:
                    number, digit = divmod(number, 10)
                    renamed[place] = (_DIGITS if text[place].isascii() else kind)[digit]
                elif kind:
                    renamed[place] = kind
            self._given[text] = "".join(renamed)
        return self._given[text]


class _Version:
    """A text that grows, segment by segment. A rewritten text begins another version."""

    def __init__(self) -> None:
        self.length = 0
        self._segments: list[str] = []
        self._guessed = 0
        """The decoder may have compared so many of the first segments with each other."""
        self._joined = ""
        self._joined_segments = 0
        self._filled = ""

    @property
    def text(self) -> str:
        if self._joined_segments < len(self._segments):
            self._joined += "".join(self._segments[self._joined_segments :])
            self._joined_segments = len(self._segments)
        return self._joined

    def grow(self, segment: str, *, is_guessed: bool) -> None:
        self._segments.append(segment)
        self.length += len(segment)
        self._guessed += is_guessed

    def filled(self, filler: Filler) -> str:
        """Return the replacement of the whole text. Call it after the text is complete."""
        if not self._filled:
            first = map(filler.fill_beginning, self._segments[: self._guessed])
            rest = filler.fill_piece("".join(self._segments[self._guessed :]))
            self._filled = keep_phrases(self.text, "".join([*first, rest]))
        return self._filled


class Slice:
    """The place of one value in its text."""

    __slots__ = ("length", "start", "version")

    def __init__(self, version: _Version, start: int, length: int) -> None:
        self.version, self.start, self.length = version, start, length

    def fill(self, filler: Filler) -> str:
        return self.version.filled(filler)[self.start : self.start + self.length]


class Track:
    """One text of an answer: takes its values in their order, and returns the place of each."""

    def __init__(self) -> None:
        self._version = _Version()
        self._guessed: list[tuple[Slice, str]] = []
        """Values that were read as snapshots and may be increments, for example `1` and then `12`."""

    @property
    def text(self) -> str:
        return self._version.text

    def take(self, value: str, *, is_whole: bool | None) -> Slice:
        """`is_whole` is True for a snapshot, False for an increment, None if the event does not say."""
        if self._guessed and not self._goes_on(value, is_whole):
            self._read_as_increments()
        version, is_guess = self._version, is_whole is None and self._version.length < MAX_GUESSED
        if self._goes_on(value, is_whole):
            taken = Slice(version, 0, len(value))
            version.grow(value[version.length :], is_guessed=is_guess)
        else:
            if is_whole:
                self._version = version = _Version()
            taken = Slice(version, version.length, len(value))
            version.grow(value, is_guessed=is_guess)
        if is_guess and taken.start == 0:
            self._guessed.append((taken, value))
        else:
            self._guessed.clear()
        return taken

    def _goes_on(self, value: str, is_whole: bool | None) -> bool:
        return is_whole is not False and value.startswith(self._version.text)

    def _read_as_increments(self) -> None:
        """A wrong guess does no harm: equal beginnings of the values stay equal either way."""
        self._version = _Version()
        for taken, guessed in self._guessed:
            taken.version, taken.start = self._version, self._version.length
            self._version.grow(guessed, is_guessed=True)


def keep_phrases(text: str, filled: str) -> str:
    pieces, done = [], 0
    for phrase in KEPT.finditer(text):
        pieces += [filled[done : phrase.start()], phrase[0]]
        done = phrase.end()
    return "".join([*pieces, filled[done:]])


@lru_cache(maxsize=4096)
def _alphabet(character: str) -> str:
    """Return the characters that may replace this one. Empty: it stays, because it says nothing."""
    if character < "\x80":
        if character.isalnum():
            return _DIGITS if character.isdigit() else _SMALL if character.islower() else _CAPITAL
        return ""
    if "\ud800" <= character <= "\udfff":
        return _HIGH_HALF if character <= "\udbff" else _LOW_HALVES
    category = unicodedata.category(character)
    if category[0] not in "LMN" and category != "So":
        return ""
    return _TWO_BYTES if character < "\u0800" else _THREE_BYTES
