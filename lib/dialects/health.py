"""GET /health: our own, in JSON for whoever looks."""

from __future__ import annotations

from typing import Any

import msgspec

_OFF = ("", "0", "false", "no", "off")


def is_asked(value: str | None) -> bool:
    """Read a switch of the query: `?deep=1`, but also `?deep=true`."""
    return value is not None and value.lower() not in _OFF


def render_health(report: Any) -> bytes:
    """Write it for people, too."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
