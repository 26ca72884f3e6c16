"""What takes a minute because a lease does: run beside everything else, and waited for by its own test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Generic, TypeVar

T = TypeVar("T")
STOP_TIMEOUT_S = 30.0


class Background(Generic[T]):
    """A coroutine in a thread and an event loop of its own."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]], *, name: str) -> None:
        self._work = work
        self._result: Future[T] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[T] | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def result(self, timeout_s: float) -> T:
        return self._result.result(timeout_s)

    def stop(self) -> None:
        """Cancel what still runs, so that it ends its processes; wait for that."""
        if self._thread.is_alive() and self._loop is not None and self._task is not None:
            with suppress(RuntimeError):  # its loop has just been closed
                self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(STOP_TIMEOUT_S)
        assert not self._thread.is_alive(), f"{self._thread.name} did not end within {STOP_TIMEOUT_S} s"

    def _run(self) -> None:
        try:
            self._result.set_result(asyncio.run(self._main()))
        except BaseException as error:  # noqa: BLE001 - told to whoever asks for the result
            self._result.set_exception(error)

    async def _main(self) -> T:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.ensure_future(self._work())
        return await self._task
