"""The end of a server: it cuts unfinished requests short, and their clients get an error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from lib.errors import ShuttingDown

_under_way: dict[asyncio.Task[Any], Callable[[], bool]] = {}
_cuts: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
"""`cut_short` cancelled each task so many times."""


def cut_short() -> None:
    """Cancel every unanswered request of the running loop. Each answers its client with ShuttingDown.

    A second call, some time later, ends the requests of clients that do not read this answer.
    """
    loop = asyncio.get_running_loop()
    for task, is_answered in list(_under_way.items()):
        if task.get_loop() is loop and not is_answered():
            _cuts[task] = _cuts.get(task, 0) + 1
            # A disconnect cancels the task in the same way, so every clean-up already handles it.
            task.cancel()


def unanswered() -> int:
    """Count the requests of the running loop that have no whole answer yet."""
    loop = asyncio.get_running_loop()
    return sum(task.get_loop() is loop and not is_answered() for task, is_answered in _under_way.items())


@contextmanager
def under_way(is_answered: Callable[[], bool]) -> Iterator[None]:
    """Let `cut_short` cancel this task inside the block, until it is answered. Then it only cleans up."""
    task = _current_task()
    _under_way[task] = is_answered
    try:
        yield
    finally:
        del _under_way[task]


@contextmanager
def told_as_error() -> Iterator[None]:
    """Raise ShuttingDown if `cut_short` cancels this task. Any other cancellation passes through."""
    try:
        yield
    except asyncio.CancelledError:
        task = _current_task()
        cuts = _cuts.pop(task, 0)
        for _ in range(cuts):
            task.uncancel()
        if not cuts or task.cancelling():  # The client has left, too.
            raise
        raise ShuttingDown("The gateway stops before this answer is complete. Try again.") from None


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task
