"""The fields that every dialect has: the model, the limit of tokens, and the effort of thinking."""

from __future__ import annotations

from collections.abc import Mapping

from lib.chat.request import MAX_MODEL_CHARS, Effort
from lib.dialects.json_body import invalid_value, unsupported

EFFORTS: Mapping[str, Effort] = {
    "none": "none",
    "minimal": "minimal",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
"""The words of all dialects together: a client that speaks one of them may know a word of another."""
MEDIUM_BUDGET, HIGH_BUDGET = 8_192, 32_768
"""Tokens. A client that gives the model less room to think than this wants `medium`, or `high`, effort."""
_MAX_INTEGER = 2**53
"""JSON's numbers are exact up to here. A larger limit limits nothing."""


def read_model(name: str | None) -> str:
    if name is not None and len(name) > MAX_MODEL_CHARS:
        raise invalid_value("model", f"at most {MAX_MODEL_CHARS} characters", name)
    return name or ""


def read_integer(number: float | None, param: str) -> int | None:
    """Read an integer. Some clients write `100.0`."""
    if isinstance(number, float):
        if not number.is_integer():
            raise invalid_value(param, "an integer", str(number))
        return int(number)
    return number


def read_limit(limit: float | None, param: str) -> int | None:
    """Read a limit as it is meant: some clients write -1 or 0 for no limit."""
    number = read_integer(limit, param)
    return number if number is not None and 1 <= number < _MAX_INTEGER else None


def read_effort(word: str | None, param: str) -> Effort | None:
    """Read a named effort. Some clients write an empty word for no choice."""
    if not word:
        return None
    if word not in EFFORTS:
        raise invalid_value(param, f"one of {', '.join(EFFORTS)}", word)
    return EFFORTS[word]


def effort_of_budget(tokens: float) -> Effort:
    if tokens < MEDIUM_BUDGET:
        return "medium"
    return "high" if tokens < HIGH_BUDGET else "xhigh"


def refuse_several(count: float | None, param: str) -> None:
    """Refuse any number of answers but one. The client could not see that we ignore it."""
    if count is not None and count != 1:
        raise unsupported(param, "a request makes one choice; send 1, or send several requests")
