"""Run benchmarks by name, all of them without one: `scripts/bench [name ...]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial

from tests.bench import (
    chat_cpu,
    cold_start,
    cpu_per_event,
    document,
    first_content,
    first_request,
    hundred_streams,
    imports,
    round_trips,
    stores,
)
from tests.bench.report import Report


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a report for each; the status tells whether answers were whole, not whether aims were met."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(_benchmarks("")))
    parser.add_argument(
        "--quick", action="store_true", help="only see that it runs; the figures mean nothing"
    )
    parser.add_argument("--deployed-python", default=sys.executable, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    benchmarks = _benchmarks(options.deployed_python)
    if unknown := set(options.names) - set(benchmarks):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(benchmarks)}")
    for name in options.names or benchmarks:
        sys.stdout.write(f"{benchmarks[name](is_quick=options.quick)}\n")
        sys.stdout.flush()
    return 0


def _benchmarks(deployed_python: str) -> dict[str, Callable[..., Report]]:
    return {
        "first-content": first_content.measure,
        "round-trips": round_trips.measure,
        "cpu-per-event": cpu_per_event.measure,
        "chat-cpu": chat_cpu.measure,
        "first-request": first_request.measure,
        "hundred-streams": hundred_streams.measure,
        "document": document.measure,
        "imports": partial(imports.measure, deployed_python),
        "stores": partial(stores.measure, deployed_python),
        "cold-start": cold_start.measure,
    }


if __name__ == "__main__":
    sys.exit(main())
