"""The transport runs on both loops that the hosts have: asyncio's own, and uvloop on a box."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from lib.transport.client import AsyncClient
from tests.unit.transport.scripted import Scripted, scripted

LOOPS = {"asyncio": False} if sys.platform == "win32" else {"asyncio": False, "uvloop": True}


@pytest.fixture(scope="session", params=list(LOOPS.values()), ids=list(LOOPS))
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    async with scripted() as server:
        yield server


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    async with AsyncClient(trust_env=False) as client:
        yield client
