"""A gateway with a key of the official API and no account, and openai's SDK before it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import pytest
from openai import AsyncOpenAI, OpenAI

from simulator.official.app import Official
from simulator.official.server import OfficialServer
from tests.support.client import KEY
from tests.support.live import LiveGateway


@pytest.fixture
def official_url(
    gateway: LiveGateway,
    official: Official,
    official_server: OfficialServer,
    environment: pytest.MonkeyPatch,
) -> str:
    """Give the base URL. The gateway has a key of the official API, and may fetch the pictures."""
    address = urlsplit(official_server.base_url).netloc
    official.file_base = f"http://{address}"
    environment.setenv("FETCH_ALLOW_HOSTS", address)
    environment.setenv("GLM_API_BASE_URL", official_server.base_url)
    environment.setenv("GLM_API_KEYS", official.add_key())
    environment.setenv("API_KEYS", KEY)
    return f"{gateway.url}/v1"


@pytest.fixture
def sdk(official_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=official_url, api_key=KEY, max_retries=0) as opened:
        yield opened


@pytest.fixture
async def async_sdk(official_url: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=official_url, api_key=KEY, max_retries=0) as opened:
        yield opened
