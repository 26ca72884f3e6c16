"""The models and the drawing styles that the upstream offers, as this process last saw them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

import msgspec

from lib.errors import GatewayError
from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.chatglm.accounts.client import AccountClient
from lib.upstreams.chatglm.wire.client import ChatGLM, Session
from lib.upstreams.chatglm.wire.drawing import CONFIG, read_styles
from lib.upstreams.chatglm.wire.models import BUILT_IN_MODELS

MODELS_TTL_S = 600.0
MODELS_RETRY_S = 30.0
"""The list that was known serves so long after a failure."""
MODELS_TRIES = 3
"""So many accounts are asked for the list."""
MAX_LISTS = 1000
"""Callers with tokens of their own have lists of their own. A list that was forgotten is asked for again."""
STYLES_TTL_S = 3600.0

ClientOf = Callable[[Account], AccountClient]

log = logging.getLogger("glm_gateway")


class _List(msgspec.Struct, frozen=True):
    names: tuple[str, ...]
    fresh_until: float


class ModelLists:
    """The names of the models, a list for each caller's first account."""

    def __init__(self, client_of: ClientOf, *, max_lists: int = MAX_LISTS) -> None:
        self._client_of = client_of
        self._max_lists = max_lists
        self._lists: dict[str, _List] = {}

    def known(self, accounts: tuple[Account, ...]) -> tuple[str, ...]:
        """Return the list without asking the upstream."""
        listed = self._lists.get(accounts[0].key) if accounts else None
        return BUILT_IN_MODELS if listed is None else listed.names

    async def offered(self, accounts: tuple[Account, ...]) -> tuple[str, ...]:
        """Return the models that these accounts are offered; ask every ten minutes at most."""
        known = self.known(accounts)
        if not accounts or self._is_fresh(accounts[0].key):
            return known
        # Set before the call: requests meanwhile take the known list, and a failure is not repeated at once.
        self._keep(accounts[0].key, known, MODELS_RETRY_S)
        for account in accounts[:MODELS_TRIES]:
            try:
                offered = await self._client_of(account).call(ChatGLM.available_models)
            except GatewayError as error:
                log.warning("models not fetched", extra={"error": error.summary, "account": account.label})
            else:
                known = offered or known
                self._keep(accounts[0].key, known, MODELS_TTL_S)
                break
        return known

    def _is_fresh(self, key: str) -> bool:
        return key in self._lists and monotonic() < self._lists[key].fresh_until

    def _keep(self, key: str, names: tuple[str, ...], ttl_s: float) -> None:
        if len(self._lists) >= self._max_lists:
            self._lists.clear()
        self._lists[key] = _List(names, monotonic() + ttl_s)


class Styles:
    """The upstream's own names of its drawing styles."""

    def __init__(self, client_of: ClientOf) -> None:
        self._client_of = client_of
        self._known: dict[str, str] = {}
        self._fresh_until = float("-inf")

    async def find(self, wanted: str, account: Account) -> str:
        """Return the upstream's name of a style; a style that its list does not have is sent as it is."""
        if monotonic() >= self._fresh_until:
            self._fresh_until = monotonic() + STYLES_TTL_S
            try:
                config = await self._client_of(account).call(_drawing_config)
            except GatewayError as error:
                log.warning("styles not fetched", extra={"error": error.summary})
            else:
                self._known = read_styles(config) or self._known
        return self._known.get(wanted.casefold(), wanted)


async def _drawing_config(upstream: ChatGLM, session: Session) -> object:
    result: object = await upstream.call("GET", CONFIG, session)
    return result
