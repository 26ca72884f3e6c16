"""chatglm.cn as an upstream: the door that flows use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lib.chat.request import ChatRequest
from lib.settings import Settings
from lib.upstreams.chatglm.accounts.callers import accounts_of
from lib.upstreams.chatglm.gateway import gateway_of
from lib.upstreams.chatglm.reply import Reply, open_reply
from lib.upstreams.chatglm.wire.models import is_silent, offered_names
from lib.upstreams.interface import Abilities, Call


class ChatGLMUpstream:
    """One person's account, or several, at chatglm.cn."""

    name = "web"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def abilities(self, chat: ChatRequest, _call: Call) -> Abilities | None:
        return Abilities(images=True, files=True, silent=is_silent(chat.model))

    @asynccontextmanager
    async def open(self, chat: ChatRequest, call: Call, *, patience_s: float | None) -> AsyncIterator[Reply]:
        opened = open_reply(
            chat, call.caller, self._settings, deadline_at=call.deadline_at, patience_s=patience_s
        )
        async with opened as reply:
            yield reply

    async def models(self, call: Call) -> tuple[str, ...]:
        gateway = gateway_of(self._settings)
        accounts = accounts_of(call.caller) if call.caller.refresh_tokens else ()
        return offered_names(await gateway.models.offered(accounts))
