"""A function under AWS's own runtime interface emulator, with AWS's own runtime client for Python."""

from __future__ import annotations

import re
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.support.waiting import wait_until

START_TIMEOUT_S = 20.0
INVOKE_TIMEOUT_S = 60.0
INIT = re.compile(r"INIT REPORT\(durationMs: ([\d.]+)\)")


class Emulator:
    """`with Emulator(...) as function:` keeps one environment warm until the block ends."""

    def __init__(
        self, tools: Path, folder: Path, handler: str, environ: dict[str, str], *, timeout_s: int = 29
    ) -> None:
        self._command = [str(tools / "runtime/bin/python"), "-m", "awslambdaric", handler]
        self._emulator = str(tools / "rie")
        self._folder = folder
        self._environ = {
            "PATH": f"{tools}/runtime/bin:/usr/bin:/bin",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "LAMBDA_TASK_ROOT": str(folder),
            "_HANDLER": handler,
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "AWS_LAMBDA_FUNCTION_NAME": "glm-gateway-test",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout_s),
            **environ,
        }
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            log = stack.enter_context(tempfile.NamedTemporaryFile(prefix="rie-"))
            self._log = Path(log.name)
            with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
                ports = [listener.getsockname()[1] for listener in (one, two)]
            process = subprocess.Popen(
                [
                    self._emulator,
                    *("--runtime-interface-emulator-address", f"127.0.0.1:{ports[0]}"),
                    *("--runtime-api-address", f"127.0.0.1:{ports[1]}"),
                    *self._command,
                ],
                cwd=self._folder,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            stack.callback(process.wait, 10)
            stack.callback(process.kill)  # which ends its runtime too: its parent is gone, and its socket
            self._http = stack.enter_context(httpx.Client(trust_env=False, timeout=INVOKE_TIMEOUT_S))
            self._url = f"http://127.0.0.1:{ports[0]}/2015-03-31/functions/function/invocations"
            wait_until(lambda: self._listens(ports[0]), START_TIMEOUT_S, "the emulator listens")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    @staticmethod
    def _listens(port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._http.post(self._url, json=event).json()
        assert "statusCode" in answer, f"{answer}\n{self.logged}"
        return answer

    @property
    def logged(self) -> str:
        return self._log.read_text()

    def init_ms(self) -> float:
        """How long the runtime took until it asked for the first event; after an invocation."""
        give_up_at = time.monotonic() + 5
        while not (found := INIT.search(self.logged)):
            assert time.monotonic() < give_up_at
            time.sleep(0.01)
        return float(found[1])
