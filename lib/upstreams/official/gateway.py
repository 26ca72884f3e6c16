"""The parts that all services of the official API share: connections, gates of keys, the known models.

A cold start loses all of it, and every answer is right without it.
"""

from __future__ import annotations

from collections.abc import Sequence

from lib.chat.caller import Caller
from lib.chat.request import ChatRequest
from lib.settings import Settings
from lib.trace import current_trace
from lib.transport.tls import FOR_HTTP
from lib.upstreams.official.catalogue import ModelLists
from lib.upstreams.official.wire.body import region_of
from lib.upstreams.official.wire.client import OfficialAPI
from lib.upstreams.official.wire.keys import Key
from lib.upstreams.official.wire.models import Target, resolve
from lib.upstreams.official.wire.ring import KeyRing, Terms

MODELS = "models"
MAX_PROVEN = 4_000
"""So many proven keys are remembered; the API is asked for a key that was forgotten."""


class OfficialGateway:
    """The parts of one event loop, under one set of settings."""

    def __init__(self, settings: Settings, *, ring: KeyRing | None = None) -> None:
        FOR_HTTP.begin()
        self.settings = settings
        self.region = region_of(settings.official_base_url)
        self.api = OfficialAPI(settings.official_base_url, connect_timeout_s=settings.connect_timeout_s)
        self.ring = ring or KeyRing(wait_s=settings.account_wait_s)
        self.models = ModelLists(self.api)
        self._proven: set[str] = set()

    def target(self, chat: ChatRequest, keys: Sequence[Key]) -> Target:
        """Return the model and the switches that a chat means."""
        default = self.settings.official_default_model
        return resolve(chat, known=self.models.known(keys), default_model=default)

    async def prove(self, caller: Caller) -> None:
        """Raise the refusal if the API takes none of the caller's keys. The question costs nothing."""
        keys = keys_of(caller)
        if any(key.text in self._proven for key in keys):
            return
        proven = await self.ring.ask(keys, self._asked, Terms(model=MODELS, trace=current_trace()))
        if len(self._proven) >= MAX_PROVEN:
            self._proven.clear()
        self._proven.add(proven.text)

    async def _asked(self, key: Key) -> Key:
        await self.api.get(key, MODELS)
        return key

    async def aclose(self) -> None:
        await self.api.aclose()


def keys_of(caller: Caller) -> tuple[Key, ...]:
    """Return the keys that a request may use: the owner's, or the ones that the caller brought."""
    return tuple(map(Key, caller.official_keys))
