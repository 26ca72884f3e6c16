"""The models and the drawing styles that the upstream offers, as they were last seen."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic, time

import msgspec

from lib.errors import GatewayError
from lib.store.records import Records
from lib.store.seal import Place
from lib.store.shared import Altered, SharedState
from lib.upstreams.chatglm.accounts.account import Account, field_by_token
from lib.upstreams.chatglm.accounts.client import AccountClient
from lib.upstreams.chatglm.wire.client import ChatGLM, Session
from lib.upstreams.chatglm.wire.drawing import CONFIG, read_styles
from lib.upstreams.chatglm.wire.models import BUILT_IN_MODELS

MODELS_TTL_S = 600.0
MODELS_RETRY_S = 30.0
"""The list that was known serves so long after a failure."""
MODELS_TRIES = 3
"""So many accounts are asked for the list."""
LIST_TTL_S = 30 * 86400.0
"""An old list serves until a newer one is fetched, which is done after a request's last word."""
MAX_REMEMBERED_TRIES = 1000
"""Callers with tokens of their own have lists of their own. A try that was forgotten is made again."""
STYLES_TTL_S = 3600.0

ClientOf = Callable[[Account], AccountClient]

log = logging.getLogger("glm_gateway")


class _List(msgspec.Struct, frozen=True):
    names: tuple[str, ...]
    fetched_at: float


LISTS = Records(_List)


def models_place(account: Account) -> Place:
    return field_by_token("models", account)


class ModelLists:
    """The names of the models, a list for each account, in its record: the step of a lease reads it along."""

    def __init__(
        self,
        client_of: ClientOf,
        state: SharedState,
        *,
        now: Callable[[], float] = time,
        max_tries: int = MAX_REMEMBERED_TRIES,
    ) -> None:
        self._client_of = client_of
        self._state = state
        self._now = now
        self._max_tries = max_tries
        self._tried_at: dict[str, float] = {}
        self._looked_up: set[str] = set()

    def known(self, accounts: tuple[Account, ...]) -> tuple[str, ...]:
        """Return a list without asking the store or the upstream."""
        return next((listed.names for listed in map(self._copy, accounts) if listed), BUILT_IN_MODELS)

    def learn(self, account: Account, altered: Altered) -> None:
        """Take the list that a step on the account's record has read."""
        self._state.learn(altered, models_place(account))

    def is_listed(self, accounts: tuple[Account, ...]) -> bool:
        """Tell whether any account's list is known, be it old."""
        return any(map(self._copy, accounts))

    async def look_up(self, accounts: tuple[Account, ...]) -> None:
        """Take the list that another process has kept, once in a process. The upstream is not asked."""
        if not accounts or self.is_listed(accounts) or accounts[0].key in self._looked_up:
            return
        if len(self._looked_up) >= self._max_tries:
            self._looked_up.clear()
        self._looked_up.add(accounts[0].key)
        await self._state.recall(models_place(accounts[0]))

    async def offered(self, accounts: tuple[Account, ...]) -> tuple[str, ...]:
        """Return the models that these accounts are offered; ask every ten minutes at most."""
        if not accounts or self._is_fresh(accounts[0]) or not self._begins(accounts[0]):
            return self.known(accounts)
        await self._state.recall(models_place(accounts[0]))
        if not self._is_fresh(accounts[0]):
            await self._fetch(accounts)
        return self.known(accounts)

    async def _fetch(self, accounts: tuple[Account, ...]) -> None:
        for account in accounts[:MODELS_TRIES]:
            try:
                offered = await self._client_of(account).call(ChatGLM.available_models)
            except GatewayError as error:
                log.warning("models not fetched", extra={"error": error.summary, "account": account.label})
                continue
            if offered:
                listed = LISTS.encode(_List(offered, self._now()))
                await self._state.keep(models_place(accounts[0]), listed, ttl_s=LIST_TTL_S)
            return

    def _copy(self, account: Account) -> _List | None:
        return LISTS.decode(self._state.copy(models_place(account)))

    def _is_fresh(self, account: Account) -> bool:
        listed = self._copy(account)
        return listed is not None and 0 <= self._now() - listed.fetched_at < MODELS_TTL_S

    def _begins(self, account: Account) -> bool:
        """Note a try: requests meanwhile take the known list, and a failure is not repeated at once."""
        if 0 <= self._now() - self._tried_at.get(account.key, float("-inf")) < MODELS_RETRY_S:
            return False
        if len(self._tried_at) >= self._max_tries:
            self._tried_at.clear()
        self._tried_at[account.key] = self._now()
        return True


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
