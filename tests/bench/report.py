"""What a benchmark found, as a small table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Aim:
    """One figure, and what it should be at most."""

    name: str
    value: float
    most: float
    unit: str

    @property
    def is_met(self) -> bool:
        return self.value <= self.most

    def __str__(self) -> str:
        verdict = "met" if self.is_met else "MISSED"
        return f"{self.name}: {self.value:.2f}{self.unit} (aim: at most {self.most:g}{self.unit}, {verdict})"


@dataclass(frozen=True, slots=True)
class Report:
    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]
    aims: list[Aim]
    command: str
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [self.title, "", *_table([self.head, *self.rows]), ""]
        lines += [f"  {aim}" for aim in self.aims]
        lines += [f"  {note}" for note in self.notes]
        return "\n".join([*lines, f"  again: {self.command}", ""])


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    ]


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile: a value that was measured, none in between."""
    ranked = sorted(values)
    rank = -(-len(ranked) * percent // 100)
    return ranked[max(0, int(rank) - 1)]
