"""What a cold start costs under Vercel's runtime: reported, not asserted; a machine under load tells little.

    scripts/test-deploy vercel -k cold_start -s

Beside each function the floor: an app that imports starlette and httpx, nothing of ours, in the same bundle
under the same runtime. The bytecode that vercel.json asks Vercel for is there for all of them.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.system.deploy.vercel.build import Output
from tests.system.deploy.vercel.instance import Instance

FLOOR = "import httpx\nfrom starlette.applications import Starlette\n\napp = Starlette()\n"
FLOOR_NAME = "the floor"
COMPILE_TIMEOUT_S = 120


def report(output: Output, python: Path, folder: Path, *, runs: int = 5, compiled: bool = True) -> str:
    """Start each function so many times, in turns; tell the best of each in milliseconds, and its ratio."""
    folders = {name: unpack(output, name, folder) for name in output.bundles}
    folders[FLOOR_NAME] = unpack(output, "api/health", folder, FLOOR)
    if compiled:
        for place in folders.values():
            compile_all(python, place)
    config = output.bundles["api/health"].config
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in folders}
    for _ in range(runs):
        for name, place in folders.items():
            with Instance(python, place, config) as instance:
                times[name].append((instance.started["initDuration"], instance.cpu_ms()))
    # The best of each: what is slower was slowed down by something else.
    best = {name: [min(column) for column in zip(*rows, strict=True)] for name, rows in times.items()}
    floor_wall, floor_cpu = best[FLOOR_NAME]
    lines = [f"{'start, ms':<30}{'as told':>8}{'':>7}{'cpu':>8}"]
    for name, (wall, cpu) in sorted(best.items(), key=lambda item: item[1][1]):
        ratios = wall / floor_wall, cpu / floor_cpu if floor_cpu else 0.0
        lines.append(f"{name:<30}{wall:>8.0f}{ratios[0]:>6.2f}x{cpu:>8.0f}{ratios[1]:>6.2f}x")
    return "\n".join(lines)


def unpack(output: Output, name: str, folder: Path, app: str | None = None) -> Path:
    place = output.bundles[name].unpack(folder / (name.replace("/", "-") if app is None else "floor"))
    if app is not None:
        (place / f"{name}.py").write_text(app)
    return place


def compile_all(python: Path, folder: Path) -> None:
    """Compile as the builder does, but for what no function imports."""
    options = ["-q", "--invalidation-mode", "unchecked-hash", "-x", "_vendor/(pip|PIL)/"]
    command = [str(python), "-m", "compileall", *options, "."]
    subprocess.run(command, cwd=folder, timeout=COMPILE_TIMEOUT_S, check=True)
