"""How much of the prompt tools and their results may take; and the cutting of texts."""

from __future__ import annotations

import msgspec


class Budgets(msgspec.Struct, frozen=True):
    """Characters. The upstream loses sight of the question among 90,000 of results (field.md §1.2)."""

    tools: int = 150_000
    """All descriptions and schemas together."""
    description: int = 1_000
    """One tool's description."""
    hint: int = 300
    """One argument's description."""
    result: int = 8_000
    """One result of an earlier turn."""
    last_result: int = 20_000
    """One result of the last turn."""
    results: int = 60_000
    """All results together; old ones are cut first."""
    least_result: int = 300
    """A result keeps this much, however many there are."""
    echo: int = 80
    """A call's arguments, repeated beside its result."""


def cut_end(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: max(limit - 1, 0)].rstrip()}…"


def cut_middle(text: str, limit: int) -> str:
    """Keep the head and the tail, and say how much is left out."""
    if len(text) <= limit:
        return text
    tail = limit // 3
    head = limit - tail
    left_out = f"[… {len(text) - limit:,} characters left out …]"
    return f"{text[:head]}\n{left_out}\n{text[len(text) - tail :]}"


def on_one_line(text: str) -> str:
    return " ".join(text.split())
