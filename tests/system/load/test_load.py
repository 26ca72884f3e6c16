"""Five hundred streams at once through one gateway: none lost, garbled or doubled, and nothing grows.

LOAD_SECONDS says for how long each stream that ends is followed by a new one (default 10; 600 is the real
thing).
"""

from __future__ import annotations

import os
from pathlib import Path
from statistics import median

from tests.support.waiting import eventually
from tests.system.load.crowd import Crowd, Sample, Seen, open_gateway

SECONDS = float(os.environ.get("LOAD_SECONDS", "10"))
SEED = int(os.environ.get("LOAD_SEED", "20261122"))
STREAMS = 500
ACCOUNTS = 50
PACE_S = 0.1
"""Between two events; a stream has ten of them or so."""
WARM_S = min(60.0, SECONDS / 3)
MAX_GROWTH = 16 * 1024 * 1024
MAX_FILES = STREAMS + 2 * ACCOUNTS + 60
"""A connection for each caller; for each account a stream and a clean-up; the program's own, idle ones."""


async def test_five_hundred_streams_at_once_are_all_whole_and_nothing_grows(tmp_path: Path) -> None:
    async with open_gateway(tmp_path, accounts=ACCOUNTS, pace_s=PACE_S) as (stand, worker):
        files_before = worker.open_files
        seen = await Crowd(worker, callers=STREAMS, for_s=SECONDS, seed=SEED).run()
        state = await stand.simulator.state()
        _print(seen)
        assert seen.failures == []
        assert seen.most_at_once == STREAMS
        assert seen.answered >= STREAMS
        asked = sum(account["chats"] for account in state["accounts"])
        assert asked == seen.answered, "the upstream was asked once for each answer"
        assert set((await stand.overlaps()).values()) == {1}
        assert state["violations"] == []
        await eventually(lambda: worker.open_files <= files_before + 25, 30, "connections are closed")
        first, last = _warm_and_late(seen)
        assert resident_bytes(last) - resident_bytes(first) < MAX_GROWTH
        assert max(sample.open_files for sample in seen.samples) <= MAX_FILES
        assert await worker.end() == 0


def _warm_and_late(seen: Seen) -> tuple[list[Sample], list[Sample]]:
    """The first and the last part of the time in which all callers were there and everything was warm."""
    tenth_s = (SECONDS - WARM_S) / 10
    return seen.between(WARM_S, WARM_S + tenth_s), seen.between(SECONDS - tenth_s, SECONDS)


def resident_bytes(samples: list[Sample]) -> float:
    return median(sample.resident_bytes for sample in samples)


def _print(seen: Seen) -> None:
    first, last = _warm_and_late(seen)
    print(
        f"\n{seen.answered} streams whole, {len(seen.failures)} not, {seen.received_bytes} bytes, "
        f"{seen.most_at_once} at once, {SECONDS:g} s"
    )
    for name, samples in (("warm", first), ("late", last)):
        files = median(sample.open_files for sample in samples)
        print(f"{name}: {resident_bytes(samples) / 1e6:.1f} MB, {files:.0f} files")
    for sample in seen.samples[:: max(1, len(seen.samples) // 20)]:
        print(f"{sample.at_s:6.1f} s {sample.resident_bytes / 1e6:7.1f} MB {sample.open_files:5d} files")
