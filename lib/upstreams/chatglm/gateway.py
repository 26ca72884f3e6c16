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
from lib.store import Store, open_store
from lib.store.processes import LocalProcesses
from lib.store.seal import seal_for
from lib.store.settings import MemorySettings
from lib.store.shared import Altered, SharedState
from lib.tasks import Locks
from lib.transport.tls import FOR_HTTP
from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.chatglm.accounts.callers import accounts_of
from lib.upstreams.chatglm.accounts.chain import chain_place, learn_chain
from lib.upstreams.chatglm.accounts.client import AccountClient
from lib.upstreams.chatglm.accounts.pool import Pool
from lib.upstreams.chatglm.accounts.proofs import Proofs
from lib.upstreams.chatglm.accounts.roster import News, Roster
from lib.upstreams.chatglm.accounts.rotation import Rotation
from lib.upstreams.chatglm.accounts.stored import StoredAccounts
from lib.upstreams.chatglm.accounts.tokens import AccessTokens, Grant
from lib.upstreams.chatglm.catalogue import ModelLists, Styles, models_place
from lib.upstreams.chatglm.clean_up import CleanUpLimits
from lib.upstreams.chatglm.conversations import label_in
from lib.upstreams.chatglm.wire.client import ChatGLM, Config

if TYPE_CHECKING:
    from lib.files.fetcher import Fetcher


class Gateway:
    """The services of one event loop, under one set of settings."""

    def __init__(self, settings: Settings, *, store: Store | None = None) -> None:
        """`store`: another one than the settings name. A test passes its own."""
        FOR_HTTP.begin()
        self.settings = settings
        self.upstream = ChatGLM(_config(settings))
        self.memory = SharedState(
            open_store(settings.store) if store is None else store,
            now=time,
            seal=seal_for(settings.store.scheme),
            processes=LocalProcesses() if settings.store.is_local else None,
        )
        self.tokens = AccessTokens(self.memory, self._refresh, must_be_kept=self._must_be_kept)
        self.pool = Pool(
            self.memory,
            link=self.tokens.link,
            reads=lambda account: (chain_place(account), models_place(account)),
            learn=self._learn,
        )
        self.roster = Roster(settings.refresh_tokens, self._stored_accounts())
        self.proofs = Proofs(self.tokens, self.pool.cool_downs)
        self.models = ModelLists(self.client, self.memory)
        self.styles = Styles(self.client)
        self.locks = Locks()
        self.clean_up = CleanUpLimits()
        self._fetcher: Fetcher | None = None

    @property
    def fetcher(self) -> Fetcher:
        """The reader of the files that callers name. Most requests name no file, and need no import."""
        if self._fetcher is None:
            from lib.upstreams.fetching import make_fetcher

            self._fetcher = make_fetcher(self.settings)
        return self._fetcher

    def client(self, account: Account) -> AccountClient:
        return AccountClient(account, self.tokens, self.upstream)

    async def accounts(self, caller: Caller, *, conversation_id: str = "") -> tuple[Account, ...]:
        """Return the accounts that the caller may use. Raise the refusal if there is none.

        An account that a conversation's id names, and that this process does not know, may be in the store.
        """
        tokens = caller.refresh_tokens
        accounts = await self.roster.needed(tokens) if caller.is_owner else ()
        label = label_in(conversation_id)
        if accounts and label and label not in {account.label for account in accounts}:
            await self.roster.read()
            accounts = self.roster.of(tokens)
        return accounts or accounts_of(caller, none=self.roster.none())

    def rotation(
        self,
        candidates: Sequence[Account],
        caller: Caller,
        *,
        until: float | None = None,
        tries: int = 2,
        conversation_id: str = "",
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
            news=self._news(caller, conversation_id),
        )

    def _news(self, caller: Caller, conversation_id: str) -> News | None:
        if not caller.is_owner:
            return None
        return News(self.roster, caller.refresh_tokens, label_in(conversation_id))

    async def aclose(self) -> None:
        await self.roster.offer()
        await self.tokens.settle()
        await self.memory.close()
        await self.upstream.aclose()
        if self._fetcher is not None:
            await self._fetcher.aclose()

    def _learn(self, account: Account, altered: Altered) -> None:
        """Take the fields that the step of a lease has read along."""
        learn_chain(self.memory, account, altered)
        self.models.learn(account, altered)

    def _must_be_kept(self, account: Account) -> bool:
        """The owner's login is worth more than one answer, if a store was chosen to keep it."""
        is_kept = not isinstance(self.settings.store, MemorySettings)
        return is_kept and self.roster.owns(account.refresh_token)

    def _stored_accounts(self) -> StoredAccounts | None:
        """Accounts can be added if the owner has a key to ask with, and a store that outlives the process."""
        return StoredAccounts(self.memory, self.settings, now=time) if self.settings.keeps_accounts else None

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
