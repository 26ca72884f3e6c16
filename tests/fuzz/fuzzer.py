"""Looks for inputs that a target's check does not pass, makes them small, and keeps them."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from tests.fuzz.mutation import Mutator

SLOW_S = 2.0
"""Of processor time, for some 32 kB: whatever takes so long takes more than linear time."""
MAX_CHECKS = 3000
"""To make one input small."""

Check = Callable[[bytes], None]
"""Raises for an input that does what it must not; `AssertionError` for a promise that does not hold."""


@dataclass(frozen=True)
class Finding:
    data: bytes
    fault: str
    """What went wrong: where, and the exception's type."""
    story: str
    """The traceback."""


def fault_of(check: Check, data: bytes, *, slow_s: float = SLOW_S) -> Finding | None:
    """Check one input."""
    began_at = time.process_time()
    try:
        check(data)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return Finding(data, f"{type(error).__name__} in {frame.name}", traceback.format_exc())
    seconds = time.process_time() - began_at
    if seconds > slow_s:
        return Finding(data, "slow", f"{seconds:.1f} s for {len(data)} bytes")
    return None


def search(check: Check, seeds: Sequence[bytes], *, seed: int, until: float) -> Iterator[Finding | None]:
    """Check one mutated input after the other, until the monotonic time `until`."""
    mutator = Mutator(Random(seed), seeds)
    while time.monotonic() < until:
        yield fault_of(check, mutator.next())


def smaller(check: Check, finding: Finding) -> Finding:
    """Leave out what the fault does not need: halves, quarters, and at last single bytes."""
    checks, size = 0, max(1, len(finding.data) // 2)
    while size:
        start = 0
        while start < len(finding.data) and checks < MAX_CHECKS:
            rest = finding.data[:start] + finding.data[start + size :]
            found = fault_of(check, rest)
            checks += 1
            if found is not None and found.fault == finding.fault:
                finding = found
            else:
                start += size
        size //= 2
    return finding
