from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from lib.chat.caller import Caller
from lib.chat.request import ChatRequest, Message, TextPart
from lib.settings import Settings
from lib.trace import Trace
from lib.upstreams.interface import Call
from lib.upstreams.official.gateway import OfficialGateway
from lib.upstreams.official.reply import Reply, open_reply
from lib.upstreams.official.wire.ring import KeyRing, Patience
from simulator.official.app import Official
from simulator.official.server import OfficialServer

Open = Callable[..., AbstractAsyncContextManager[Reply]]


class Stand:
    """The official API's gateway, one key, and chats over it."""

    def __init__(self, base_url: str, key: str) -> None:
        settings = Settings(
            official_base_url=base_url,
            first_content_timeout_s=0.3,
            thinking_timeout_s=0.5,
            idle_timeout_s=0.3,
        )
        at_once = Patience(too_many_s=(0.0, 0.0), overloaded_s=(0.0,), broken_s=(0.0,))
        self.gateway = OfficialGateway(settings, ring=KeyRing(wait_s=1.0, patience=at_once))
        self.caller = Caller((), is_owner=True, official_keys=(key,))
        self.trace = Trace()

    def open(
        self,
        prompt: str = "Hello!",
        *,
        patience_s: float | None = None,
        left_s: float | None = None,
        **fields: Any,
    ) -> AbstractAsyncContextManager[Reply]:
        deadline_at = None if left_s is None else asyncio.get_running_loop().time() + left_s
        services: Any = None
        call = Call(services=services, caller=self.caller, trace=self.trace, deadline_at=deadline_at)
        asked = Message("user", (TextPart(prompt),))
        chat = ChatRequest(**{"model": "api/glm-4.6", "messages": (asked,)} | fields)
        return open_reply(self.gateway, chat, call, patience_s=patience_s)

    def is_idle(self) -> bool:
        return all(gate.is_idle for gate in self.gateway.ring._gates._gates.values())


@pytest.fixture
async def stand(
    official: Official, official_server: OfficialServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stand]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    stand = Stand(official_server.base_url, official.add_key())
    yield stand
    assert stand.is_idle(), "every place is given back"
    await stand.gateway.aclose()
