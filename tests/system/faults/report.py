"""The matrix as the table of docs/reliability.md."""

from __future__ import annotations

from collections.abc import Mapping

from tests.system.faults.calls import KINDS
from tests.system.faults.matrix import ROOT, Key
from tests.system.faults.staging import FAULTS
from tests.system.faults.worker import Cell

DOCUMENT = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- matrix: written by tests/system/faults -->", "<!-- end of the matrix -->"

_STATUSES = {
    "upstream_error": 502,
    "upstream_timeout": 504,
    "account_busy": 429,
    "rate_limit_exceeded": 429,
}


def table(cells: Mapping[Key, Cell]) -> str:
    """One row for each fault, one column for each call."""
    rows = [["", *(kind.about for kind in KINDS.values())], ["---"] * (len(KINDS) + 1)]
    rows += [[about, *(_told(cells[call, fault]) for call in KINDS)] for fault, about in FAULTS.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def in_document() -> str:
    """Return the table that the document has."""
    text = DOCUMENT.read_text(encoding="utf-8")
    return text.partition(BEGIN)[2].partition(END)[0].strip()


def write(told: str) -> None:
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{told}\n\n{END}{after}", encoding="utf-8")


def _told(cell: Cell) -> str:
    outcome = cell.outcome
    told = f"…{_STATUSES[outcome.code]}" if outcome.is_cut else str(outcome.status)
    told += f" ×{cell.tries}" if cell.tries > 1 else ""
    return told + (" !" if cell.warnings else "")
