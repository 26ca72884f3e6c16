"""A flattened history, read as the model family's own template: `<|user|>`, line, text."""

from __future__ import annotations

import re

_MARKER = re.compile(r"^<\|(system|user|assistant|observation)(?::\d+)?\|>[^\n]*(?:\n|\Z)", re.MULTILINE)


def read_turns(prompt: str) -> list[tuple[str, str]]:
    """Return role and text of every turn; a prompt without markers is one turn of the user."""
    pieces = _MARKER.split(prompt)
    turns = [(role, text.strip()) for role, text in zip(pieces[1::2], pieces[2::2], strict=True)]
    return turns or [("user", prompt)]


def user_texts(prompt: str) -> list[str]:
    return [text for role, text in read_turns(prompt) if role == "user"] or [prompt]
