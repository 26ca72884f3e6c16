"""What a store adds to a cold start: opening it, after what the gateway imports anyway."""

from __future__ import annotations

from statistics import median

from tests.bench.imports import ratio, run_timed, timed
from tests.bench.report import Aim, Report

MAX_TIMES_THE_PACKAGES = 1.1
"""For the stores that hosts bring along; Redis by its own protocol is its owner's choice."""
COMMAND = "scripts/bench stores"

_PACKAGES = "import starlette.applications, httpx, msgspec, asyncio"
_STORES = {
    "memory": "MemorySettings()",
    "sqlite": "SqliteSettings('never-opened.db')",
    "upstash": "UpstashSettings('https://kv.example', 'token')",
    "dynamodb": "DynamoSettings(table='table', region='eu-central-1', key_id='id', secret='secret')",
    "redis": "RedisSettings(host='redis.example')",
}
_OPENING = "from lib.store import open_store\nfrom lib.store.settings import *\n"


def measure(python: str, *, is_quick: bool = False) -> Report:
    """Measure under an interpreter that has what is deployed, and nothing else."""
    rounds = 1 if is_quick else 20
    programs = {"the packages alone": _PACKAGES}
    for name, settings in _STORES.items():
        programs[name] = f"{_PACKAGES}\n{_OPENING}open_store({settings})"
    taken: dict[str, list[tuple[float, float, float]]] = {name: [] for name in programs}
    for number in range(rounds + 1):
        for name, program in programs.items():
            figures = run_timed(python, timed(program))
            if number:  # the first run compiles
                taken[name].append(figures)
    walls = {name: [wall for wall, _, _ in runs] for name, runs in taken.items()}
    packages = walls["the packages alone"]
    return Report(
        title=f"stores: ms to import and open, compiled, in a new process, {rounds} of each, interleaved",
        head=("opened", "median", "of CPU", "to the packages"),
        rows=[
            (
                name,
                f"{median(runs) * 1000:.0f}",
                f"{median(cpu for _, cpu, _ in taken[name]) * 1000:.0f}",
                f"{ratio(runs, packages):.2f}×",
            )
            for name, runs in walls.items()
        ],
        aims=[
            Aim(f"{name} to the packages", ratio(walls[name], packages), MAX_TIMES_THE_PACKAGES, "×")
            for name in ("upstash", "dynamodb")
        ],
        command=COMMAND,
    )
