"""Try every fault of every call, in several processes at once."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import IO, Any

from tests.system.faults.calls import KINDS, Outcome
from tests.system.faults.staging import FAULTS, HEAVY
from tests.system.faults.worker import Cell

ROOT = Path(__file__).resolve().parents[3]
PROCESSES = 6
"""Most of a cell's time is waiting."""
AT_WORK = 2
"""Of these take what is no waiting."""
CELL_TIMEOUT_S = 90.0
"""None takes a tenth of it; what hangs is ended, and named."""

Key = tuple[str, str]
"""A call and a fault."""
CELLS: list[Key] = list(product(KINDS, FAULTS))


def measure(cells: Iterable[Key] = CELLS, *, processes: int = PROCESSES) -> dict[Key, Cell]:
    light, heavy = deque[Key](), deque[Key]()
    for cell in cells:
        (heavy if cell[1] in HEAVY else light).append(cell)
    queues = [[heavy, light]] * AT_WORK + [[light]] * (processes - AT_WORK)
    with ThreadPoolExecutor(processes) as pool:
        found = list(pool.map(lambda waiting: list(_work_off(waiting)), queues))
    return {(cell.call, cell.fault): cell for cells in found for cell in cells}


def _taken(queues: list[deque[Key]]) -> Iterator[Key]:
    for waiting in queues:
        with suppress(IndexError):  # it is empty
            while True:
                yield waiting.popleft()


def _work_off(queues: list[deque[Key]]) -> Iterator[Cell]:
    worker = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tests.system.faults.worker"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        for call, fault in _taken(queues):
            worker.stdin.write(f"{call} {fault}\n")
            worker.stdin.flush()
            yield _cell(_line(worker, worker.stdout), call, fault)
    finally:
        worker.stdin.close()
        worker.wait(CELL_TIMEOUT_S)
        worker.stdout.close()


def _line(worker: subprocess.Popen[str], told: IO[str]) -> str:
    killer = threading.Timer(CELL_TIMEOUT_S, worker.kill)
    killer.start()
    try:
        return told.readline()
    finally:
        killer.cancel()


def _cell(line: str, call: str, fault: str) -> Cell:
    assert line, f"the worker ended while it tried {fault} of {call}: see its output above"
    told: dict[str, Any] = json.loads(line)
    return Cell(**told | {"outcome": Outcome(**told["outcome"])})
