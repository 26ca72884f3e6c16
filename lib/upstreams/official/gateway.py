"""The parts that all services of the official API share: its connections, and the gates of its keys.

A cold start loses all of it, and every answer is right without it.
"""

from __future__ import annotations

from lib.chat.caller import Caller
from lib.settings import Settings
from lib.upstreams.official.wire.client import OfficialAPI
from lib.upstreams.official.wire.keys import Key
from lib.upstreams.official.wire.ring import KeyRing


class OfficialGateway:
    """The parts of one event loop, under one set of settings."""

    def __init__(self, settings: Settings, *, ring: KeyRing | None = None) -> None:
        self.settings = settings
        self.api = OfficialAPI(settings.official_base_url, connect_timeout_s=settings.connect_timeout_s)
        self.ring = ring or KeyRing(wait_s=settings.account_wait_s)

    async def aclose(self) -> None:
        await self.api.aclose()


def keys_of(caller: Caller) -> tuple[Key, ...]:
    """Return the keys that a request may use: the owner's, or the ones that the caller brought."""
    return tuple(map(Key, caller.official_keys))
