"""The parts that all services of the official API share: connections, gates of keys, the known models.

A cold start loses all of it, and every answer is right without it.
"""

from __future__ import annotations

from collections.abc import Sequence

from lib.chat.caller import Caller
from lib.chat.request import ChatRequest
from lib.settings import Settings
from lib.upstreams.official.catalogue import ModelLists
from lib.upstreams.official.wire.body import region_of
from lib.upstreams.official.wire.client import OfficialAPI
from lib.upstreams.official.wire.keys import Key
from lib.upstreams.official.wire.models import Target, resolve
from lib.upstreams.official.wire.ring import KeyRing


class OfficialGateway:
    """The parts of one event loop, under one set of settings."""

    def __init__(self, settings: Settings, *, ring: KeyRing | None = None) -> None:
        self.settings = settings
        self.region = region_of(settings.official_base_url)
        self.api = OfficialAPI(settings.official_base_url, connect_timeout_s=settings.connect_timeout_s)
        self.ring = ring or KeyRing(wait_s=settings.account_wait_s)
        self.models = ModelLists(self.api)

    def target(self, chat: ChatRequest, keys: Sequence[Key]) -> Target:
        """Return the model and the switches that a chat means."""
        default = self.settings.official_default_model
        return resolve(chat, known=self.models.known(keys), default_model=default)

    async def aclose(self) -> None:
        await self.api.aclose()


def keys_of(caller: Caller) -> tuple[Key, ...]:
    """Return the keys that a request may use: the owner's, or the ones that the caller brought."""
    return tuple(map(Key, caller.official_keys))
