"""The services that the requests of one process share: connections, accounts, the store, the known models.

A cold start loses all of it, and every answer is right without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import time
from typing import TYPE_CHECKING

from lib.chat.caller import Caller
from lib.settings import Settings
from lib.store import open_store
from lib.store.seal import AesSivSeal, Unsealed
from lib.store.settings import MemorySettings
from lib.store.shared import SharedState
from lib.tasks import Locks
from lib.transport.tls import FOR_HTTP
from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.chatglm.accounts.client import AccountClient
from lib.upstreams.chatglm.accounts.pool import Pool
from lib.upstreams.chatglm.accounts.proofs import Proofs
from lib.upstreams.chatglm.accounts.rotation import Rotation
from lib.upstreams.chatglm.accounts.tokens import AccessTokens, Grant
from lib.upstreams.chatglm.catalogue import ModelLists, Styles
from lib.upstreams.chatglm.clean_up import CleanUpLimits
from lib.upstreams.chatglm.wire.client import ChatGLM, Config

if TYPE_CHECKING:
    from lib.files.fetcher import Fetcher

FETCH_IDLE_TIMEOUT_S = 30.0
"""A server of files that says nothing for so long is stuck; a model that says nothing may be thinking."""


class Gateway:
    """The services of one event loop, under one set of settings."""

    def __init__(self, settings: Settings) -> None:
        FOR_HTTP.begin()
        self.settings = settings
        self.upstream = ChatGLM(_config(settings))
        self.memory = SharedState(
            open_store(settings.store),
            now=time,
            seal=Unsealed() if settings.store.is_local else AesSivSeal(),
        )
        self.tokens = AccessTokens(self.memory, self._refresh, must_be_kept=self._must_be_kept)
        self.pool = Pool(self.memory, has_chain=self.tokens.has_chain)
        self.proofs = Proofs(self.tokens, self.pool.cool_downs)
        self.models = ModelLists(self.client)
        self.styles = Styles(self.client)
        self.locks = Locks()
        self.clean_up = CleanUpLimits()
        self._fetcher: Fetcher | None = None

    @property
    def fetcher(self) -> Fetcher:
        """The reader of the files that callers name. Most requests name no file, and need no import."""
        if self._fetcher is None:
            from lib.files.fetcher import Fetcher, FetchLimits

            self._fetcher = Fetcher(
                allow_hosts=self.settings.fetch_allow_hosts,
                limits=FetchLimits(
                    connect_s=self.settings.connect_timeout_s,
                    idle_s=min(self.settings.idle_timeout_s, FETCH_IDLE_TIMEOUT_S),
                ),
            )
        return self._fetcher

    def client(self, account: Account) -> AccountClient:
        return AccountClient(account, self.tokens, self.upstream)

    def rotation(
        self, candidates: Sequence[Account], caller: Caller, *, until: float | None = None, tries: int = 2
    ) -> Rotation:
        """Begin a request's way through these accounts; it waits for a free one, no longer than `until`."""
        wait_until = asyncio.get_running_loop().time() + self.settings.account_wait_s
        return Rotation(
            candidates,
            caller,
            self.pool,
            self.tokens,
            self.upstream,
            until=wait_until if until is None else min(wait_until, until),
            tries=tries,
        )

    async def aclose(self) -> None:
        await self.tokens.settle()
        await self.memory.close()
        await self.upstream.aclose()
        if self._fetcher is not None:
            await self._fetcher.aclose()

    def _must_be_kept(self, account: Account) -> bool:
        """The owner's login is worth more than one answer, if a store was chosen to keep it."""
        is_kept = not isinstance(self.settings.store, MemorySettings)
        return is_kept and account.refresh_token in self.settings.refresh_tokens

    async def _refresh(self, account: Account, refresh_token: str) -> Grant:
        tokens = await self.upstream.refresh(refresh_token, account.device_id)
        return Grant(tokens.access_token, tokens.refresh_token, tokens.is_guest)


def _config(settings: Settings) -> Config:
    return Config(
        base_url=settings.base_url,
        sign_secret=settings.sign_secret,
        app_version=settings.app_version,
        user_agent=settings.user_agent,
        assistant_id=settings.assistant_id,
        connect_timeout_s=settings.connect_timeout_s,
        idle_timeout_s=settings.idle_timeout_s,
    )
