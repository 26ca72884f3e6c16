"""A simulator on a real socket, in a thread of its own."""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from starlette.types import ASGIApp

from .app import Simulator

if TYPE_CHECKING:
    from uvicorn import Server

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0


def make_server(app: ASGIApp) -> Server:
    import uvicorn  # only a simulator on a socket needs it

    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="critical",  # some scenes break their answers off on purpose
        access_log=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=60,  # not shorter than a client keeps a connection: then no reset comes by chance
    )
    return uvicorn.Server(config)


def listen(port: int = 0) -> socket.socket:
    # The protocol must be named: asyncio sets TCP_NODELAY only then, and without it every answer takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(2048)
    return listener


def base_url_of(listener: socket.socket, path: str = "/chatglm") -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}{path}"


class ThreadServer:
    """An application that serves from `__enter__` until `__exit__`."""

    def __init__(self, app: ASGIApp, *, name: str, path: str, port: int = 0) -> None:
        self._listener = listen(port)
        self.base_url = base_url_of(self._listener, path)
        self._server = make_server(app)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def _run(self) -> None:
        self._server.run(sockets=[self._listener])

    def __enter__(self) -> Self:
        self._thread.start()
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > give_up_at:
                raise RuntimeError("the simulator's server did not start")
            time.sleep(0.005)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server; it cancels open answers after a second. Raise if it does not stop in time."""
        self._server.should_exit = True
        self._thread.join(STOP_TIMEOUT_S)
        self._listener.close()
        if self._thread.is_alive():
            raise RuntimeError(f"the simulator's server did not stop within {STOP_TIMEOUT_S} s")


class SimulatorServer(ThreadServer):
    """`with SimulatorServer() as server:` serves until the block ends."""

    def __init__(self, simulator: Simulator | None = None, *, port: int = 0, **options: Any) -> None:
        self.simulator = simulator or Simulator(**options)
        super().__init__(self.simulator.app, name="simulator", path="/chatglm", port=port)

    def stop(self) -> None:
        """End every answer, then the server."""
        self.simulator.stop_generations()
        super().stop()
