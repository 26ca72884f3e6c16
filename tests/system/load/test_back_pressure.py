"""A caller that does not read what it asked for: the gateway waits with it, and hoards nothing."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path

from simulator.scenes import sample_text
from tests.support.waiting import eventually
from tests.system.load.slow import SlowCaller
from tests.system.processes.programs import Program, Worker
from tests.system.processes.stand import Stand, open_stand

STREAMS = 10
MEGABYTES = "[scene:text chars=16000 step=16000 times=2000]"
"""Some 40 MB of an answer, in pieces of 20 kB: as fast as they are taken."""
LARGEST_GROWTH = 8 * 1024 * 1024
"""Of the process, for one stalled stream; measured: 1 to 3 MB. It is what was passed on before it stalled,
which is kept as text, and what was read beyond: uvloop reads up to 32 times 256 kB before it can stop."""
LARGEST_GROWTH_AGAIN = 256 * 1024
"""Of the largest size so far, for one stalled stream after others have left. Measured: up to 40 kB.

The sizes while streams are stalled are compared, not the growth in each round: the process gives memory back
to the system, so each round can grow anew by all that its streams hold (measured: 0.8 MB each)."""
MAX_ROUNDS = 6
"""How much is read before a stall shows is chance: a later round may need more than all before it."""
SEND_BUFFER = 32 * 1024
"""Of the gateway's connections. Linux would take up to 4 MB of an answer off it before a stall shows."""
AT_REST_S = 1.0
"""So long without using the CPU, and a program waits for others."""


async def test_callers_that_do_not_read_cost_a_bounded_amount_and_leave_nothing(tmp_path: Path) -> None:
    async with _open(tmp_path) as stand:
        with stand.worker("gateway", send_buffer=SEND_BUFFER) as worker:
            await worker.first_line()
            await asyncio.to_thread(_warm_up, worker)
            files = worker.open_files
            before = worker.resident_bytes
            sizes = [0.0, await _size_with_stalled(stand, worker, before)]
            while sizes[-1] - max(sizes[:-1]) >= LARGEST_GROWTH_AGAIN and len(sizes) <= MAX_ROUNDS:
                sizes.append(await _size_with_stalled(stand, worker, before))
            print(f"\na stalled stream: {', '.join(f'{size / 1e3:.0f} kB' for size in sizes[1:])}")
            assert max(sizes) < LARGEST_GROWTH
            assert sizes[-1] - max(sizes[:-1]) < LARGEST_GROWTH_AGAIN
            await asyncio.to_thread(_warm_up, worker)  # every account serves again
            assert worker.open_files <= files + 2 * STREAMS
        assert set((await stand.overlaps()).values()) == {1}
        assert (await stand.simulator.state())["violations"] == []


async def test_a_caller_that_reads_slowly_gets_every_word(tmp_path: Path) -> None:
    async with _open(tmp_path) as stand:
        with stand.worker("gateway", send_buffer=SEND_BUFFER) as worker:
            await worker.first_line()
            with SlowCaller(worker.port, "[scene:text chars=16000 step=160 times=100]") as caller:
                await asyncio.to_thread(caller.read_first_words)
                await _come_to_rest(worker, stand.simulator)
                answer = await asyncio.to_thread(caller.read_all)
        assert answer.ended_well
        assert answer.text == 100 * sample_text(16_000)


def _open(folder: Path) -> AbstractAsyncContextManager[Stand]:
    store = {"STORE_URL": f"sqlite:///{folder / 'state.db'}"}
    return open_stand(store, folder, accounts=STREAMS, workers=0)


def _warm_up(worker: Worker) -> None:
    """Have a whole answer of every account, of pieces as large as they will be."""
    for _ in range(2):
        with ExitStack() as stack:
            prompt = "[scene:text chars=16000 step=16000 times=10]"
            callers = [stack.enter_context(SlowCaller(worker.port, prompt)) for _ in range(STREAMS)]
            assert all(caller.read_all().ended_well for caller in callers)


async def _size_with_stalled(stand: Stand, worker: Worker, before: int) -> float:
    """Return the process's size beyond `before`, for each caller that reads its first words and no more."""
    with ExitStack() as stack:
        callers = [stack.enter_context(SlowCaller(worker.port, MEGABYTES)) for _ in range(STREAMS)]
        for caller in callers:
            await asyncio.to_thread(caller.read_first_words)
        await _come_to_rest(worker, stand.simulator)
        size = worker.resident_bytes - before
        assert (await stand.simulator.state())["active_generations"] == STREAMS, "each is in mid-answer"
    await stand.simulator.has_no_conversation()
    return size / STREAMS


async def _come_to_rest(*programs: Program) -> None:
    """Wait until both wait: the gateway for its callers, the upstream for the gateway."""
    worked, worked_at = -1, time.monotonic()

    def rests() -> bool:
        nonlocal worked, worked_at
        now = sum(program.cpu_ticks for program in programs)
        if now != worked:
            worked, worked_at = now, time.monotonic()
        return time.monotonic() - worked_at > AT_REST_S

    await eventually(rests, 60, "nothing moves any more")
