"""The malformations of tools.md §4, each fed whole, character by character and cut at every position."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.tools.rows_other import AS_JSON, GLM, IN_WORDS, MORE, NO_CALLS, OTHER_TAGS
from tests.unit.tools.rows_taught import DAMAGED, TAUGHT, Row
from tests.unit.tools.samples import Told, play, read, reader_of, say

ROWS = [*TAUGHT, *DAMAGED, *GLM, *OTHER_TAGS, *AS_JSON, *IN_WORDS, *MORE, *NO_CALLS]


def expected(row: Row) -> tuple[tuple[Any, ...], str]:
    return tuple(row.items), row.ending


def got(told: Told) -> tuple[tuple[Any, ...], str]:
    return told.items, told.ending


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_text_is_read_whole(row: Row) -> None:
    assert got(read(row.text, row.box, row.reason)) == expected(row)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_text_is_read_by_characters(row: Row) -> None:
    assert got(play(reader_of(row.box), say(row.text, row.reason))) == expected(row)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_text_may_be_cut_anywhere(row: Row) -> None:
    for cut in range(1, len(row.text)):
        events = say([row.text[:cut], row.text[cut:]], row.reason)
        assert got(play(reader_of(row.box), events)) == expected(row), f"cut at {cut}: {row.text[:cut]!r}"
