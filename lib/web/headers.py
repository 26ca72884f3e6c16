"""The headers of an answer that came from the upstream."""

from __future__ import annotations

import re
from collections.abc import Mapping

from lib.chat.events import Started
from lib.chat.names import read_name

_UNPRINTABLE = re.compile(r"[^ -~]")
MAX_MODEL_CHARS = 64
MAX_NOTICE_CHARS = 200


def reply_headers(started: Started, asked_model: str = "") -> dict[str, str]:
    """Name the model and its account, and the misspelt words in its name. The usage is always an estimate."""
    read = [f"{part!r} was read as {word!r}" for part, word in read_name(asked_model).misspelt]
    headers = {
        "x-glm-notice": printable("; ".join(read), MAX_NOTICE_CHARS),
        "x-glm-model": printable_model(started.model),
        "x-glm-account": started.account,
        "x-glm-usage": "estimated",
    }
    return {name: value for name, value in headers.items() if value}


def printable_model(model: str) -> str:
    """Make the upstream's name of a model safe for a header: one line, and a short one."""
    return printable(model, MAX_MODEL_CHARS)


def printable(text: str, max_chars: int) -> str:
    return _UNPRINTABLE.sub("?", text[:max_chars])


def server_timing(timings: Mapping[str, float], *, total_s: float | None) -> str:
    """Write the times in milliseconds. `total` is known if the answer is sent in one piece."""
    spent = dict(timings) if total_s is None else {**timings, "total": total_s}
    return ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in spent.items())
