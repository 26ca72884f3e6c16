"""Count the hard words in comments and docstrings, and fail above the limits of plain English.

    python -m scripts.support.prose                the check: exit status 1 above a limit
    python -m scripts.support.prose --report       the same figures and places, exit status 0
    python -m scripts.support.prose --all lib/web  every place, of one room or file

Most readers' first language is not English. h11, httpx and Starlette have 0 to 0.6 free relatives in 1,000
words of comments and docstrings, and 0.3 to 0.7 words of the second list in 100 (measured in 2026-11).
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

ROOMS = ("lib", "api", "hosts", "simulator")
"""The prose of these rooms counts."""
NAMED_ROOMS = (*ROOMS, "tests", "scripts")
"""The names of constants are checked in these rooms."""
SHOWN = 20
"""The check prints so many of the worst places."""

_PRONOUNS = "I|you|he|she|it|we|they|one|this|that|these|those|there"
_VERBS = (
    "am|is|are|was|were|be|been|isn't|aren't|wasn't|weren't|has|have|had|do|does|did|can|cannot|could|may|"
    "might|must|shall|should|will|would|ought|came|come|gave|give|got|get|knew|know|made|make|put|ran|run|"
    "said|say|sent|send|stood|stand|told|tell|took|take|went|go|wrote|write|read|kept|keep|held|hold|left|"
    "leave|let|lay|lie|lost|lose|began|begin|ended|end|spoke|speak"
)
_NOUNS = (
    "files|words|messages|values|bytes|names|lines|events|kinds|things|fields|others|tests|tokens|errors|"
    "numbers|models|images|videos|accounts|requests|answers|clients|settings|times|days|sources|steps|"
    "calls"
)
"""Words that end like a verb, and follow `what` as a noun: “what files”."""
_FREE_RELATIVE = re.compile(
    rf"\b(?:(?:who|whoever)\s+[a-z]+|what\s+(?:{_PRONOUNS}|{_VERBS})\b"
    rf"|what\s+(?!(?:{_NOUNS})\b)[a-z]+(?:s|ed)\b)",
    re.IGNORECASE,
)
_HARD_WORD = re.compile(
    r"\b(?:(?i:who|whom|whose|what|whatever|whoever|which|nobody|anybody|somebody)|none|None(?= of))\b"
)
"""`None` alone is Python's value."""
_WORD = re.compile(r"[A-Za-z][A-Za-z'’]*")
_CODE = re.compile(r"`[^`]*`")
_PARAGRAPH = re.compile(r"\n\s*\n|\n\s*(?=[-*] )")
_FIRST_WORD = re.compile(
    r"(?i:^\W*(?:What|Who|Where|Whether|Of)\b)|[.!?][\"')”]*\s+(?:What|Who|Where|Whether|Of)\b"
)
_DIRECTIVE = re.compile(
    r"^#\s*(?:!|noqa(?::\s*[A-Z0-9, ]+)?|type:\s*ignore\S*|pragma:.*|fmt:.*|mypy:.*)\s*-?\s*"
)
_FORBIDDEN_PREFIX = re.compile(r"_*(?:MOST|LEAST|LONGEST)_")


class Passage(msgspec.Struct, frozen=True):
    """One docstring, or one comment with all of its lines."""

    path: str
    line: int
    text: str


class Finding(msgspec.Struct, frozen=True, order=True):
    """A place and its number of hard words; a sentence's first word counts as one."""

    weight: int
    path: str
    line: int
    words: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.words}"


class Limits(msgspec.Struct, frozen=True):
    """The limits of house-style.md §0. A figure fails if it reaches its limit."""

    relatives_per_1000: float = 1.0
    hard_words_per_100: float = 1.0


class Measured(msgspec.Struct, frozen=True):
    """The figures, and the places they come from."""

    words: int
    relatives: int
    hard_words: int
    worst: tuple[Finding, ...]
    first_words: tuple[Finding, ...]
    names: tuple[Finding, ...] = ()

    @property
    def relatives_per_1000(self) -> float:
        return 1000 * self.relatives / max(1, self.words)

    @property
    def hard_words_per_100(self) -> float:
        return 100 * self.hard_words / max(1, self.words)

    def failures(self, limits: Limits) -> list[str]:
        """Say which rules are broken, a sentence each."""
        found = []
        if self.relatives_per_1000 >= limits.relatives_per_1000:
            found.append(
                f"{self.relatives_per_1000:.2f} free relatives (“what is”, “who asks”) in 1,000 words; "
                f"expected fewer than {limits.relatives_per_1000:g}."
            )
        if self.hard_words_per_100 >= limits.hard_words_per_100:
            found.append(
                f"{self.hard_words_per_100:.2f} of who, what, which, nobody, none … in 100 words; "
                f"expected fewer than {limits.hard_words_per_100:g}."
            )
        if self.first_words:
            found.append(f"{len(self.first_words)} sentences begin with What, Who, Where, Whether or Of.")
        if self.names:
            found.append(
                f"{len(self.names)} constants begin with MOST_, LEAST_ or LONGEST_: use MAX_ or MIN_."
            )
        return found


def measure(passages: Iterable[Passage], names: Iterable[Finding] = ()) -> Measured:
    """Count the words of all passages together."""
    words = relatives = hard_words = 0
    worst: list[Finding] = []
    first_words: list[Finding] = []
    for passage in passages:
        prose = _CODE.sub("", passage.text)
        here, hard = _FREE_RELATIVE.findall(prose), _HARD_WORD.findall(prose)
        words += len(_WORD.findall(prose))
        relatives += len(here)
        hard_words += len(hard)
        if hard:
            shown = ", ".join(" ".join(match.split()) for match in [*here, *hard])
            worst.append(Finding(len(hard) + 2 * len(here), passage.path, passage.line, shown))
        first_words += _first_words(passage)
    worst.sort(key=lambda finding: (-finding.weight, finding.path, finding.line))
    return Measured(words, relatives, hard_words, tuple(worst), tuple(first_words), tuple(names))


def _first_words(passage: Passage) -> Iterator[Finding]:
    for paragraph in _PARAGRAPH.split(passage.text):
        for match in _FIRST_WORD.finditer(paragraph.strip()):
            sentence = paragraph.strip()[match.start() :].lstrip(".!?\"')”\n ")
            yield Finding(1, passage.path, passage.line, " ".join(sentence.split())[:60])


def passages_of(source: str, path: str) -> list[Passage]:
    """Return every docstring (a field's or a constant's, too) and every comment of a Python file."""
    found = [*_docstrings(source, path), *_comments(source, path)]
    return sorted(found, key=lambda passage: passage.line)


def _docstrings(source: str, path: str) -> Iterator[Passage]:
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield Passage(path, node.lineno, text)


def _comments(source: str, path: str) -> Iterator[Passage]:
    """Join the lines of one comment. A comment after code stands alone."""
    begun: Passage | None = None
    last = (0, 0)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        text = _DIRECTIVE.sub("", token.string).lstrip("# ")
        row, column = token.start
        is_alone = not token.line[:column].strip()
        if begun is not None and is_alone and last == (row - 1, column):
            begun = Passage(path, begun.line, f"{begun.text}\n{text}")
        else:
            if begun is not None:
                yield begun
            begun = Passage(path, row, text)
        last = (row, column) if is_alone else (0, 0)
    if begun is not None:
        yield begun


def forbidden_names(source: str, path: str) -> list[Finding]:
    """Find the constants that are not named MAX_ or MIN_ like all others."""
    return [
        Finding(1, path, node.lineno, node.id)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and _FORBIDDEN_PREFIX.match(node.id)
    ]


def measure_files(rooms: Sequence[str], named_rooms: Sequence[str]) -> Measured:
    passages = [passage for path in _files(rooms) for passage in passages_of(path.read_text(), str(path))]
    names = [name for path in _files(named_rooms) for name in forbidden_names(path.read_text(), str(path))]
    return measure(passages, names)


def _files(rooms: Sequence[str]) -> Iterator[Path]:
    for room in map(Path, rooms):
        yield from sorted(room.rglob("*.py")) if room.is_dir() else [room]


def report(measured: Measured, shown: int | None = SHOWN) -> Iterator[str]:
    """Yield the figures and the worst places, a line each."""
    yield (
        f"{measured.words} words; {measured.relatives_per_1000:.2f} free relatives in 1,000; "
        f"{measured.hard_words_per_100:.2f} of who, what, which, none … in 100"
    )
    yield from map(str, measured.worst[:shown])
    yield from (f"{finding}  (a sentence's first word)" for finding in measured.first_words[:shown])
    yield from (f"{finding}  (a constant's name)" for finding in measured.names[:shown])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check comments and docstrings for plain English.")
    parser.add_argument("--report", action="store_true", help="print the figures, and never fail")
    parser.add_argument("--all", action="store_true", help=f"print every place, not the worst {SHOWN}")
    parser.add_argument("rooms", nargs="*", help=f"folders or files; without any: {' '.join(ROOMS)}")
    asked = parser.parse_args(arguments)
    measured = measure_files(asked.rooms or ROOMS, asked.rooms or NAMED_ROOMS)
    failures = measured.failures(Limits())
    shown = None if asked.all else SHOWN
    for line in report(measured, shown if failures else 0):
        print(line)
    for failure in failures:
        print(f"prose: {failure}")
    return 1 if failures and not asked.report else 0


if __name__ == "__main__":
    sys.exit(main())
