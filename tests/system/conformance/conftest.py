"""A gateway that may be asked anything: accounts, a key of the official API, little patience, no way out."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from simulator.official.server import OfficialServer
from tests.conftest import Upstream
from tests.support.client import KEY
from tests.support.files import FileServer
from tests.support.live import LiveGateway

PATIENCE_S = "3"


@pytest.fixture
def files() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


@pytest.fixture
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no name be looked up, whatever address is made up for a file."""
    look_up = socket.getaddrinfo

    def guarded(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in ("127.0.0.1", b"127.0.0.1"):
            raise socket.gaierror(socket.EAI_NONAME, "only 127.0.0.1 is looked up here")
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", guarded)


@pytest.fixture
def official_api(environment: pytest.MonkeyPatch, loopback_only: None) -> Iterator[None]:
    """Give the gateway a key of the official API, too."""
    with OfficialServer() as server:
        environment.setenv("GLM_API_KEYS", server.official.add_key())
        environment.setenv("GLM_API_BASE_URL", server.base_url)
        yield


@pytest.fixture
def asked_gateway(
    gateway: LiveGateway,
    upstream: Upstream,
    environment: pytest.MonkeyPatch,
    files: FileServer,
    official_api: None,
) -> LiveGateway:
    accounts = [upstream.add_account() for _ in range(2)]
    environment.setenv("CHATGLM_REFRESH_TOKENS", ",".join(account.token for account in accounts))
    environment.setenv("API_KEYS", KEY)
    environment.setenv("ALLOW_PASSTHROUGH", "true")
    simulator = upstream.base_url.removesuffix("/chatglm")
    upstream.sim.file_base = simulator
    environment.setenv("FETCH_ALLOW_HOSTS", f"{files.host},{simulator.removeprefix('http://')}")
    for name in ("ACCOUNT_WAIT_S", "CONNECT_TIMEOUT_S", "FIRST_CONTENT_TIMEOUT_S", "IDLE_TIMEOUT_S"):
        environment.setenv(name, PATIENCE_S)
    return gateway
