"""What the tests of lib/ and api/ share: a simulator and a gateway on real sockets, new accounts for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from hypothesis import settings as hypothesis_settings

from hosts.box.demo import DEMO_KEY
from lib import settings
from lib.trace import RECENT
from lib.upstreams.chatglm.accounts.account import parse_account
from lib.web.guessing import GUESSES
from simulator.app import Simulator
from simulator.official.app import Official
from simulator.official.server import OfficialServer
from simulator.server import SimulatorServer
from tests.support.client import KEY, Client
from tests.support.live import LiveGateway
from tests.support.waiting import wait_until

hypothesis_settings.register_profile("gateway", deadline=None)
hypothesis_settings.load_profile("gateway")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def simulator_server() -> Iterator[SimulatorServer]:
    with SimulatorServer() as server:
        yield server


@pytest.fixture(scope="session")
def live_gateway() -> Iterator[LiveGateway]:
    with LiveGateway() as live:
        yield live


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=20.0, trust_env=False) as client:
        yield client


class Upstream:
    """The simulator as one test sees it: its own accounts, and what was done to them."""

    def __init__(self, server: SimulatorServer) -> None:
        self.sim: Simulator = server.simulator
        self.base_url = server.base_url
        self.expected_violations = 0

    def add_account(self, **options: Any) -> SimulatedAccount:
        token = self.sim.add_account(**options)
        return SimulatedAccount(token, self.sim.account(token).uid, parse_account(token).label)

    def count(self, path_suffix: str) -> int:
        return len(self.sim.calls_to(path_suffix))

    def chats(self) -> list[Any]:
        """The bodies of the chat requests that came, in order."""
        return [call.json for call in self.sim.calls_to("assistant/stream")]


@dataclass(frozen=True)
class SimulatedAccount:
    token: str
    uid: str
    label: str


@pytest.fixture
def upstream(simulator_server: SimulatorServer) -> Iterator[Upstream]:
    """Give a clean simulator; hold at the end that nothing runs and nothing odd was done."""
    sim = simulator_server.simulator
    sim.reset(accounts=True)
    yield Upstream(simulator_server)
    try:
        wait_until(lambda: sim.active_generations() == 0, what="every generation has ended")
        assert sim.violations == []
    finally:
        sim.pace_s, sim.linger_s, sim.close_delay_s = 0.0, 0.3, 0.0
        sim.reset(accounts=True)


@pytest.fixture(scope="session")
def official_server() -> Iterator[OfficialServer]:
    with OfficialServer() as running:
        yield running


@pytest.fixture
def official(official_server: OfficialServer) -> Iterator[Official]:
    """Give a clean official API; hold at the end that nothing runs and nothing odd was sent."""
    sim = official_server.official
    sim.reset(keys=True)
    yield sim
    try:
        wait_until(lambda: sim.active() == 0, what="every chat of the official API has ended")
        assert sim.violations == []
    finally:
        sim.pace_s, sim.region = 0.0, "bigmodel"
        sim.reset(keys=True)


@pytest.fixture
def sim(upstream: Upstream) -> Simulator:
    return upstream.sim


@pytest.fixture
def account(upstream: Upstream) -> SimulatedAccount:
    return upstream.add_account()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, upstream: Upstream) -> pytest.MonkeyPatch:
    """Give an environment with no setting but the simulator's address; the live gateway reads it too."""
    for name in settings._NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CHATGLM_BASE_URL", upstream.base_url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    GUESSES.failures.clear()
    RECENT.last_error = None
    return monkeypatch


@pytest.fixture
def gateway(environment: pytest.MonkeyPatch, live_gateway: LiveGateway) -> Iterator[LiveGateway]:
    """Give the live gateway; hold at the end that it has let go of everything."""
    yield live_gateway
    wait_until(live_gateway.is_idle, 10, "no lease is held and no task is left")
    assert live_gateway.complaints == []


@pytest.fixture
def client(
    gateway: LiveGateway,
    account: SimulatedAccount,
    environment: pytest.MonkeyPatch,
    http: httpx.Client,
) -> Client:
    """Give the owner's client, with one account behind the key."""
    environment.setenv("CHATGLM_REFRESH_TOKENS", account.token)
    environment.setenv("API_KEYS", KEY)
    return Client(http, gateway.url)


@pytest.fixture
def demo_of_the_api(
    official: Official, official_server: OfficialServer, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("GLM_API_KEYS", official.add_key())
    environment.setenv("GLM_API_BASE_URL", official_server.base_url)


@pytest.fixture
def demo(
    gateway: LiveGateway,
    account: SimulatedAccount,
    upstream: Upstream,
    environment: pytest.MonkeyPatch,
    demo_of_the_api: None,
) -> str:
    """Set the live gateway up as `scripts/serve --demo` does, with pass-through; return its address."""
    environment.setenv("CHATGLM_REFRESH_TOKENS", account.token)
    environment.setenv("API_KEYS", DEMO_KEY)
    environment.setenv("ALLOW_PASSTHROUGH", "true")
    environment.setenv("REFRESH_TOKEN", upstream.add_account().token)
    return gateway.url
