"""Estimate the tokens of a text without a vocabulary. A vocabulary would add megabytes to deploy and load.

One pattern cuts a text into pieces of about a token each, as tokenizers cut before they merge: a word's first
eight letters with the space or sign before it, up to three digits, a run of signs, a run of blanks. A wide
character (Chinese, Japanese, Korean) is 1/1.6 token, as the vendor documents.

Measured on tests/unit/chat/corpus against o200k_base / cl100k_base (test_usage.py computes it again):
English +6.7 % / +4.3 %, code (Python, JavaScript, JSON) -2.4 % / -1.4 %, tables 0.0 % / -6.1 %, numbers and
URLs -2.7 % / -2.6 %, emoji -9.7 % / -29.7 %, Chinese -16.4 % / -42.9 % (by the vendor's rule: 0.0 %).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain

import msgspec

from lib.chat.request import ChatRequest, Message, Tool

_SIGN = r"!-/:-@\[-`{-~"
# These are the characters below the first wide one, and the plane of emoji. A pattern that names the wide
# ones instead takes twice as long to compile, at every cold start.
_NARROW = "\x00-\u2e7f\U00010000-\U0001ffff"


@lru_cache(maxsize=1)
def _piece() -> re.Pattern[str]:
    """Compile the pattern at its first use, after an answer, so that no cold start waits for these 2 ms.

    A match depends on at most one character after it, so all pieces of a text except the last are final.
    Every alternative has a bounded length, and so has the piece that a counter carries on.
    """
    return re.compile(
        rf"[ \t{_SIGN}]?(?:[A-Z]{{2,5}}|[A-Za-zÀ-ɏ][a-zß-ɏ]{{0,7}}|[ɐ-\u1fff]{{1,3}})"
        rf"|[0-9]{{1,3}}|[\r\n]{{1,8}}| ?[{_SIGN}]{{1,3}}[\r\n]{{0,4}}|[ \t]{{1,16}}|[{_NARROW}]"
    )


# A wide character is 5/8 of a token, that is 1/1.6. These are eighths.
_TOKEN = 8
_WIDE_CHARACTER = 5

_MESSAGE_OVERHEAD = 4
"""The role and its marks cost so many tokens in OpenAI's own counting."""
_PENDING_LIMIT = 8192
"""A counter keeps up to this many characters uncounted. Counting is then cheap, and memory stays small."""


_WINDOW_CHARS = 16_384
"""A text is measured in windows of this length: all pieces at once would take 26 times its memory."""
_LONG_CHARS = 65_536
"""Measuring a longer prompt takes longer than other requests should wait for (10 ms and more)."""


def estimate_tokens(text: str) -> int:
    return sum(_in_windows(text))


def prompt_tokens(messages: Iterable[Message]) -> int:
    """Estimate the tokens of the messages, without images and files."""
    return sum(_counted(messages))


def tool_tokens(tools: Iterable[Tool]) -> int:
    return sum(estimate_tokens(_words(tool)) for tool in tools)


def count_prompt(chat: ChatRequest) -> int:
    """Estimate the tokens of the messages and the tools; images and files are not in it."""
    return prompt_tokens(chat.messages) + tool_tokens(chat.tools)


class PromptCount:
    """The estimate of a prompt's tokens. It can be made step by step, with other work in between."""

    def __init__(self, messages: Sequence[Message], closing: str = "") -> None:
        size = len(closing)
        for message in messages:
            size += sum(map(len, _texts(message)))
        self.is_long = size > _LONG_CHARS
        self._steps = chain(_counted(messages), _in_windows(closing))
        self._tokens = 0

    def steps(self) -> Iterator[None]:
        """Count one window with each step. The next caller goes on after the last step."""
        for tokens in self._steps:
            self._tokens += tokens
            yield

    @property
    def total(self) -> int:
        self._tokens += sum(self._steps)
        return self._tokens


class TokenCounter:
    """Counts a text that comes in fragments. The total equals the count of the whole text."""

    __slots__ = ("_carried", "_eighths", "_pending", "_pending_size")

    def __init__(self) -> None:
        self._eighths = 0
        self._carried = ""
        """The last piece. It is counted but not final: the next text may still belong to it."""
        self._pending: list[str] = []
        self._pending_size = 0

    def add(self, text: str) -> None:
        self._pending.append(text)
        self._pending_size += len(text)
        if self._pending_size > _PENDING_LIMIT:
            self._settle()

    @property
    def total(self) -> int:
        self._settle()
        return _whole(self._eighths)

    def longest_fit(self, text: str, limit: float) -> int:
        """Return the number of characters of `text` that fit before the total exceeds `limit`."""
        self._settle()
        eighths, carried, taken = self._eighths, self._carried, 0
        step = 1 << len(text).bit_length()
        while step and taken < len(text):
            trial = text[taken : taken + step]
            measured = _measure(eighths, carried, trial)
            if _whole(measured[0]) <= limit:
                eighths, carried = measured
                taken += len(trial)
            step >>= 1
        return taken

    def _settle(self) -> None:
        if self._pending:
            self._eighths, self._carried = _measure(self._eighths, self._carried, "".join(self._pending))
            self._pending.clear()
            self._pending_size = 0


def _measure(eighths: int, carried: str, text: str) -> tuple[int, str]:
    """Add a text to a count. `carried` is the count's last piece. Return the count and its new last piece."""
    text = carried + text
    pieces = _piece().findall(text)
    wide = len(text) - sum(map(len, pieces))
    eighths += _TOKEN * (len(pieces) - bool(carried)) + _WIDE_CHARACTER * wide
    return eighths, pieces[-1] if pieces and text.endswith(pieces[-1]) else ""


def _counted(messages: Iterable[Message]) -> Iterator[int]:
    """Yield parts of the sum; no part takes longer than one window."""
    for message in messages:
        yield _MESSAGE_OVERHEAD
        for text in _texts(message):
            yield from _in_windows(text)


def _in_windows(text: str) -> Iterator[int]:
    eighths, carried = 0, ""
    for start in range(0, len(text), _WINDOW_CHARS):
        if start:
            yield 0
        eighths, carried = _measure(eighths, carried, text[start : start + _WINDOW_CHARS])
    yield _whole(eighths)


def _whole(eighths: int) -> int:
    return -(-eighths // _TOKEN)


def _words(tool: Tool) -> str:
    return f"{tool.name}: {tool.description} {msgspec.json.encode(tool.schema).decode()}"


def _texts(message: Message) -> Iterable[str]:
    yield message.text
    yield message.name or ""
    for call in message.tool_calls:
        yield call.name
        yield call.arguments
