"""Text that cannot be read, in the place of one that can: of the same shape, and in the same relations.

What the decoder looks at must stay as it was. So each character becomes another one of its kind and of its
length in UTF-8, by chance: this is no cipher, and nothing but kinds and lengths can be read from it. A value
that is a piece of a whole text stays a piece of it; one that says everything again still does; and where a
decoder has to guess which of both it is, values that begin alike still do. Texts are UTF-16 here, as in the
escapes of JSON: a pair of halves may be cut in two.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from random import Random

_SMALL, _CAPITAL, _DIGITS = "bcdfghjklmnpqrsvwxz", "BCDFGHJKLMNPQRSVWXZ", "0123456789"
"""Without the letters that markers and words are made of."""
_TWO_BYTES = "àáâãäåæçèéêëìíîï"
_THREE_BYTES = "天地玄黄宇宙洪荒日月盈昃辰宿列张"
"""The beginning of the Thousand Character Classic, known to whoever reads Chinese as no text."""
_HIGH_HALF, _LOW_HALVES = "\ud83c", "".join(map(chr, range(0xDF30, 0xDF40)))
"""Together U+1F330 to U+1F33F: plants."""

KEPT = re.compile(
    r"turn\d{1,4}[a-z]{1,20}\d{1,4}"  # a source's name, in its marker
    r"|(?<=【)\d{1,4}(?=†)|†(?:source|来源|源)"  # a source's number
    r"|其他对话"  # tells one refusal from another (protocol.py)
    r"|https?://|\.(?:jpe?g|png|webp|gif)\b"  # makes a link of a text
)
"""What is decoded within texts, and says nothing."""

_AN_IMAGES_END = re.compile(r"(?:_\d{1,4}_\d{1,4})?\.\w{2,5}$")
"""Images are put into the order of these numbers."""
_LONGEST_PLAIN_ID = 3
LONGEST_GUESS = 12
"""A longer text says what its values are. So few letters, each for another one, are no cipher yet."""
LEAST_REPEATED = 16
"""A shorter value is filled in anew each time: letters and words, each always the same, are a cipher."""


class Filler:
    """Fills texts in; what is kept in them is for the caller to put back, who knows the whole text."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._known: dict[str, str] = {}
        self._after: dict[tuple[int, str], tuple[int, str]] = {}

    def fill(self, text: str, *, is_name: bool = False) -> str:
        """Fill a text in that stands for itself; a long one, or a name, is filled in the same again."""
        if len(text) < LEAST_REPEATED and not is_name:
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
        """Fill a piece in so that what began alike does so still, and what repeats itself repeats itself."""
        place, seen = 0, dict[str, str]()
        for character in text[:LONGEST_GUESS]:
            if (place, character) not in self._after:
                instead = seen.get(character) or self._unlike(character, seen)
                self._after[place, character] = len(self._after) + 1, instead
            place, seen[character] = self._after[place, character]
        beginning = "".join([seen[character] for character in text[:LONGEST_GUESS]])
        return beginning + self.fill_piece(text[LONGEST_GUESS:])

    def _unlike(self, character: str, seen: dict[str, str]) -> str:
        """Choose what stands for no other one yet, as long as there is such."""
        taken = set(seen.values())
        left = [other for other in _alphabet(character) if other not in taken]
        return self._chance.choice(left) if left else self.fill_piece(character)


class Names:
    """Gives ids and addresses others, a new one for each; of the same shape, and without a collision."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}

    def of_id(self, text: str) -> str:
        """Rename it unless it is too short to be anybody's, as `L1`."""
        if len(text) <= _LONGEST_PLAIN_ID and text.isascii():
            return text
        return self._numbered(text, 0, len(text))

    def of_url(self, text: str) -> str:
        """Rename all but the scheme, and the end that says which of several images it is."""
        scheme = re.match(r"https?://", text)
        ending = _AN_IMAGES_END.search(text)
        return self._numbered(text, scheme.end() if scheme else 0, ending.start() if ending else len(text))

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
    """A text as it grows, segment by segment; a rewritten one begins another version."""

    def __init__(self) -> None:
        self.length = 0
        self._segments: list[str] = []
        self._guessed = 0
        """How many of them, the first ones, may have been compared with each other."""
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
        """Return the whole text, filled in once it is complete."""
        if not self._filled:
            first = map(filler.fill_beginning, self._segments[: self._guessed])
            rest = filler.fill_piece("".join(self._segments[self._guessed :]))
            self._filled = keep_phrases(self.text, "".join([*first, rest]))
        return self._filled


class Slice:
    """One value's place in the text that it is a piece of."""

    __slots__ = ("length", "start", "version")

    def __init__(self, version: _Version, start: int, length: int) -> None:
        self.version, self.start, self.length = version, start, length

    def fill(self, filler: Filler) -> str:
        return self.version.filled(filler)[self.start : self.start + self.length]


class Track:
    """One text of an answer: takes its values as they came, and says what each is a piece of."""

    def __init__(self) -> None:
        self._version = _Version()
        self._guessed: list[tuple[Slice, str]] = []
        """Values taken for snapshots that may as well be increments, `1` and then `12`."""

    @property
    def text(self) -> str:
        return self._version.text

    def take(self, value: str, *, is_whole: bool | None) -> Slice:
        """`is_whole`: a snapshot; False: an increment; None: it does not say."""
        if self._guessed and not self._goes_on(value, is_whole):
            self._read_as_increments()
        version, is_guess = self._version, is_whole is None and self._version.length < LONGEST_GUESS
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
        """Where that is wrong, too, it does no harm: what was guessed begins as its own beginning does."""
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
    """Return what may stand for the character; empty: it stays, for it says nothing and may be looked at."""
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
