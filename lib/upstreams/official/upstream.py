"""The official API as an upstream: the door that flows use."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, suppress

from lib.chat.caller import Caller
from lib.chat.models import find_name
from lib.chat.request import ChatRequest
from lib.upstreams.interface import Abilities, Call
from lib.upstreams.official.gateway import OfficialGateway, keys_of
from lib.upstreams.official.reply import Reply, open_reply
from lib.upstreams.official.wire.body import asks_for_json_object

LOOK_S = 1.0
"""A chat waits so long for the vendor's list. The next chat takes the list as it is known."""


class OfficialUpstream:
    """The owner's keys, or the keys that a caller brought."""

    name = "api"

    def __init__(self, gateway: OfficialGateway) -> None:
        self._gateway = gateway

    async def abilities(self, chat: ChatRequest, call: Call) -> Abilities | None:
        target = self._gateway.target(chat, keys_of(call.caller))
        return Abilities(
            tools=target.model.has_tools,
            json_object=asks_for_json_object(chat, target.model),
            stop=self._gateway.region.max_stops,
            max_tokens=True,
            usage=True,
            messages=True,
            images=target.model.sees,
            files=target.model.sees,
            silent=target.is_silent,
        )

    async def prove(self, call: Call) -> None:
        if not call.caller.is_owner:
            await self._gateway.prove(call.caller)

    def open(
        self, chat: ChatRequest, call: Call, *, patience_s: float | None
    ) -> AbstractAsyncContextManager[Reply]:
        return open_reply(self._gateway, chat, call, patience_s=patience_s)

    async def models(self, call: Call) -> tuple[str, ...]:
        keys = keys_of(call.caller)
        return await self._gateway.models.offered(keys) if keys else ()

    def offers(self, name: str, caller: Caller) -> bool:
        """Tell whether a name is of the table or of the vendor's list, with or without words in it."""
        return find_name(name, self._gateway.models.known(keys_of(caller))) is not None

    async def finds(self, name: str, caller: Caller) -> bool:
        """Do as `offers`. A new process asks for the vendor's list, if only that can have the name."""
        if not self.offers(name, caller) and name.strip().lower().startswith("glm-"):
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._gateway.models.offered(keys_of(caller))
        return self.offers(name, caller)

    def serves(self, name: str) -> bool:
        """Take every name that says `api/`: the API itself knows whether it has the model."""
        return name.strip().lower().startswith("api/")
