"""A tool's name that stands in loose text: before the arguments, glued to a key, or inside JSON."""

from __future__ import annotations

import re
from typing import Any

from lib.tools.envelopes import envelope_of
from lib.tools.loose_json import NotJson, read_json
from lib.tools.toolbox import Toolbox

_NAME_LINE = re.compile(
    r"\s*(?:tool|name|action|function|tool_name)[ \t]*[:=：][ \t]*(\S+)[ \t]*(?:\n|\Z)", re.IGNORECASE
)
_FIRST_WORD = re.compile(r"\s*([^\s{(<>]+)\s*(?:\(\s*\))?")
_PARENTHESES = re.compile(r"\s*\((.*)\)\s*;?\s*\Z", re.DOTALL)


def leading_name(text: str, box: Toolbox) -> tuple[str, str]:
    """Split `readpath` or `read path` behind the longest declared name."""
    for name in sorted(box.names, key=len, reverse=True):
        if text.startswith(name):
            return name, text[len(name) :].strip()
    name, _, key = text.partition("\n")
    return name.strip(), key.strip()


def from_loose_text(text: str, box: Toolbox) -> tuple[str, str, Any]:
    """Return the name, the text behind it, and the arguments if JSON holds them."""
    stripped = text.strip()
    if stripped.startswith("{"):
        try:
            value = read_json(stripped).value
        except NotJson:
            value = None
        if isinstance(value, dict) and (found := envelope_of(value, box)):
            return found.name, "", found.arguments
        return "", stripped, None
    if line := _NAME_LINE.match(text):
        return line[1], text[line.end() :], None
    if word := _FIRST_WORD.match(text):
        rest = text[word.end() :]
        if inner := _PARENTHESES.match(rest):
            rest = inner[1]
        return word[1], rest, None
    return "", stripped, None
