"""Everything here waits for leases to run out: all of it runs at once, and each test waits for its own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.system.processes.background import Background
from tests.system.processes.stand import tails
from tests.system.processes.stores import NotInstalled

RESULT_TIMEOUT_S = 420.0
"""What hangs is named; it takes two to three minutes on two busy cores."""

Story = Callable[[Path], Coroutine[Any, Any, Any]]
"""Works in a folder of its own, where its processes leave their logs; returns what was seen."""


@pytest.fixture(scope="session")
def stories(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Story, tuple[Background[Any], Path]]]:
    """Start what any test of this session asks for."""
    wanted: list[Any] = [
        item.callspec.params["told"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and hasattr(item, "callspec") and "told" in item.callspec.params
    ]
    started: dict[Story, tuple[Background[Any], Path]] = {}
    for story in dict.fromkeys(wanted):
        name = getattr(story, "__name__", repr(story))
        folder = tmp_path_factory.mktemp(name)
        started[story] = (Background(partial(story, folder), name=name), folder)
    try:
        yield started
    finally:
        for background, _ in started.values():
            background.stop()


@pytest.fixture
def told(request: pytest.FixtureRequest, stories: dict[Story, tuple[Background[Any], Path]]) -> Any:
    """Give what the story, which is the parameter, has ended with."""
    background, folder = stories[request.param]
    try:
        result = background.result(RESULT_TIMEOUT_S)
    except NotInstalled as missing:
        pytest.skip(str(missing))
    except BaseException:
        print(tails(folder))  # shown by pytest where a test fails
        raise
    print(result, tails(folder), sep="\n")
    return result
