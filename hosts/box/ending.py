"""The app of one process: every file of api/. After a signal to end, it ends unfinished answers in time."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from hosts.box.mounting import mount
from lib.settings import current
from lib.upstreams.choose import close_services
from lib.web.ending import cut_short, unanswered
from lib.web.index import DEMO_KEY
from lib.web.logs import configure_logging

TELL_S = 1.0
"""A client may take this long to read the error at the end of its answer. Then the connection is closed."""
ENDS = (signal.SIGINT, signal.SIGTERM)

log = logging.getLogger("glm_gateway")


class EndsInTime:
    """Loads the files when the process starts. At its end, after some time, it cuts their answers short.

    uvicorn alone would cancel the answers at the end of its time and close the store at once. Then no lease
    could be returned, and no client would get an error. A supervisor pickles this object for its workers.
    """

    def __init__(self, api_folder: Path, grace_s: float, demo_key: str = "") -> None:
        self._api_folder = api_folder
        self._grace_s = grace_s
        self._demo_key = demo_key
        self._app: ASGIApp | None = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the worker's copy. Outside of uvicorn's own handling, a Ctrl-C must leave no traceback."""
        self.__dict__.update(state)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:
            assert self._app is not None, "uvicorn starts the lifespan first"
            if self._demo_key:
                scope[DEMO_KEY] = self._demo_key
            await self._app(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._app = mount(self._api_folder, close_services)
        settings = current()
        configure_logging(
            settings.log_level, settings.log_format
        )  # Later: a broken file has a whole traceback.
        end_with_supervisor()
        with on_end(self._cut_short_later, is_worker=multiprocessing.parent_process() is not None):
            await self._app(scope, receive, send)

    def _cut_short_later(self) -> None:
        loop = asyncio.get_running_loop()
        if waiting := unanswered():
            log.warning(
                "the server ends: it waits for the answers under way, "
                "a second Ctrl-C or SIGTERM ends them now",
                extra={"answers": waiting, "seconds": self._grace_s},
            )
        for late_s in (0.0, TELL_S):
            loop.call_later(self._grace_s + late_s, cut_short)


def cut_short_now() -> None:
    """End the answers under way with their error, because the owner does not want to wait."""
    if cut := unanswered():
        log.warning("the server ends: it cuts the answers under way short", extra={"answers": cut})
    cut_short()
    asyncio.get_running_loop().call_later(TELL_S, cut_short)


@contextmanager
def on_end(
    first: Callable[[], None], again: Callable[[], None] = cut_short_now, *, is_worker: bool = False
) -> Iterator[None]:
    """Call `first` in the running loop at the first signal to end, and `again` at the second one.

    The earlier handler (uvicorn's) gets the first signal, which ends it in good order, and the third, which
    ends it at once. A worker gets two different signals for one Ctrl-C: the terminal's and the supervisor's.
    So only a signal of the same kind counts as its second.
    """
    loop = asyncio.get_running_loop()
    before: dict[int, Any] = {number: signal.getsignal(number) for number in ENDS}
    counts: Counter[int] = Counter()

    def handle(number: int, frame: FrameType | None) -> None:
        is_first = not counts
        kind = number if is_worker else 0
        counts[kind] += 1
        if is_first:
            loop.call_soon_threadsafe(first)
        elif counts[kind] == 2:
            loop.call_soon_threadsafe(again)
        if (is_first or counts[kind] > 2) and callable(before[number]):
            before[number](number, frame)

    for end in ENDS:
        signal.signal(end, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_with_supervisor() -> None:
    """End this process in good order if its parent process is gone, even by SIGKILL."""
    supervisor = multiprocessing.parent_process()
    if supervisor is None:
        return
    loop = asyncio.get_running_loop()

    def end() -> None:
        loop.remove_reader(supervisor.sentinel)
        signal.raise_signal(signal.SIGTERM)

    loop.add_reader(supervisor.sentinel, end)
