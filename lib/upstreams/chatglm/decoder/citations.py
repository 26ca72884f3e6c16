"""The sources of a reply, and the markers in its text that name them.

Until 2025 `【12†source】` counts through the pages of `quote_result`; since 2026 `【turn0search3】`, or
`turn0search3` alone, names a search result by its `match_key`. A marker is often cut by the borders of
increments, so text that may be the beginning of one is held back. A marker that names no known source
is text and stays as it is. But `【12†source】` is removed if the answer has sources that such markers count
through: the model then miscounted, and the marker leads nowhere.
"""

from __future__ import annotations

import re

from lib.chat.events import Citation, TextDelta

MAX_MARKER_CHARS = 64
"""So much text is held back for a closing bracket. A marker of one source has up to some 30 characters."""
MAX_KEYS_CHARS = 256
"""So much text is held back while it consists of keys only: some twenty of them."""

_MARKER = re.compile(
    # The lengths are those of the held text: a whole text must be read as its pieces are.
    r"【(?:(\d{1,4})†([^【】]{0,40})|([^【】]{1,62}|[0-9a-z ,，、;；]{1,254}))】"
    r"|(?<![0-9A-Za-z])((?:turn\d+[a-z]+\d+)+)"
)
_SOURCE_WORDS = frozenset(("source", "来源", "源"))
"""The upstream writes these words in its markers; authors of texts do not."""
_KEY = re.compile(r"turn\d+[a-z]+\d+")
_KEYS_SO_FAR = re.compile(r"【[0-9a-z ,，、;；]*")
_BARE_BEGINNING = re.compile(
    r"(?<![0-9A-Za-z])(?=t)(?:turn\d{1,4}[a-z]{1,16}\d{1,4})*"
    r"(?:t(?:u(?:r(?:n(?:\d{1,4}(?:[a-z]{1,16}\d{0,4})?)?)?)?)?)?$"
)


class Sources:
    """The pages that a reply was made from. Each URL gets one number, at its first mention."""

    def __init__(self) -> None:
        self.have_unkeyed = False
        """The reply has pages of `quote_result` (2024). Markers count through these."""
        self._pages: list[tuple[str, str]] = []
        self._known: set[tuple[str, str]] = set()
        self._by_key: dict[str, tuple[str, str]] = {}
        self._numbers: dict[str, int] = {}

    @property
    def have_keys(self) -> bool:
        return bool(self._by_key)

    def add(self, url: str, title: str, key: str | None) -> None:
        page = (url, title or url)
        self.have_unkeyed = self.have_unkeyed or not key
        if page not in self._known:
            self._known.add(page)
            self._pages.append(page)
        if key:
            self._by_key[key] = page

    def by_keys(self, keys: list[str]) -> list[Citation]:
        """Find the pages of all keys. If one key is unknown, return no page and give out no number."""
        pages = [self._by_key.get(key) for key in keys]
        return [self._cite(page) for page in pages if page] if all(pages) else []

    def by_position(self, position: int) -> Citation | None:
        """Find the n-th page, counted from 1."""
        return self._cite(self._pages[position - 1]) if 0 < position <= len(self._pages) else None

    def unmentioned(self) -> list[Citation]:
        """Return every page, unmarked, if the text mentions no page. Otherwise return nothing."""
        if self._numbers:
            return []
        return [self._cite(page, marked=False) for page in self._pages]

    def _cite(self, page: tuple[str, str], *, marked: bool = True) -> Citation:
        url, title = page
        number = self._numbers.setdefault(url, len(self._numbers) + 1)
        return Citation(number=number, url=url, title=title, marked=marked)


class MarkerReader:
    """Turns the markers of one text into citations, however the text is cut."""

    __slots__ = ("_before", "_held", "_sources")

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._held = ""
        self._before = ""  # The last character sent: a bare marker does not begin within a word.

    def feed(self, text: str) -> list[TextDelta | Citation]:
        if not self._held and "【" not in text and not self._sources.have_keys:
            return [TextDelta(text)]
        text = self._held + text
        cut = self._uncertain_from(text)
        self._held = text[cut:]
        return self._read(text[:cut])

    def end(self) -> list[TextDelta | Citation]:
        held, self._held = self._held, ""
        return self._read(held)

    def _uncertain_from(self, text: str) -> int:
        """Return the start of the text that the next fragment may turn into a marker."""
        opened = text.rfind("【")
        if opened > text.rfind("】") and _may_become_marker(text[opened:]):
            return opened
        if self._sources.have_keys:
            begun = _BARE_BEGINNING.search(text, max(0, len(text) - MAX_KEYS_CHARS))
            if begun is not None:
                return begun.start()
        return len(text)

    def _read(self, text: str) -> list[TextDelta | Citation]:
        events: list[TextDelta | Citation] = []
        done = 0
        context = self._before + text
        shift = len(self._before)
        for marker in _MARKER.finditer(context, shift):
            cited = self._cited(marker)
            if cited is None:
                continue
            if marker.start() - shift > done:
                events.append(TextDelta(text[done : marker.start() - shift]))
            events += cited
            done = marker.end() - shift
        if done < len(text):
            events.append(TextDelta(text[done:]))
        self._before = text[-1:] or self._before
        return events

    def _cited(self, marker: re.Match[str]) -> list[Citation] | None:
        """Return the sources that stand in place of the marker, or None if it stays as it is."""
        position, words, inner, bare = marker.groups()
        if position is not None:
            citation = self._sources.by_position(int(position))
            if citation is not None:
                return [citation]
            return [] if words in _SOURCE_WORDS and self._sources.have_unkeyed else None
        keys = _KEY.findall(inner if bare is None else bare)
        if bare is None and _KEY.sub("", inner).strip(" ,，、;；"):
            return None  # There is more than keys between the brackets.
        return self._sources.by_keys(keys) or None


def _may_become_marker(text: str) -> bool:
    is_short = len(text) <= MAX_MARKER_CHARS
    return is_short or (len(text) <= MAX_KEYS_CHARS and _KEYS_SO_FAR.fullmatch(text) is not None)
