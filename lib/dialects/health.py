"""The answer of GET /health, in JSON that people and programs can read."""

from __future__ import annotations

from typing import Any

import msgspec

_OFF = ("", "0", "false", "no", "off")


def is_asked(value: str | None) -> bool:
    """Read a switch of the query, such as `?deep=1` or `?deep=true`."""
    return value is not None and value.lower() not in _OFF


def render_health(report: Any) -> bytes:
    """Write the report with line breaks, because people read it, too."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
