"""Following one text of a reply through increments, cumulative snapshots, or events that do not say which.

Until 2025 every event carried the whole text so far; since 2026 an event carries an increment and says so by
`if_increase_push`, but some streams leave the flag out (captures of 2026-09). An unflagged value can be
either, so both readings are kept until one is refuted or beyond doubt, and only what both agree on is
sent. The finishing event carries the whole text and settles it in any case.
"""

from __future__ import annotations

from enum import Enum
from os.path import commonprefix

LONG_ENOUGH = 8
"""A value that repeats this many characters before it adds its own is a snapshot, not a coincidence."""
MOST_IN_DOUBT = 64
"""Values that are weighed against each other; then the more probable reading has to do."""


class Reading(Enum):
    """How a stream's unflagged values are to be read."""

    UNDECIDED = "undecided"
    INCREMENTS = "increments"
    SNAPSHOTS = "snapshots"


class FollowedText:
    """One text: takes values as they come, returns what is new, and knows the whole."""

    __slots__ = ("_doubtful", "_extensions", "_fragments", "_length", "reading", "rewritten")

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.rewritten = False
        """The upstream changed what was sent already: only `whole` is right."""
        self._fragments: list[str] = []  # joined: everything sent (or, once rewritten, the whole text)
        self._length = 0
        self._doubtful: list[str] = []  # the values since the beginning, while either reading is possible
        self._extensions = 0

    @property
    def whole(self) -> str:
        """The whole text so far, as far as it is certain."""
        if len(self._fragments) > 1:
            self._fragments = ["".join(self._fragments)]
        return self._fragments[0] if self._fragments else ""

    def append(self, increment: str) -> str:
        """Take what is known to be an increment, verbatim: two equal neighbours are two."""
        held = self._resolve(Reading.INCREMENTS) if self._doubtful else ""
        self._keep(increment)
        return held + increment

    def settle(self, full: str) -> str:
        """Take the authoritative full text; return only what goes beyond what was sent."""
        if not full:
            return ""
        self._learn(full)
        self._doubtful.clear()
        known = self.whole
        if full.startswith(known):
            self._keep(full[len(known) :])
            return full[len(known) :]
        self._fragments, self._length = [full], len(full)
        self.rewritten = True
        return ""

    def take(self, value: str) -> str:
        """Take a value that does not say what it is."""
        if not value:
            return ""
        if self.reading is Reading.INCREMENTS:
            return self.append(value)
        if self.reading is Reading.SNAPSHOTS:
            return self.settle(value)
        return self._weigh(value)

    def end(self) -> str:
        """Nothing more comes: release what was held back, in the more probable reading."""
        if len(self._doubtful) < 2:
            return ""
        return self._resolve(self._more_probable())

    def _weigh(self, value: str) -> str:
        if not self._doubtful:
            # After a settled text the next value is measured against all of it.
            self._doubtful.append(self.whole or value)
            if self._length == 0:
                self._keep(value)
                return value
        previous = self._doubtful[-1]
        if not value.startswith(previous):
            self._doubtful.append(value)
            return self._resolve(Reading.INCREMENTS)
        self._doubtful.append(value)
        self._extensions += len(value) > len(previous)
        if self._is_surely_snapshot(previous, value):
            return self._resolve(Reading.SNAPSHOTS)
        if len(self._doubtful) > MOST_IN_DOUBT:
            return self._resolve(self._more_probable())
        return self._agreed()

    def _more_probable(self) -> Reading:
        previous = self._doubtful[-2]
        is_repeated = len(self._doubtful) > MOST_IN_DOUBT and len(previous) >= LONG_ENOUGH
        is_snapshot = len(set(previous)) > 1 and (self._extensions > 0 or is_repeated)
        return Reading.SNAPSHOTS if is_snapshot else Reading.INCREMENTS

    def _is_surely_snapshot(self, previous: str, value: str) -> bool:
        # "==", "====" are increments of a ruled line as well: one repeated character proves nothing.
        if len(value) == len(previous) or len(set(previous)) < 2:
            return False
        return len(previous) >= LONG_ENOUGH or self._extensions >= 2

    def _agreed(self) -> str:
        """Send what both readings begin with, and wait with the rest."""
        certain = commonprefix(["".join(self._doubtful), self._doubtful[-1]])
        return self._send_up_to(certain)

    def _resolve(self, reading: Reading) -> str:
        self.reading = reading
        text = "".join(self._doubtful) if reading is Reading.INCREMENTS else self._doubtful[-1]
        self._doubtful = []
        return self._send_up_to(text)

    def _send_up_to(self, text: str) -> str:
        fresh = text[self._length :]
        self._keep(fresh)
        return fresh

    def _learn(self, full: str) -> None:
        """Let the full text decide how the stream's next texts are to be read."""
        if len(self._doubtful) < 2:
            return
        increments, snapshot = "".join(self._doubtful), self._doubtful[-1]
        if full.startswith(snapshot) != full.startswith(increments):
            self.reading = Reading.SNAPSHOTS if full.startswith(snapshot) else Reading.INCREMENTS

    def _keep(self, text: str) -> None:
        if text:
            self._fragments.append(text)
            self._length += len(text)
