"""A gateway that has a key of the official API, and no account."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openai import OpenAI

from simulator.official.app import Official
from simulator.official.server import OfficialServer
from tests.support.client import KEY, Client
from tests.support.live import LiveGateway


@pytest.fixture
def official_key(official: Official) -> str:
    return official.add_key()


@pytest.fixture
def official_client(
    gateway: LiveGateway,
    official_key: str,
    official_server: OfficialServer,
    environment: pytest.MonkeyPatch,
    http: httpx.Client,
) -> Client:
    """Give the owner's client of a gateway with a key of the official API, and no account."""
    environment.setenv("GLM_API_BASE_URL", official_server.base_url)
    environment.setenv("GLM_API_KEYS", official_key)
    environment.setenv("API_KEYS", KEY)
    return Client(http, gateway.url)


@pytest.fixture
def sdk(official_client: Client) -> Iterator[Any]:
    with OpenAI(base_url=f"{official_client.url}/v1", api_key=KEY, max_retries=0) as opened:
        yield opened
