"""The official API's services without HTTP before them: a gateway, a key, and calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from lib.chat.caller import Caller
from lib.upstreams.interface import Call
from lib.upstreams.official.gateway import OfficialGateway
from lib.upstreams.official.wire.keys import Key
from lib.upstreams.official.wire.ring import KeyRing, Patience
from simulator.official.app import Official
from simulator.official.server import OfficialServer
from tests.unit.conftest import Flow


class Stand:
    """A gateway to the simulated API, with retries that wait for nothing."""

    def __init__(self, flow: Flow, official: Official) -> None:
        at_once = Patience(too_many_s=(0.0, 0.0), overloaded_s=(0.0,), broken_s=(0.0,))
        self.flow = flow
        self.official = official
        self.gateway = OfficialGateway(flow.settings, ring=KeyRing(wait_s=5.0, patience=at_once))
        self.key = Key(official.add_key())

    def caller(self, *keys: str, key: str = "sk-1") -> Caller:
        return Caller((), is_owner=bool(key), key=key, official_keys=keys or (self.key.text,))

    def call(self, caller: Caller | None = None, **more: Any) -> Call:
        return self.flow.calling(caller or self.caller(), **more)


@pytest.fixture
async def stand(flow: Flow, official: Official, official_server: OfficialServer) -> AsyncIterator[Stand]:
    flow.configure(official_base_url=official_server.base_url)
    stand = Stand(flow, official)
    yield stand
    await stand.gateway.aclose()
