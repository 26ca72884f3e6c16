"""The headers of an answer that came from the upstream."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

_UNPRINTABLE = re.compile(r"[^ -~]")


class Served(Protocol):
    """What is known of a reply that has begun."""

    @property
    def served_model(self) -> str: ...

    @property
    def account_label(self) -> str: ...

    @property
    def timings(self) -> Mapping[str, float]:
        """Seconds, by what they were spent on."""


def reply_headers(reply: Served) -> dict[str, str]:
    """Say what served, on which account, and where the time went; usage is always an estimate."""
    timings = (f"{name};dur={seconds * 1000:.1f}" for name, seconds in reply.timings.items())
    headers = {
        "x-glm-model": _UNPRINTABLE.sub(
            "?", reply.served_model
        ),  # the upstream's words, not its header lines
        "x-glm-account": reply.account_label,
        "x-glm-usage": "estimated",
        "server-timing": ", ".join(timings),
    }
    return {name: value for name, value in headers.items() if value}
