"""Follows one text of a reply through increments, cumulative snapshots, or values of an unknown kind.

Until 2025 every event carried the whole text so far. Since 2026 an event carries an increment and says so by
`if_increase_push`, but some streams leave the flag out (captures of 2026-09). An unflagged value can be
either. So both readings are kept until one is refuted or certain, and only their common beginning is sent.
The finishing event carries the whole text and decides in any case (captured 2026-09-26).
"""

from __future__ import annotations

from enum import Enum
from os.path import commonprefix

LONG_ENOUGH = 8
"""A value that repeats this many characters before it adds its own is a snapshot, not a coincidence."""
MAX_IN_DOUBT = 64
"""After so many values of doubt the more probable reading is taken."""


class Reading(Enum):
    """The reading of a stream's unflagged values."""

    UNDECIDED = "undecided"
    INCREMENTS = "increments"
    SNAPSHOTS = "snapshots"


class FollowedText:
    """One text: takes values in their order, returns the new text of each, and knows the whole."""

    __slots__ = ("_doubtful", "_extensions", "_fragments", "_length", "reading", "rewritten")

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.rewritten = False
        """The upstream changed a text that was sent already. Only `whole` is right."""
        self._fragments: list[str] = []  # Joined: everything sent or, if rewritten, the whole text.
        self._length = 0
        self._doubtful: list[str] = []  # All values, while both readings are possible.
        self._extensions = 0

    @property
    def whole(self) -> str:
        """The whole text so far, as far as it is certain."""
        if len(self._fragments) > 1:
            self._fragments = ["".join(self._fragments)]
        return self._fragments[0] if self._fragments else ""

    def append(self, increment: str) -> str:
        """Take an increment verbatim: two equal neighbours are two (`,` `,` in captures of 2026)."""
        held = self._resolve(Reading.INCREMENTS) if self._doubtful else ""
        self._keep(increment)
        return held + increment

    def settle(self, full: str) -> str:
        """Take the authoritative full text; return only the text that was not sent yet."""
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
        """Take a value of an unknown kind."""
        if not value:
            return ""
        if self.reading is Reading.INCREMENTS:
            return self.append(value)
        if self.reading is Reading.SNAPSHOTS:
            return self.settle(value)
        return self._weigh(value)

    def end(self) -> str:
        """End the text: return the held text, in the more probable reading."""
        if len(self._doubtful) < 2:
            return ""
        return self._resolve(self._more_probable())

    def _weigh(self, value: str) -> str:
        if not self._doubtful:
            # After a settled text the next value is compared with all of it.
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
        if len(self._doubtful) > MAX_IN_DOUBT:
            return self._resolve(self._more_probable())
        return self._agreed()

    def _more_probable(self) -> Reading:
        previous = self._doubtful[-2]
        is_repeated = len(self._doubtful) > MAX_IN_DOUBT and len(previous) >= LONG_ENOUGH
        is_snapshot = len(set(previous)) > 1 and (self._extensions > 0 or is_repeated)
        return Reading.SNAPSHOTS if is_snapshot else Reading.INCREMENTS

    def _is_surely_snapshot(self, previous: str, value: str) -> bool:
        # "==" and "====" may be increments of a ruled line: one repeated character proves nothing.
        if len(value) == len(previous) or len(set(previous)) < 2:
            return False
        return len(previous) >= LONG_ENOUGH or self._extensions >= 2

    def _agreed(self) -> str:
        """Send the common beginning of both readings, and hold the rest."""
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
        """Let the full text decide the reading of the stream's next texts."""
        if len(self._doubtful) < 2:
            return
        increments, snapshot = "".join(self._doubtful), self._doubtful[-1]
        if full.startswith(snapshot) != full.startswith(increments):
            self.reading = Reading.SNAPSHOTS if full.startswith(snapshot) else Reading.INCREMENTS

    def _keep(self, text: str) -> None:
        if text:
            self._fragments.append(text)
            self._length += len(text)
