"""The gateway on a real socket, in a thread of its own; it knows what it has left behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.types import ASGIApp

from hosts.box.listening import listen
from hosts.box.mounting import API_FOLDER, mount
from hosts.box.server import config_of
from lib.upstreams.chatglm.gateway import Gateway
from lib.upstreams.choose import close_services, open_services
from tests.support.waiting import wait_until

STOP_TIMEOUT_S = 15.0


class LiveGateway:
    """`with LiveGateway() as live:` serves api/ as scripts/serve does, until the block ends.

    `wrap` puts a layer in front of the app, as a host would.
    """

    def __init__(self, wrap: Callable[[ASGIApp], ASGIApp] | None = None) -> None:
        app = mount(API_FOLDER, close_services)
        config = config_of(wrap(app) if wrap else app)
        self._listener = listen("127.0.0.1", 0)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.complaints: list[str] = []
        """What the event loop had to report: exceptions that nobody looked at, tasks that were dropped."""
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)
        self._baseline: set[asyncio.Task[Any]] = set()
        self._left_behind: list[str] = []
        self.loop: asyncio.AbstractEventLoop

    @property
    def gateways(self) -> list[Gateway]:
        """The gateways that this server's loop has made, one for each settings it was asked under."""
        return [services.gateway for services in open_services(self.loop)]

    def strays(self) -> set[asyncio.Task[Any]]:
        """Tasks that no idle server has."""
        return asyncio.all_tasks(self.loop) - self._baseline

    def leases(self) -> set[str]:
        """The labels of accounts that are leased, or being leased, right now."""
        # A copy is made in one step. The server's thread may change the set during a longer look.
        return {label for gateway in self.gateways for label in gateway.pool._line._taken.copy()}

    def is_idle(self) -> bool:
        return not self.leases() and not self.strays()

    def idle(self) -> None:
        """Fail, and say what is held and where it stands, unless the server holds nothing."""
        stacks = [f"{task.get_name()}: {task.get_stack()}" for task in self.strays()]
        assert self.is_idle(), f"leases: {self.leases()}; tasks: {stacks}"

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in the server's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self._server.started or not self._thread.is_alive(), 10, "the server starts")
        assert self._server.started, "the server did not start"
        self._baseline = asyncio.all_tasks(self.loop)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join(STOP_TIMEOUT_S)
        self._listener.close()
        assert not self._thread.is_alive(), "the server did not stop"
        assert not self._left_behind, f"tasks left behind: {self._left_behind}"
        assert not self.complaints, f"the event loop complained: {self.complaints}"

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.loop.set_exception_handler(
            lambda _, context: self.complaints.append(f"{context['message']}: {context.get('exception')!r}")
        )
        await self._server.serve(sockets=[self._listener])
        await asyncio.sleep(0)  # those that were just told to end get their turn
        self._left_behind = [repr(task) for task in asyncio.all_tasks() - {asyncio.current_task()}]
