"""Processes that serve on one socket, and the process that keeps so many of them alive."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import IO, NoReturn, Self

WATCH_EVERY_S = 1.0
"""Between two looks at the workers; also the pause before one that died is replaced."""

log = logging.getLogger("glm_gateway")


class Workers:
    """As many processes as asked for; the end of the block ends them.

    The command gets the socket as `--inherited NUMBER`, writes a line to stdout once it serves, and ends when
    its stdin is closed: so it ends with us, however we end.
    """

    def __init__(self, listener: socket.socket, command: Sequence[str], count: int, *, end_s: float) -> None:
        self._listener = listener
        self._command = [*command, "--inherited", str(listener.fileno())]
        self._end_s = end_s
        self._processes = [self._start() for _ in range(count)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for end in (signal.SIGINT, signal.SIGTERM):
            signal.signal(end, signal.SIG_IGN)  # it is being done; Ctrl-C reaches the workers by itself
        self._listener.close()  # as long as one process holds it, it lets callers in
        for process in self._processes:
            _pipe(process.stdin).close()
        ends_at = time.monotonic() + self._end_s
        for process in self._processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, ends_at - time.monotonic()))
            _bury(process)

    def all_serve(self) -> bool:
        """Wait until each serves; False where one ended instead, having said why."""
        return all(_pipe(process.stdout).readline() for process in self._processes)

    def watch(self) -> NoReturn:
        """Replace the dead, until a signal ends us."""
        while True:
            time.sleep(WATCH_EVERY_S)
            for place, process in enumerate(self._processes):
                if process.poll() is not None:
                    log.error("a worker ended", extra={"pid": process.pid, "exit_status": process.returncode})
                    _bury(process)
                    self._processes[place] = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        # A new process and no fork: the demo's simulator is a thread of ours.
        return subprocess.Popen(  # noqa: S603 - ourselves
            self._command,
            pass_fds=[self._listener.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )


def _bury(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        _pipe(pipe).close()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
