"""How long a cold start of each function takes, against the least program of its kind: a report, no test.

    AWS_REGION=us-east-1 scripts/deploy-aws package    # builds; asks nobody
    .venv/dev/bin/python -m tests.system.deploy.aws.init_time [ROUNDS]

A buffered function's time is what AWS's runtime emulator reports as its init phase; a streaming one's runs
from the start of run.sh to the open port. The floors import starlette and httpx, and have one route.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tests.system.deploy.aws.adapter import Adapter
from tests.system.deploy.aws.conftest import unpack
from tests.system.deploy.aws.emulator import Emulator
from tests.system.deploy.aws.events import Asked, rest_v1
from tests.system.deploy.conftest import ROOT

FLOOR_APP = """
import httpx
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

async def answer(request):
    return PlainTextResponse("pong")

app = Starlette(routes=[Route("/{path:path}", answer)])
"""
FLOOR_HANDLER = FLOOR_APP + '\nfrom mangum import Mangum\nhandler = Mangum(app, lifespan="off")\n'
FLOOR_SERVER = (
    FLOOR_APP
    + """
import sys, uvicorn
plain = {"loop": "asyncio", "http": "h11", "ws": "none", "lifespan": "off", "log_config": None}
uvicorn.run(app, port=int(sys.argv[1]), **plain)
"""
)
FLOOR_RUN = '#!/bin/sh\ncd "$LAMBDA_TASK_ROOT" && exec python3 floor_server.py "$AWS_LWA_PORT"\n'
BUFFERED = ("token", "health", "index")
STREAMING = ("api/v1/chat/completions.py", "api/v1/images/generations.py", "api/v1/models.py")
VIDEOS = "api/v1/videos.py"


def main(rounds: int = 15) -> None:
    tools = Path(
        subprocess.run(
            ["bash", ROOT / "scripts/support/install-aws-tools"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.strip()
    )
    with tempfile.TemporaryDirectory() as folder:
        buffered = unpack(ROOT / ".aws/buffered.zip", Path(folder) / "buffered")
        streaming = unpack(ROOT / ".aws/streaming.zip", Path(folder) / "streaming")
        videos = unpack(ROOT / ".aws/videos.zip", Path(folder) / "videos")
        (buffered / "floor.py").write_text(FLOOR_HANDLER)
        (streaming / "floor_server.py").write_text(FLOOR_SERVER)
        (streaming / "floor.sh").write_text(FLOOR_RUN)
        (streaming / "floor.sh").chmod(0o755)
        report(
            "under Mangum (init phase)",
            {"floor: starlette, httpx, mangum": lambda: _init_ms(tools, buffered, "floor.handler")}
            | {name: _measure_buffered(tools, buffered, name) for name in BUFFERED},
            rounds,
        )
        report(
            "behind the Web Adapter (start to open port)",
            {"floor: starlette, httpx, uvicorn": lambda: _start_ms(tools, streaming, "floor.sh", "")}
            | {name: _measure_streaming(tools, streaming, name) for name in STREAMING}
            | {VIDEOS: _measure_streaming(tools, videos, VIDEOS)},
            rounds,
        )


def _measure_buffered(tools: Path, folder: Path, name: str) -> Callable[[], float]:
    return lambda: _init_ms(tools, folder, f"hosts/aws/handlers.{name}")


def _measure_streaming(tools: Path, folder: Path, endpoint: str) -> Callable[[], float]:
    return lambda: _start_ms(tools, folder, "hosts/aws/run.sh", endpoint)


def _init_ms(tools: Path, folder: Path, handler: str) -> float:
    with Emulator(tools, folder, handler, {}) as function:
        function.invoke(rest_v1(Asked("GET", "/ping")))
        return function.init_ms()


def _start_ms(tools: Path, folder: Path, handler: str, endpoint: str) -> float:
    with Adapter(tools, folder, handler, {"ENDPOINT": endpoint}) as function:
        return function.start_s * 1000


def report(title: str, measures: dict[str, Callable[[], float]], rounds: int) -> None:
    """Interleave, so that whatever else the machine does falls on all of them."""
    taken: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(rounds + 1):
        for name, measure in measures.items():
            value = measure()
            if number:  # the first round warms the disk's cache
                taken[name].append(value)
    floor = next(iter(taken.values()))
    print(f"{title}, {rounds} rounds: median, least, ratio to the floor (median of the rounds')")
    for name, values in taken.items():
        ratio = median(value / least for value, least in zip(values, floor, strict=True))
        print(f"    {name:36} {median(values):6.0f} ms  {min(values):6.0f} ms  {ratio:5.2f}x")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
