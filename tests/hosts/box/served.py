"""The box's server over a folder, as a process of its own, and small files for the folder."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Self

import httpx

from tests.support.client import CHAT, KEY, chat_body
from tests.support.wire import RawClient

ROOT = Path(__file__).resolve().parents[3]


FILE = """
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def answer(request):
    return JSONResponse({{"file": {name!r}, "path": request.url.path, **request.path_params}})

async def unknown(request, error):
    return JSONResponse({{"file": {name!r}, "error": error.status_code}}, error.status_code)

app = Starlette(
    routes=[Route(path, answer, methods={methods!r}) for path in {paths!r}],
    exception_handlers={{404: unknown, 405: unknown}},
)
"""


def write_file(folder: Path, name: str, *paths: str, methods: tuple[str, ...] = ("GET",)) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(FILE.format(name=name, paths=paths, methods=list(methods)))


STREAM = """
import asyncio
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

async def pieces():
    yield b"first"
    await asyncio.sleep(0.5)
    yield b", last"

async def answer(request):
    return StreamingResponse(pieces())

app = Starlette(routes=[Route("/stream", answer)])
"""


PROCESS = """
import os, sys
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def tell(request):
    return JSONResponse({"process": os.getpid(), "folder": os.getcwd()})

async def die(request):
    os._exit(7)

app = Starlette(routes=[Route("/process", tell), Route("/die", die)])
"""


class Served:
    """`main` over a folder, in a process of its own, on a port of its choice."""

    def __init__(
        self, folder: Path, *arguments: str, first: str = "", program: str = "", **environ: str
    ) -> None:
        program = program or (
            f"{first}\nimport sys, pathlib; from hosts.box import server; "
            f"sys.exit(server.main(api_folder=pathlib.Path({str(folder)!r})))"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, "--port", "0", *arguments],
            cwd=ROOT,
            env={**os.environ, "STORE_URL": "memory://", **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # A test can signal the whole group, as a terminal does.
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:  # which waits for it, and closes its pipes
            self.process.kill()

    def url(self) -> str:
        """Wait until it says where it is."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"(http://\S+)/v1$", line):
                return found[1]
        raise AssertionError(f"it ended before it served: {self.process.communicate()[1]}")

    def end(self, how: signal.Signals) -> tuple[int, str]:
        self.process.send_signal(how)
        _, errors = self.process.communicate(timeout=15)
        return self.process.returncode, errors


def lets_in(url: str) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", httpx.URL(url).port)) == 0


def leases(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "state.db")) as database:
        found = database.execute("SELECT count(*) FROM entries WHERE CAST(key AS TEXT) LIKE 'lease:%'")
        return int(found.fetchone()[0])


def ask(url: str, *, stream: bool) -> RawClient:
    client = RawClient(url)
    client.post(CHAT, chat_body(stream=stream), authorization=f"Bearer {KEY}")
    return client


def process_that_answers(url: str) -> int:
    return int(httpx.get(f"{url}/process", trust_env=False).json()["process"])


def has_ended(process: int) -> bool:
    return not Path(f"/proc/{process}").exists()
