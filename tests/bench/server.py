"""A process of its own for the program that is measured: `python -m tests.bench.server gateway|floor`.

It prints its address, and says under /__bench__/usage what it has used of CPU and memory.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import uvicorn

from hosts.box.mounting import API_FOLDER, mount
from simulator.server import listen
from tests.bench.floor import Floor

USAGE = "/__bench__/usage"
PAGE_BYTES = 4096


class Probed:
    """An ASGI application, and beside it what its process has used."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != USAGE:
            await self._app(scope, receive, send)
            return
        usage = {"cpu_s": time.process_time(), "resident_bytes": _resident_bytes()}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(usage).encode()})


def _resident_bytes() -> int:
    """Return what the process holds in memory now; Linux alone tells it without a library."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES
    except OSError:
        return 0


def main(program: str) -> None:
    app: Any = Floor() if program == "floor" else mount(API_FOLDER)
    listener = listen()
    sys.stdout.write(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}) + "\n")
    sys.stdout.flush()
    # As hosts/box serves, and the same for both.
    config = uvicorn.Config(
        Probed(app),
        loop="asyncio",
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1])
