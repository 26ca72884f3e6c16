"""The fuzzer itself: it finds what is planted, makes it small, keeps it, and can be repeated."""

from __future__ import annotations

import json
import time
from pathlib import Path
from random import Random

import pytest

from tests.fuzz import corpus
from tests.fuzz.__main__ import main
from tests.fuzz.fuzzer import Finding, fault_of, search, smaller
from tests.fuzz.mutation import MAX_BYTES, MUTATIONS, Mutator

SEEDS = [b'data: {"id":"h","parts":[{"text":"Hello"}]}\n\ndata: {"status":"finish"}\n\n', b"", b"[1]"]


def hates_null_names(data: bytes) -> None:
    """A check with a mistake in it."""
    for record in data.split(b"\n\n"):
        try:
            value = json.loads(record.removeprefix(b"data:"))
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and "id" in value:
            value["id"].encode("utf-16", "surrogatepass")


def passes(data: bytes) -> None:
    pass


def mutated(seed: int, count: int = 300) -> list[bytes]:
    mutator = Mutator(Random(seed), SEEDS)
    return [mutator.next() for _ in range(count)]


def test_the_same_seed_gives_the_same_inputs() -> None:
    assert mutated(1) == mutated(1) != mutated(2)


def test_inputs_are_bounded() -> None:
    assert max(map(len, mutated(3, 2000))) <= MAX_BYTES


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_every_mutation_takes_every_input(mutation: object) -> None:
    assert callable(mutation)
    by = Mutator(Random(4), SEEDS)
    for data in [*SEEDS, b"\n\n", b"data:", b"\xff\xfe", b"[" * 5000, b'{"a":{"b":[null,{"c":"\xf0"}]}}']:
        made = [mutation(data, by) for _ in range(50)]
        assert all(isinstance(fresh, bytes) for fresh in made)


def test_what_is_planted_is_found_and_made_small() -> None:
    until = time.monotonic() + 60
    finding = next(found for found in search(hates_null_names, SEEDS, seed=5, until=until) if found)
    assert "AttributeError" in finding.fault
    small = smaller(hates_null_names, finding)
    assert small.fault == finding.fault
    assert fault_of(hates_null_names, small.data) is not None
    assert len(small.data) <= min(64, len(finding.data))


def test_a_search_ends_in_time() -> None:
    assert list(search(passes, SEEDS, seed=6, until=time.monotonic())) == []


def test_making_small_does_not_change_the_fault() -> None:
    def two_faults(data: bytes) -> None:
        if b"x" in data:
            raise KeyError(data)
        raise ValueError(data)

    finding = fault_of(two_faults, b"aaxaa")
    assert finding is not None
    assert smaller(two_faults, finding).data == b"x"


def test_what_takes_too_long_is_found() -> None:
    finding = fault_of(passes, b"abc", slow_s=-1.0)
    assert finding is not None
    assert finding.fault == "slow"


def test_a_run_says_its_seed_and_how_it_went(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus.keep("quiet", b"[1]", why="seed", folder=tmp_path)
    targets = {"quiet": passes, "strict": hates_null_names}
    assert main(["0.1", "quiet", "--seed", "7"], targets, tmp_path) == 0
    said = capsys.readouterr().out
    assert "--seed 7" in said
    assert "quiet: 1 kept" in said
    assert said.endswith("1 passed, 0 failed\n")


def test_what_was_kept_comes_first_and_what_is_found_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = b'data: {"id": null, "more": "than is needed"}'
    corpus.keep("strict", data, why="seed", folder=tmp_path)
    assert main(["0", "strict"], {"strict": hates_null_names}, tmp_path) == 1
    assert capsys.readouterr().out.endswith("0 passed, 1 failed\n")
    (found,) = (tmp_path / "strict").glob("found-*")
    assert len(found.read_bytes()) < len(data) / 2


def test_the_same_input_is_kept_once(tmp_path: Path) -> None:
    for _ in range(2):
        corpus.keep("any", b"x", why="found", folder=tmp_path)
    (path,) = corpus.inputs("any", tmp_path)
    assert path.read_bytes() == b"x"
    assert Finding(b"x", "f", "s").data == b"x"
