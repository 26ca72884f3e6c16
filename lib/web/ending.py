"""The end of a server: requests that it will not wait for any longer, and what their clients are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from lib.errors import ShuttingDown

_under_way: dict[asyncio.Task[Any], Callable[[], bool]] = {}
_cuts: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
"""How often each was cancelled by us."""


def cut_short() -> None:
    """End every request of the running loop that is not answered yet; each tells its client so.

    Once more, some time later, ends those whose client does not read what it is told.
    """
    loop = asyncio.get_running_loop()
    for task, is_answered in list(_under_way.items()):
        if task.get_loop() is loop and not is_answered():
            _cuts[task] = _cuts.get(task, 0) + 1
            # As when a client leaves: whoever holds something upstream knows how to let go of it.
            task.cancel()


@contextmanager
def under_way(is_answered: Callable[[], bool]) -> Iterator[None]:
    """Let this task's request be cut short meanwhile, until it is answered: what follows is its clean-up."""
    task = _current_task()
    _under_way[task] = is_answered
    try:
        yield
    finally:
        del _under_way[task]


@contextmanager
def told_as_error() -> Iterator[None]:
    """Raise ShuttingDown where this task is cancelled by `cut_short`; any other cancellation stays one."""
    try:
        yield
    except asyncio.CancelledError:
        task = _current_task()
        cuts = _cuts.pop(task, 0)
        for _ in range(cuts):
            task.uncancel()
        if not cuts or task.cancelling():  # the client has left, too
            raise
        raise ShuttingDown(
            "The gateway is being stopped and could not wait for the end of this answer."
        ) from None


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task
