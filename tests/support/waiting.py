"""Waiting for what will come true, and no longer; nothing here or in a test sleeps for a while and hopes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

POLL_S = 0.002


def wait_until(condition: Callable[[], object], timeout_s: float = 5.0, what: str = "") -> None:
    """Return as soon as the condition holds; fail where it does not within the time."""
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, f"not within {timeout_s} s: {what or condition}"
        time.sleep(POLL_S)


async def eventually(condition: Callable[[], object], timeout_s: float = 5.0, what: str = "") -> None:
    """`wait_until` for a coroutine: the loop goes on meanwhile."""
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, f"not within {timeout_s} s: {what or condition}"
        await asyncio.sleep(POLL_S)
