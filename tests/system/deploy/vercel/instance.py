"""One built function in a process of its own, under the runtime that Vercel put into its bundle.

The process is started as in production, where the platform waits at the other end of a socket
(`VERCEL_IPC_PATH`) and is told when the function is ready, when an invocation begins and ends, and its logs.
After the end of its invocations the platform may freeze the process: what is not done by then may never be.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.waiting import wait_until

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0


class Instance:
    """`with Instance(...) as instance:` runs it until the block ends."""

    def __init__(self, python: Path, folder: Path, config: dict[str, Any], **environ: str) -> None:
        self.messages: list[dict[str, Any]] = []
        """What the platform was told, in order."""
        self.on_end: Callable[[str], object] = lambda _: None
        """Called with the id of each invocation that ends, at that moment."""
        self._python = python
        self._folder = folder
        self._environ = {**config["environment"], **environ}
        self._temporary = tempfile.TemporaryDirectory(prefix="vercel-")  # a socket's path must be short
        self._listener = socket.socket(socket.AF_UNIX)
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._listen, name=f"platform of {folder.name}", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.started['httpPort']}"

    @property
    def started(self) -> dict[str, Any]:
        """What the runtime said when it was ready: its port, and milliseconds."""
        return next(iter(self.told("server-started")))

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [message["payload"] for message in list(self.messages) if message["type"] == kind]

    def ended(self) -> list[str]:
        """The invocations that have ended, by the ids that came in their headers."""
        return [end["context"]["invocationId"] for end in self.told("end")]

    def logged(self, invocation: str | None = None) -> list[str]:
        """The lines that were logged, by one invocation or by all."""
        logs = [log for log in self.told("log") if invocation in (None, log["context"]["invocationId"])]
        return "".join(base64.b64decode(log["message"]).decode() for log in logs).splitlines()

    def __enter__(self) -> Self:
        path = str(Path(self._temporary.name) / "ipc")
        self._listener.bind(path)
        self._listener.listen()
        # Nothing of this machine's environment. Vercel runs on Lambda, whose names are there too.
        environ = {
            "PATH": os.environ["PATH"],
            "TZ": ":UTC",
            "LANG": "en_US.UTF-8",
            "VERCEL": "1",
            "VERCEL_ENV": "production",
            "VERCEL_REGION": "hkg1",
            "AWS_LAMBDA_FUNCTION_NAME": "x",
            "VERCEL_IPC_PATH": path,
            **self._environ,
        }
        self._process = subprocess.Popen(
            [self._python, "vc__handler__python.py"],
            cwd=self._folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self._thread.start()
        wait_until(
            lambda: self.told("server-started") or self._has_died(), START_TIMEOUT_S, "the function is ready"
        )
        assert self.told("server-started"), f"the function did not start:\n{self._complaints()}"
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            assert self._process.stderr is not None
            self._process.stderr.close()
        self._listener.close()
        self._thread.join(STOP_TIMEOUT_S)
        self._temporary.cleanup()

    def cpu_ms(self) -> float:
        """Tell how long its main thread has run, however busy the machine is; Linux alone knows."""
        assert self._process is not None
        try:
            return int(Path(f"/proc/{self._process.pid}/schedstat").read_text().split()[0]) / 1e6
        except OSError:
            return 0.0

    def is_idle(self) -> bool:
        return len(self.told("handler-started")) == len(self.told("end"))

    def is_alive(self) -> bool:
        return not self._has_died()

    def _has_died(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _complaints(self) -> str:
        assert self._process is not None
        assert self._process.stderr is not None
        return self._process.stderr.read().decode()

    def _listen(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # closed: it never connected
            return
        rest = b""
        with connection:
            while data := connection.recv(65536):
                *messages, rest = (rest + data).split(b"\0")
                for text in messages:
                    message = json.loads(text)
                    if message["type"] == "end":
                        self.on_end(message["payload"]["context"]["invocationId"])
                    self.messages.append(message)
