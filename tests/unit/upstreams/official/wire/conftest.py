from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lib.upstreams.official.wire.client import OfficialAPI
from lib.upstreams.official.wire.keys import Key
from lib.upstreams.official.wire.ring import KeyRing, Patience
from simulator.official.app import Official
from simulator.official.server import OfficialServer


@pytest.fixture
async def api(
    official: Official, official_server: OfficialServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[OfficialAPI]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    client = OfficialAPI(official_server.base_url)
    yield client
    await client.aclose()


@pytest.fixture
def key(official: Official) -> Key:
    return Key(official.add_key())


@pytest.fixture
def ring() -> KeyRing:
    at_once = Patience(too_many_s=(0.0, 0.0), overloaded_s=(0.0,), broken_s=(0.0,))
    return KeyRing(wait_s=5.0, patience=at_once)
