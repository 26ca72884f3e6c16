"""Several processes that serve on one socket, and the process that keeps them alive."""

from __future__ import annotations

import logging
import socket
import time

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

log = logging.getLogger("glm_gateway")


class Supervisor(Multiprocess):
    """Announces that all workers serve, logs the end of each, and waits a limited time for their end.

    uvicorn starts new processes and does not fork: the demo's simulator is a thread of this process. Each
    worker also ends if this process is killed (hosts/box/ending.py).
    """

    def __init__(
        self, config: uvicorn.Config, listener: socket.socket, announcement: str, *, end_s: float
    ) -> None:
        super().__init__(config, [listener])
        self._announcement = announcement
        self._is_announced = False
        self._end_s = end_s

    def serve(self) -> int:
        """Serve until a signal; return the exit status, 1 if the workers cannot start."""
        self.run()
        return int(any(process.exitcode == STARTUP_FAILURE for process in self.processes))

    def init_processes(self) -> None:
        super().init_processes()
        self._leave_the_workers_their_pipes()

    def keep_subprocess_alive(self) -> None:
        """Replace dead workers and workers that hang. uvicorn calls it every half a second."""
        if self.should_exit.is_set():
            return
        before = list(self.processes)
        super().keep_subprocess_alive()
        for process in before:
            if process.exitcode is not None:
                log.error("a worker ended", extra={"pid": process.pid, "exit_status": process.exitcode})
        self._leave_the_workers_their_pipes()
        if not self._is_announced and self._all_serve():
            self._is_announced = True
            print(self._announcement, flush=True)

    def terminate_all(self) -> None:
        for listener in self.sockets:
            listener.close()  # While one process holds the socket, it accepts connections.
        super().terminate_all()

    def join_all(self) -> None:
        ends_at = time.monotonic() + self._end_s
        for process in self.processes:
            process.process.join(max(0.0, ends_at - time.monotonic()))
            process.process.kill()  # The worker has ended, or it hangs.
            process.process.join()

    def handle_hup(self) -> None:
        """End, because the terminal is gone. uvicorn would restart the workers."""
        self.should_exit.set()

    def _leave_the_workers_their_pipes(self) -> None:
        # While this process holds the worker's end of a pipe, a dead worker looks like a slow one, and
        # uvicorn would wait for it until the timeout of the health check.
        for process in self.processes:
            process.child_conn.close()

    def _all_serve(self) -> bool:
        return not self.should_exit.is_set() and all(
            process.is_ready(self.config.timeout_worker_healthcheck) for process in self.processes
        )
