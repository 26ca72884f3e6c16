"""The models that the official API offers: the built-in table, and the vendor's list as last seen.

The vendor's list is not complete (2026-08: it has no free model), so neither of both is enough.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import monotonic

import msgspec

from lib.errors import GatewayError
from lib.upstreams.official.wire.client import OfficialAPI
from lib.upstreams.official.wire.keys import Key
from lib.upstreams.official.wire.models import CHAT_MODELS, is_offered

TTL_S = 600.0
RETRY_S = 30.0
"""The list that was known serves so long after a failure."""
TIMEOUT_S = 5.0
MAX_LISTS = 1000
"""Callers with keys of their own have lists of their own. A list that was forgotten is asked for again."""

log = logging.getLogger("glm_gateway")


class _Entry(msgspec.Struct):
    id: str


class _Listed(msgspec.Struct):
    data: list[_Entry]


_decode = msgspec.json.Decoder(_Listed).decode


class _Known(msgspec.Struct, frozen=True):
    names: tuple[str, ...]
    fresh_until: float


class ModelLists:
    """The names of the models, a list for each caller's first key."""

    def __init__(self, api: OfficialAPI) -> None:
        self._api = api
        self._lists: dict[str, _Known] = {}

    def known(self, keys: Sequence[Key]) -> frozenset[str]:
        """Return all names without asking the API."""
        listed = self._lists.get(keys[0].text) if keys else None
        return frozenset((*CHAT_MODELS, *(listed.names if listed else ())))

    async def offered(self, keys: Sequence[Key]) -> tuple[str, ...]:
        """Return all names; ask the API every ten minutes at most."""
        first = keys[0]
        known = self._lists.get(first.text)
        names = known.names if known else ()
        if known is None or monotonic() >= known.fresh_until:
            # Set before the call: requests meanwhile take the known list, and a failure is not repeated.
            self._keep(first, names, RETRY_S)
            try:
                names = await self._fetch(first)
            except GatewayError as error:
                log.warning("models not fetched", extra={"error": error.summary, "account": first.label})
            else:
                self._keep(first, names, TTL_S)
        return tuple(dict.fromkeys((*CHAT_MODELS, *names)))

    async def _fetch(self, key: Key) -> tuple[str, ...]:
        answer = await self._api.get(key, "models", timeout_s=TIMEOUT_S)
        try:
            entries = _decode(answer.body).data
        except msgspec.DecodeError:
            return ()
        return tuple(entry.id.lower() for entry in entries if is_offered(entry.id.lower()))

    def _keep(self, key: Key, names: tuple[str, ...], ttl_s: float) -> None:
        if len(self._lists) >= MAX_LISTS:
            self._lists.clear()
        self._lists[key.text] = _Known(names, monotonic() + ttl_s)
