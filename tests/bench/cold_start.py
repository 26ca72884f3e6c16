"""A box's cold start: from the process's start to the first byte of /ping, and to a chat's first content."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from lib.upstreams.chatglm.wire import protocol
from tests.bench import wire
from tests.bench.report import Aim, Report
from tests.bench.stand import API_KEY, STOP_TIMEOUT_S, Ask, open_stand

MAX_TIMES_THE_FLOOR = 1.3
AIMS = {("run.sh", "a chat"): 0.85}
START_TIMEOUT_S = 30.0
POLL_S = 0.001
ROOT = Path(__file__).resolve().parents[2]
COMMAND = "scripts/bench cold-start"


class Start:
    """One of the two programs, started anew for every request."""

    def __init__(self, name: str, command: list[str], environ: dict[str, str]) -> None:
        self.name = name
        self.taken: dict[str, list[float]] = {"/ping": [], "a chat": [], "its first request": []}
        self._command = command
        self._environ = {"PATH": os.environ.get("PATH", ""), "no_proxy": "127.0.0.1", **environ}

    def measure(self, what: str, prepared: bytes, port: int) -> None:
        """Start it, ask at once, and note when the answer's first byte (a chat's first content) came."""
        command = [part.replace("PORT", str(port)) for part in self._command]
        began_at = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, env=self._environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            with _connected(port, process) as connection:
                connection.sendall(prepared)
                asked_at = time.perf_counter()
                if what == "/ping":
                    connection.recv(wire.READ_BYTES)
                    self.taken[what].append(time.perf_counter() - began_at)
                    return
                answer = wire.Answer()
                while not answer.feed(connection.recv(wire.READ_BYTES)):
                    pass
                self.taken[what].append(asked_at - began_at + answer.first_content_s)
                self.taken["its first request"].append(answer.first_content_s)
                wire.told_by_gateway(answer.body())
        finally:
            process.terminate()
            process.wait(STOP_TIMEOUT_S)


def measure(*, is_quick: bool = False) -> Report:
    rounds = 1 if is_quick else 20
    ask = Ask(chars=60)
    # Of the stand the simulator alone is used; what it started beside it is idle.
    with TemporaryDirectory() as folder, open_stand() as stand:
        url = stand.chat_url.removesuffix(protocol.CHAT_STREAM)
        origin = url.removesuffix("/chatglm")
        (account,) = stand.log_in(1)
        gateway_environ = {
            "CHATGLM_BASE_URL": url,
            "CHATGLM_REFRESH_TOKENS": str(wire.call(f"{origin}/__simulator__/accounts", {})["refresh_token"]),
            "API_KEYS": API_KEY,
            "STORE_URL": f"sqlite:///{folder}/state.db",
        }
        floor = Start("floor", [sys.executable, "-m", "tests.bench.cold_floor", "PORT"], {})
        gateway = Start("box", [sys.executable, "-m", "hosts.box", "--port", "PORT"], gateway_environ)
        served = [sys.executable, "-m", "hosts.aws.stream_server", "api/v1/chat/completions.py", "PORT"]
        adapter = Start("run.sh", served, gateway_environ)
        for number in range(rounds + 1):
            port = _free_port()
            stand.floor.url = stand.gateway.url = f"http://127.0.0.1:{port}"
            asked_of = {floor: stand.ask_floor(ask, account), gateway: stand.ask_gateway(ask)}
            for start in (floor, gateway, adapter):
                if start is not adapter:
                    ping = f"GET /ping HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
                    start.measure("/ping", ping, port)
                start.measure("a chat", asked_of.get(start) or stand.ask_gateway(ask), port)
                if not number:  # the first run compiles, and fetches the account's token
                    for taken in start.taken.values():
                        taken.clear()
        stand.check_simulator()
    ratios = {
        (start.name, what): median(ours / least for ours, least in zip(taken, floor.taken[what], strict=True))
        for start in (gateway, adapter)
        for what, taken in start.taken.items()
        if taken
    }
    medians = {
        (start.name, what): median(start.taken[what])
        for start in (gateway, adapter)
        for what in start.taken
        if start.taken[what]
    }
    return Report(
        title=f"cold-start: ms from a process's start to the first byte (chat: content), {rounds} in turn",
        head=("asked", "floor", "gateway", "ratio"),
        rows=[
            (
                f"{name}: {what}",
                f"{median(floor.taken[what]) * 1000:.0f}",
                f"{medians[name, what] * 1000:.0f}",
                f"{ratio:.2f}",
            )
            for (name, what), ratio in ratios.items()
        ],
        aims=[
            Aim(f"{name} to floor, {what}", ratio, AIMS.get((name, what), MAX_TIMES_THE_FLOOR), "×")
            for (name, what), ratio in ratios.items()
        ],
        command=COMMAND,
        notes=[
            "box: every endpoint, with its sqlite store and the token in it; run.sh: the chat's file alone",
            "its first request: from the open port to the first content; AWS bills run.sh for that part only",
        ],
    )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _connected(port: int, process: subprocess.Popen[bytes]) -> socket.socket:
    give_up_at = time.perf_counter() + START_TIMEOUT_S
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=START_TIMEOUT_S)
        except ConnectionRefusedError:
            if process.poll() is not None or time.perf_counter() > give_up_at:
                raise RuntimeError(f"{process.args!r} does not serve") from None
            time.sleep(POLL_S)
        else:
            return connection
