"""The places in a call that is written in tags, and the results of reading it."""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from lib.tools.drafts import Draft
from lib.tools.words import ARGUMENT

MAX_BLOCK_CHARS = 256_000
"""The longest call that is read; a longer one is passed on as text (tools.md §3.4)."""
NEXT_ARGUMENT = re.compile(rf"\s*<{ARGUMENT}[\w\-]+>")


class At(Enum):
    """The place in a call."""

    AROUND = "in a wrapper, between calls"
    HEAD = "before the name"
    NAME = "in the name"
    BODY = "between arguments"
    KEY = "in an argument's name"
    GAP = "between an argument's name and its value"
    VALUE = "in a value"
    MAYBE_END = "after a closer inside a value, before the text that decides"
    OVER = "after the last call"


class Ending(NamedTuple):
    """A closer that may be data."""

    closes_run: bool
    raw: list[str]


class Written(NamedTuple):
    """A call, and the number of characters up to its end."""

    draft: Draft
    end: int
