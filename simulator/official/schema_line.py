"""Find the JSON Schema that a gateway puts on one line of the instructions (official.md §13, 1)."""

from __future__ import annotations

import json
from typing import Any

_WORDS = ("type", "properties", "anyOf", "oneOf", "enum", "$ref", "items")


def find_schema(instructions: str) -> dict[str, Any] | None:
    """Return the last line that begins with `{` and reads like a schema."""
    for line in reversed(instructions.split("\n")):
        if line.startswith("{"):
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict) and any(word in value for word in _WORDS):
                return value
    return None
