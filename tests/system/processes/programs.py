"""The gateway and the simulator as processes of their own, which can be killed and stopped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import httpx

from lib import settings
from simulator.server import listen
from tests.support.waiting import eventually, wait_until

ROOT = Path(__file__).resolve().parents[3]
END_TIMEOUT_S = 45.0
"""An orderly end takes milliseconds; with a dead upstream it may take all of the server's own bounds."""
TAIL_LINES = 30


class Program:
    """One process; ended by its pid when the block ends, whatever has happened."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        log: Path,
        environ: Mapping[str, str] | None = None,
        sockets: Sequence[int] = (),
    ) -> None:
        self._arguments = [sys.executable, *arguments]
        self._environ = {**_clean_environment(), **(environ or {})}
        self._sockets = sockets
        self.log = log
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self._arguments,
                cwd=ROOT,
                env=self._environ,
                pass_fds=self._sockets,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def read_line(self) -> str:
        """Return what the program says when it serves; raise where it ends instead."""
        line = _pipe(self.process.stdout).readline()
        if not line:
            raise RuntimeError(f"{self._arguments[1:]} did not start:\n{self.tail()}")
        return line.decode()

    async def first_line(self) -> str:
        return await asyncio.to_thread(self.read_line)

    @property
    def resident_bytes(self) -> int:
        return int(self._proc("statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    @property
    def open_files(self) -> int:
        return len(os.listdir(self._proc("fd")))  # noqa: PTH208 - counting only

    @property
    def cpu_ticks(self) -> int:
        after_name = self._proc("stat").read_text().rpartition(")")[2].split()
        return int(after_name[11]) + int(after_name[12])

    def tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return "\n".join([f"--- the end of {self.log.name}", *lines])

    def kill(self) -> None:
        """End it as the system does: at once, in the middle of whatever it does; stopped or not."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(BrokenPipeError):
                _pipe(pipe).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    def _proc(self, name: str) -> Path:
        return Path("/proc") / str(self.process.pid) / name


class SimulatorProgram(Program):
    """The upstream's imitation; what is done to it goes over its control endpoints."""

    def __init__(self, folder: Path, *, pace_s: float = 0.0) -> None:
        super().__init__(
            ["-m", "simulator", "--port", "0", "--pace", str(pace_s)], log=folder / "simulator.log"
        )
        self.url = ""
        self._http = httpx.AsyncClient(timeout=60.0, trust_env=False, verify=False)

    async def serve(self) -> None:
        self.url = json.loads(await self.first_line())["url"]

    async def add_account(self) -> tuple[str, str]:
        """Return its refresh token and its uid."""
        made = await self.tell("accounts", nickname="a")
        return made["refresh_token"], made["uid"]

    async def state(self) -> dict[str, Any]:
        return await self._ask("GET", "state")

    async def active_generations(self) -> int:
        return int((await self.state())["active_generations"])

    async def prompts(self) -> list[str]:
        """The prompt of every generation that has ended, one entry for each time."""
        told = await self._ask("GET", "prompts")
        return list(told["prompts"])

    async def tell(self, order: str, **fields: Any) -> dict[str, Any]:
        return await self._ask("POST", order, fields)

    async def expire(self, uid: str) -> None:
        """Let the account's access tokens end now, so that the next call has to rotate."""
        await self.tell(f"accounts/{uid}/expire_access_tokens")

    async def holds_back(self, path_suffix: str, uid: str, timeout_s: float = 30.0) -> str:
        """Wait until a fault delays such a call; return the User-Agent of who made it."""
        held: list[dict[str, str]] = []
        give_up_at = time.monotonic() + timeout_s
        while not held:
            assert time.monotonic() < give_up_at, f"{path_suffix} was not called within {timeout_s} s"
            calls = (await self.state())["held_back"]
            held = [call for call in calls if call["path"].endswith(path_suffix) and call["uid"] == uid]
        return held[0]["user_agent"]

    async def has_no_conversation(self, timeout_s: float = 30.0) -> None:
        """Wait until every conversation is deleted: then the clean-up after each answer is over."""
        give_up_at = time.monotonic() + timeout_s
        while left := (await self.state())["live_conversations"]:
            assert time.monotonic() < give_up_at, f"conversations are left: {left}"

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        url = f"{self.url.removesuffix('/chatglm')}/__simulator__/{path}"
        answer = await self._http.request(method, url, json=body)
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()
        return told


class Worker(Program):
    """A gateway as scripts/serve runs it, on a socket that outlives it: its next life has the same port."""

    def __init__(
        self, name: str, environ: Mapping[str, str], folder: Path, *, send_buffer: int | None = None
    ) -> None:
        self._listener = listen()
        if send_buffer is not None:  # inherited by what is accepted
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self.name = name
        self.port: int = self._listener.getsockname()[1]
        self.killed_at: list[float] = []
        """By time.monotonic()."""
        super().__init__(
            ["-m", "tests.system.processes.served", str(self._listener.fileno())],
            log=folder / f"{name}.log",
            environ={**environ, "CHATGLM_USER_AGENT": user_agent(name)},
            sockets=[self._listener.fileno()],
        )

    def kill(self) -> None:
        self.killed_at.append(time.monotonic())
        super().kill()

    def start_again(self) -> None:
        """Callers that came meanwhile wait in the socket, and are served."""
        self.process = self._start()

    def pause(self) -> None:
        """Stop it where it stands; return when it really stands."""
        self.process.send_signal(signal.SIGSTOP)
        flags = os.WSTOPPED | os.WNOHANG
        wait_until(lambda: os.waitid(os.P_PID, self.process.pid, flags), 10, "the process stops")

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    async def end(self) -> int:
        """End it in good order; return its exit status."""
        _pipe(self.process.stdin).close()
        await eventually(lambda: self.process.poll() is not None, END_TIMEOUT_S, "the worker ends")
        return self.process.returncode

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        super().__exit__(exc_type, exc, traceback)
        self._listener.close()


def user_agent(name: str) -> str:
    """A browser's, as the upstream wants it; tells the simulator's control which process called."""
    return f"Mozilla/5.0 (X11; Linux x86_64) {name}"


def is_named_by(worker: Worker, agent: str) -> bool:
    return user_agent(worker.name) == agent


def _clean_environment() -> dict[str, str]:
    """Ours without any setting; without coverage too: measured, a process takes three times as long."""
    unwanted = {*settings._NAMES}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in unwanted and not name.startswith("COV")
    }
    return kept | {"no_proxy": "127.0.0.1"}


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
