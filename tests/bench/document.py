"""A document of 90 MB by its address: fetched, uploaded, answered; what the gateway's process grows by.

The gateway alone is measured; the server of the document and the simulator have processes of their own.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench import wire
from tests.bench.report import Aim, Report

DOCUMENT_BYTES = 90_000_000
MAX_GROWTH_MB = 20.0
STOP_TIMEOUT_S = 10.0
API_KEY = "sk-bench"
COMMAND = "scripts/bench document"

_BLOCK = bytes(range(256)) * 256


def measure(*, is_quick: bool = False) -> Report:
    """Send it three times: once what a first time leaves behind is there, nothing should grow any more."""
    size, times = (30_000_000, ("only",)) if is_quick else (DOCUMENT_BYTES, ("first", "second", "third"))
    rows: list[tuple[str, ...]] = []
    grown_mb: list[float] = []
    with _serve_documents() as host, _gateway(host) as (process, url):
        _ask(url, host, 1000)  # connections, and what is imported late
        for which in times:
            Path(f"/proc/{process}/clear_refs").write_text("5")  # VmHWM begins anew
            before = _memory_of(process, "VmRSS")
            began_at = time.perf_counter()
            _ask(url, host, size)
            took_s = time.perf_counter() - began_at
            grown_mb.append((_memory_of(process, "VmHWM") - before) / 1e6)
            rows.append((which, f"{took_s:.2f}", f"{before / 1e6:.1f}", f"{grown_mb[-1]:.1f}"))
    return Report(
        title=f"document: {size / 1e6:g} MB by its address, fetched, uploaded and answered about",
        head=("time", "s", "MB before", "grown at its peak, MB"),
        rows=rows,
        aims=[Aim("growth of the gateway's process", max(grown_mb), MAX_GROWTH_MB, " MB")],
        command=COMMAND,
        notes=["each arrived whole: the simulator counted its bytes"],
    )


@contextmanager
def _gateway(allowed_host: str) -> Iterator[tuple[int, str]]:
    """Start a simulator and a gateway that may fetch from the host; give its process and its address."""
    with _started("simulator") as (_, simulator):
        environ = {
            "CHATGLM_BASE_URL": str(simulator["url"]),
            "CHATGLM_REFRESH_TOKENS": str(simulator["refresh_token"]),
            "API_KEYS": API_KEY,
            "STORE_URL": "memory://",
            "FETCH_ALLOW_HOSTS": allowed_host,
        }
        with _started("tests.bench.server", "gateway", **environ) as (process, gateway):
            yield process, str(gateway["url"])
        state = str(simulator["url"]).removesuffix("/chatglm") + "/__simulator__/state"
        if violations := wire.call(state)["violations"]:
            raise wire.GarbledAnswer(f"the simulator complains: {violations[:3]}")


@contextmanager
def _started(module: str, *arguments: str, **environ: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Run one of our modules; what it prints first is JSON and says where it is."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, "no_proxy": "127.0.0.1", **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        yield process.pid, json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT_S)
        process.stdout.close()


def _ask(url: str, host: str, size: int) -> None:
    file = {"type": "file", "file_url": {"url": f"http://{host}/{size}.bin"}}
    content = [{"type": "text", "text": "[scene:files]"}, file]
    body = json.dumps({"messages": [{"role": "user", "content": content}], "stream": True}).encode()
    headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
    connection = wire.Connection(url)
    answer = connection.ask(wire.request(url + "/v1/chat/completions", headers, body))
    connection.close()
    told = wire.told_by_gateway(answer.body())
    if f" {size} " not in told:
        raise wire.GarbledAnswer(f"expected a file of {size} bytes, got {told!r}")


def _memory_of(process: int, what: str) -> int:
    """Return VmRSS (now) or VmHWM (the most since it was reset), in bytes; Linux tells it."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{what}:"))


@contextmanager
def _serve_documents() -> Iterator[str]:
    """Serve /<size>.bin, a document of that size, from a thread of this process."""
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=_accept, args=(listener,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _accept(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            _send(connection)


def _send(connection: socket.socket) -> None:
    head = connection.recv(65536).decode()
    left = int(head.split("/")[1].partition(".")[0])
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % left)
    while left:
        block = _BLOCK[:left]
        connection.sendall(block)
        left -= len(block)
