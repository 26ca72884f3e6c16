from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lib.store.dynalite import Dynalite, running_dynalite


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def dynalite() -> Iterator[Dynalite]:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "glm-gateway"
    programs = sorted(cache.glob("aws-*/node_modules/dynalite/cli.js"))
    if not programs:
        pytest.skip("DynamoDB IS NOT TESTED: dynalite is not installed. scripts/install-builders aws")
    with running_dynalite(programs[-1]) as running:
        yield running
