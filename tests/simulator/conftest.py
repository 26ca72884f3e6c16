from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from simulator.app import Simulator
from simulator.server import SimulatorServer
from tests.simulator.browser import Browser


@pytest.fixture(scope="session")
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer() as running:
        yield running


@pytest.fixture
def sim(server: SimulatorServer) -> Iterator[Simulator]:
    simulator = server.simulator
    yield simulator
    simulator.pace_s, simulator.linger_s, simulator.answer_lost_after_s = 0.0, 0.3, 0.4
    simulator.reset(accounts=True)


@pytest.fixture(scope="session")
def http(server: SimulatorServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.base_url, timeout=5.0) as client:
        yield client


@pytest.fixture
def browser(sim: Simulator, http: httpx.Client) -> Browser:
    """Return the window of an account that has just logged in."""
    window = Browser(sim, http, sim.add_account())
    window.refresh()
    return window
