"""The headers of an answer that came from the upstream."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

_UNPRINTABLE = re.compile(r"[^ -~]")
MOST_MODEL_CHARS = 64


class Served(Protocol):
    """What is known of a reply that has begun."""

    @property
    def served_model(self) -> str: ...

    @property
    def account_label(self) -> str: ...


def reply_headers(reply: Served) -> dict[str, str]:
    """Say what served, and on which account; usage is always an estimate."""
    headers = {
        "x-glm-model": printable_model(reply.served_model),
        "x-glm-account": reply.account_label,
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
