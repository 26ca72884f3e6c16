"""The headers of an answer that came from the upstream."""

from __future__ import annotations

import re
from collections.abc import Mapping

from lib.chat.events import Started

_UNPRINTABLE = re.compile(r"[^ -~]")
MOST_MODEL_CHARS = 64


def reply_headers(started: Started) -> dict[str, str]:
    """Name the model that serves and its account. Usage is always an estimate."""
    headers = {
        "x-glm-model": printable_model(started.model),
        "x-glm-account": started.account,
        "x-glm-usage": "estimated",
    }
    return {name: value for name, value in headers.items() if value}


def printable_model(model: str) -> str:
    """Make the upstream's words harmless: no header lines, no page of them."""
    return _UNPRINTABLE.sub("?", model[:MOST_MODEL_CHARS])


def server_timing(timings: Mapping[str, float], *, total_s: float | None) -> str:
    """Say in milliseconds where the time went; `total` is known where the answer is sent in one piece."""
    spent = dict(timings) if total_s is None else {**timings, "total": total_s}
    return ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in spent.items())
