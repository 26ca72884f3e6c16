"""Every input that is kept, again: the seeds, what covers a branch of its own, and what was found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import corpus
from tests.fuzz.mutation import MAX_BYTES
from tests.fuzz.targets import TARGETS

KEPT = [
    pytest.param(target, path, id=f"{target}/{path.name}")
    for target in sorted(TARGETS)
    for path in corpus.inputs(target)
]


@pytest.mark.parametrize(("target", "path"), KEPT)
def test_a_kept_input_keeps_every_promise(target: str, path: Path) -> None:
    TARGETS[target](path.read_bytes())


def test_every_target_has_inputs_to_begin_with_and_every_input_a_target() -> None:
    assert {path.parent.name for path in corpus.FOLDER.glob("*/*")} == set(TARGETS)


def test_inputs_are_small_and_named_for_what_they_are_kept_for() -> None:
    for path in corpus.FOLDER.glob("*/*"):
        assert path.stat().st_size <= MAX_BYTES, path
        assert path.name.partition("-")[0] in ("seed", "cover", "found"), path
