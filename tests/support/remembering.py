"""Search the data that an object holds for a text: for what a process must not remember."""

from __future__ import annotations

import asyncio
import functools
import gc
import sys
import types

CODE = (
    types.FunctionType,
    types.ModuleType,
    types.FrameType,
    types.CoroutineType,
    types.CodeType,
    type,
    asyncio.Future,
    asyncio.AbstractEventLoop,
)
"""Behind these lies all of Python, and the test itself."""


def texts_of(*roots: object) -> set[str]:
    """Return every text that can be reached, without the ones in code."""
    texts: set[str] = set()
    seen: set[int] = set()
    waiting = [[*roots]]  # Lists, so that an object lives as long as its id is needed.
    while waiting:
        for each in waiting.pop():
            if id(each) in seen or isinstance(each, CODE):
                continue
            seen.add(id(each))
            if isinstance(each, str):
                texts.add(each)
            else:
                waiting.append(gc.get_referents(each))
    return texts


def caches_of(package: str) -> list[object]:
    """Return the caches that decorate functions of a package's modules."""
    modules = [module for name, module in sys.modules.items() if name.startswith(package)]
    return [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, functools._lru_cache_wrapper)
    ]
