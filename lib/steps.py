"""Long work in steps: a generator yields the characters that each step has taken, and returns the result."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

STEP_CHARS = 16_384
"""The loop turns after so many characters."""


def at_once(work: Generator[int, None, T]) -> T:
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result


async def with_pauses(work: Generator[int, None, T]) -> T:
    """Do the work while the loop turns. Short work is done without a pause."""
    done = 0
    while True:
        try:
            done += next(work)
        except StopIteration as end:
            result: T = end.value
            return result
        if done >= STEP_CHARS:
            done = 0
            await asyncio.sleep(0)
