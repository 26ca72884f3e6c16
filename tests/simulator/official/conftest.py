from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from simulator.official.app import Official
from simulator.official.server import OfficialServer
from tests.simulator.official.client import Client


@pytest.fixture(scope="session")
def official_server() -> Iterator[OfficialServer]:
    with OfficialServer() as running:
        yield running


@pytest.fixture
def sim(official_server: OfficialServer) -> Iterator[Official]:
    official = official_server.official
    yield official
    official.pace_s, official.region = 0.0, "bigmodel"
    official.reset(keys=True)


@pytest.fixture(scope="session")
def http(official_server: OfficialServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=official_server.base_url, timeout=5.0) as client:
        yield client


@pytest.fixture
def client(sim: Official, http: httpx.Client) -> Client:
    """Return a client with a key that has balance."""
    return Client(http, sim.add_key())
