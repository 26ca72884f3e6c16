from __future__ import annotations

import msgspec
import pytest

from lib.store.records import Records


class Thing(msgspec.Struct, frozen=True):
    number: float
    words: dict[str, tuple[float, str]] = {}


THINGS = Records(Thing)


def test_a_record_reads_as_it_was_written() -> None:
    thing = Thing(1.5, {"一": (2.0, "two")})
    assert THINGS.decode(THINGS.encode(thing)) == thing


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "junk",
        "{}",
        "[]",
        "null",
        '{"number":"1"}',
        '{"number":1e999}',
        '{"number":1,"words":{"a":[1]}}',
        '{"number":1',
        "\ud800",
        '{"number":' + "[" * 100_000,
        '{"x":' + "[" * 100_000,
    ],
)
def test_a_record_that_is_not_ours_counts_as_absent(text: str | None) -> None:
    assert THINGS.decode(text) is None


def test_a_later_versions_fields_are_passed_over() -> None:
    assert THINGS.decode('{"number":1,"later":[{}]}') == Thing(1.0)
