"""Every call of the upstream's, and all that may go wrong with it: measured once, and held cell by cell.

`WRITE_RELIABILITY=1` writes the table of docs/reliability.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest

from tests.system.faults import report
from tests.system.faults.calls import KINDS
from tests.system.faults.expectations import Expected, expected
from tests.system.faults.matrix import CELLS, Key, measure
from tests.system.faults.staging import FAULTS
from tests.system.faults.worker import Cell


@pytest.fixture(scope="module")
def measured(request: pytest.FixtureRequest) -> Mapping[Key, Cell]:
    """Try the cells that the selected tests look at; the table's test looks at all."""
    chosen = [getattr(item, "callspec", None) for item in request.session.items]
    wanted = [
        (spec.params["call"], spec.params["fault"]) for spec in chosen if spec and "fault" in spec.params
    ]
    looks_at_all = any(
        item.name == "test_the_document_says_what_was_measured" for item in request.session.items
    )
    return measure(CELLS if looks_at_all else [cell for cell in CELLS if cell in wanted])


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", KINDS)
def test_a_fault_is_told_as_documented_and_leaves_nothing_behind(
    measured: Mapping[Key, Cell], call: str, fault: str
) -> None:
    cell = measured[call, fault]
    assert cell.problems == []
    assert cell.outcome.is_right, cell
    assert _as_expected(cell) == expected(call, fault)


def test_the_document_says_what_was_measured(measured: Mapping[Key, Cell]) -> None:
    told = report.table(measured)
    if os.environ.get("WRITE_RELIABILITY"):
        report.write(told)
    assert report.in_document() == told


def _as_expected(cell: Cell) -> Expected:
    outcome = cell.outcome
    return Expected(
        status=outcome.status,
        code=outcome.code,
        is_cut=outcome.is_cut,
        tries=cell.tries,
        has_retry_after=bool(outcome.retry_after),
        should_retry=outcome.should_retry,
        warnings=tuple(cell.warnings),
    )
