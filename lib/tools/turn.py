"""One turn of the model, as far as it was read."""

from __future__ import annotations

from lib.chat.events import Rewritten
from lib.tools.drafts import Call, Fault
from lib.tools.intercepted import Interception
from lib.tools.openers import Openers
from lib.tools.scanner import Scanner
from lib.tools.toolbox import Toolbox

MAX_RAW_CHARS = 256_000
"""The reader keeps so much reasoning to search it for calls, and so many words to show if no others come."""


class Words:
    """Text that grows in pieces, up to a limit."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._chars = 0

    def add(self, text: str) -> None:
        if self._chars < MAX_RAW_CHARS:
            self._pieces.append(text)
            self._chars += len(text)

    def take(self) -> str:
        text = "".join(self._pieces)
        self._pieces, self._chars = [], 0
        return text

    @property
    def is_blank(self) -> bool:
        return not any(map(str.strip, self._pieces))


class Turn:
    """One turn of the model, as far as it was read."""

    def __init__(self, box: Toolbox, openers: Openers | None = None) -> None:
        self._box = box
        self._openers = openers or Openers(box)
        self.scanner = self.new_scanner()
        self.interception = Interception(box)
        self.reasoning = Words()
        self.raw = Words()
        """The words of calls that cannot be run."""
        self.withheld = Words()
        """Text behind a call, or of a turn whose calls may have to be asked for again."""
        self.fault: Fault | None = None
        self.later: list[Call] = []
        """Calls behind the one with a fault: they must not run before it."""
        self.has_content = False
        self.rewritten: Rewritten | None = None

    def new_scanner(self) -> Scanner:
        return Scanner(self._box, self._openers)

    def next(self) -> Turn:
        """Begin another turn of the same request."""
        return Turn(self._box, self._openers)
