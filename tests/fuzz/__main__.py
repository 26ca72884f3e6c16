"""scripts/fuzz [SECONDS] [TARGET...] [--seed N]: search for inputs that break a promise, and keep them."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.fuzz import corpus
from tests.fuzz.fuzzer import Check, Finding, fault_of, search, smaller
from tests.fuzz.targets import TARGETS


def main(
    arguments: Sequence[str], targets: Mapping[str, Check] = TARGETS, folder: Path = corpus.FOLDER
) -> int:
    """Return 1 where anything was found; it then lies in the corpus."""
    options = _parse(arguments, targets)
    seed = secrets.randbits(32) if options.seed is None else options.seed
    chosen = options.target or sorted(targets)
    print(f"fuzz: {options.seconds:g} s for {len(chosen)} target(s), --seed {seed}", flush=True)
    passed = 0
    for target in chosen:
        share_s = options.seconds / len(chosen)
        passed += _fuzz(target, targets[target], folder, seed=seed, until=time.monotonic() + share_s)
    print(f"{passed} passed, {len(chosen) - passed} failed", flush=True)
    return 0 if passed == len(chosen) else 1


def _parse(arguments: Sequence[str], targets: Mapping[str, Check]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=40.0, help="for all targets (default: 40)")
    parser.add_argument("target", nargs="*", choices=[*sorted(targets), []], help="default: all of them")
    parser.add_argument("--seed", type=int, help="as an earlier run printed it, to repeat it")
    return parser.parse_args(arguments)


def _fuzz(target: str, check: Check, folder: Path, *, seed: int, until: float) -> bool:
    """Search the inputs of one target until the first that fails; say how it went."""
    seeds = [path.read_bytes() for path in corpus.inputs(target, folder)]
    count = 0
    for finding in (fault_of(check, data) for data in seeds):
        if finding is not None:
            return _tell(target, check, finding, folder)
    for finding in search(check, seeds, seed=seed, until=until):
        count += 1
        if finding is not None:
            return _tell(target, check, finding, folder)
    print(f"  {target}: {len(seeds)} kept, {count} new inputs, nothing found", flush=True)
    return True


def _tell(target: str, check: Check, finding: Finding, folder: Path) -> bool:
    finding = smaller(check, finding)
    path = corpus.keep(target, finding.data, why="found", folder=folder)
    print(f"  {target}: FOUND {finding.fault}\n{finding.story}", flush=True)
    print(
        f"  kept as {path.name}, {len(finding.data)} bytes; mend it, and commit the file with it", flush=True
    )
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
