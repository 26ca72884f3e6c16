"""Every word of the tags that the gateway teaches, and the names that the upstream's own tools have."""

from __future__ import annotations

import re
from itertools import count

RUN = "bridge_run"
"""Opens and closes a call. The name occurs in no ordinary text (tools.md §3.1)."""
RESULT = "bridge_result"
TOOL = "tool"
ARGUMENT = "in_"
"""The prefix keeps arguments apart from the tags of HTML, XML or RSS in their values."""
WHOLE = "in_json"
"""One JSON object in place of the arguments."""
FREEFORM = "input"
"""The only argument of a free-form tool."""

ACTIONS = "# Actions"
LIST = "Available actions"
OUTPUT = "# Output"

MAX_DIGITS = 7
"""No prompt is long enough to contain the tag with each of so many numbers."""

ALIAS = "client_"
"""Stands before a client's tool that has the name of an upstream's own one."""
TAKEN = frozenset(
    (
        "search", "web_search", "open", "open_url", "finish", "browser", "python", "python_interpreter",
        "code_interpreter", "execute_sandbox_code", "run_code", "drawing_tool",
    )
)  # fmt: skip
"""The upstream's tool layer uses these names itself (tools.md §1.2, 2026-05 to 2026-08)."""


_NUMBERED = re.compile(rf"{RUN}_x([1-9][0-9]{{0,{MAX_DIGITS - 1}}})")


def free_tag(texts: str) -> str:
    """Return the first spelling of the call's tag that the texts do not contain."""
    folded = texts.lower()
    if RUN not in folded:
        return RUN
    found = set(_NUMBERED.findall(folded))
    taken = {digits[:size] for digits in found for size in range(1, len(digits) + 1)}
    return next(f"{RUN}_x{number}" for number in count(1) if str(number) not in taken)
