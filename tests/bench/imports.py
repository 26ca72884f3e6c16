"""What a cold start imports: the chat handler, against the packages that it stands on."""

from __future__ import annotations

import subprocess
from pathlib import Path
from statistics import median

from tests.bench.report import Aim, Report

MAX_TIMES_THE_PACKAGES = 1.25
ROOT = Path(__file__).resolve().parents[2]
COMMAND = "scripts/bench imports"

_STARLETTE = "starlette.applications, starlette.requests, starlette.responses, starlette.routing"
_PACKAGES = f"import {_STARLETTE}, httpx, msgspec"
_HANDLER = """
spec = importlib.util.spec_from_file_location("completions", "api/v1/chat/completions.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)"""
_TIMED = """
import importlib.util, sys, time
sys.path.insert(0, "")
wall, cpu = time.perf_counter(), time.process_time()
{imports}
print(time.perf_counter() - wall, time.process_time() - cpu, len(sys.modules))"""


def measure(python: str, *, is_quick: bool = False) -> Report:
    """Measure under an interpreter that has what is deployed, and nothing else: some packages import more
    where others are installed."""
    rounds = 2 if is_quick else 40
    programs = {
        "starlette, httpx, msgspec": _PACKAGES,
        "the same and asyncio": f"{_PACKAGES}, asyncio",
        "the chat handler": _HANDLER,
    }
    taken: dict[str, list[tuple[float, float, float]]] = {name: [] for name in programs}
    for number in range(rounds + 1):
        for name, imports in programs.items():
            figures = run_timed(python, timed(imports))
            if number:  # the first run compiles
                taken[name].append(figures)
    walls = {name: [run[0] for run in runs] for name, runs in taken.items()}
    cpus = {name: [run[1] for run in runs] for name, runs in taken.items()}
    packages, with_asyncio, handler = walls.values()
    return Report(
        title=f"imports: ms to import, compiled, each in a new process, {rounds} of each, interleaved",
        head=("imported", "median", "of CPU", "modules"),
        rows=[
            (
                name,
                f"{median(walls[name]) * 1000:.0f}",
                f"{median(cpus[name]) * 1000:.0f}",
                f"{taken[name][0][2]:.0f}",
            )
            for name in programs
        ],
        aims=[Aim("the handler to its packages", ratio(handler, packages), MAX_TIMES_THE_PACKAGES, "×")],
        command=COMMAND,
        notes=[
            f"with asyncio, which every host has imported, beside them: {ratio(handler, with_asyncio):.2f}×"
        ],
    )


def timed(imports: str) -> str:
    """Return a program that tells what the imports took, and how many modules there are then."""
    return _TIMED.format(imports=imports)


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Return the median of the ratios of neighbours: what disturbs one disturbs the other."""
    return median(one / other for one, other in zip(ours, theirs, strict=True))


def run_timed(python: str, program: str) -> tuple[float, float, float]:
    # -I: neither the user's packages nor PYTHON* variables have a say.
    done = subprocess.run(
        [python, "-I", "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"the import failed:\n{done.stderr}")
    wall, cpu, modules = map(float, done.stdout.split())
    return wall, cpu, modules
