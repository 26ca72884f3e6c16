"""The transport runs on both loops that the hosts have: asyncio's own, and uvloop on a box."""

from __future__ import annotations

import sys
from typing import Any

import pytest

LOOPS = {"asyncio": False} if sys.platform == "win32" else {"asyncio": False, "uvloop": True}


@pytest.fixture(scope="session", params=list(LOOPS.values()), ids=list(LOOPS))
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}
