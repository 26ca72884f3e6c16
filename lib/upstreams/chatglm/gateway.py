"""What the requests of one process share: connections, accounts, the store, the list of models.

All of it is a hint that a cold start may lose; nothing is wrong when it is gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic, time
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

from lib.chat.caller import Caller
from lib.errors import AccessTokenRefused, AccountRefused, GatewayError, NoAccountAvailable
from lib.settings import Settings
from lib.store import open_store
from lib.store.seal import AesGcmSeal, Unsealed
from lib.store.shared import SharedState
from lib.upstreams.chatglm.accounts.account import Account, parse_account
from lib.upstreams.chatglm.accounts.pool import Pool
from lib.upstreams.chatglm.accounts.tokens import AccessTokens, Grant
from lib.upstreams.chatglm.wire.client import ChatGLM, Config, Session, tls_context
from lib.upstreams.chatglm.wire.models import BUILT_IN_MODELS

if TYPE_CHECKING:
    from lib.files.fetcher import Fetcher

T = TypeVar("T")

MODELS_TTL_S = 600.0
MODELS_RETRY_S = 30.0
"""After a failure; meanwhile the list that was known serves."""
MODELS_TRIES = 3
MOST_LISTS = 1000
"""Callers with tokens of their own have lists of their own; what is forgotten is asked for again."""

MOST_PROVEN = 4_000
"""Of those forgotten the store is asked again."""

MOST_RENEWALS = 4
"""Of one call's access token; one is enough, unless what another instance has left is dead, too."""

FETCH_IDLE_TIMEOUT_S = 30.0
"""A server of files that says nothing for so long is stuck; a model may be thinking."""

log = logging.getLogger("glm_gateway")


class Gateway:
    """The services of one event loop, under one set of settings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        tls = tls_context()
        self.upstream = ChatGLM(
            Config(
                base_url=settings.base_url,
                sign_secret=settings.sign_secret,
                app_version=settings.app_version,
                user_agent=settings.user_agent,
                assistant_id=settings.assistant_id,
                connect_timeout_s=settings.connect_timeout_s,
                idle_timeout_s=settings.idle_timeout_s,
            ),
            tls=tls,
        )
        self._fetcher: Fetcher | None = None
        self.store = open_store(settings.store_url, tls=tls)
        is_local = settings.store_url.startswith(("memory:", "sqlite:"))
        self.memory = SharedState(self.store, now=time, seal=Unsealed() if is_local else AesGcmSeal())
        self.pool = Pool(self.memory)
        self.tokens = AccessTokens(self.memory, self._refresh)
        self._proven: dict[str, None] = {}  # a set that keeps its order
        self._models: dict[str, tuple[str, ...]] = {}  # by the key of who asked
        self._models_fresh_until: dict[str, float] = {}

    @property
    def fetcher(self) -> Fetcher:
        """What reads the files that callers name; most requests name none, and do without its import."""
        if self._fetcher is None:
            from lib.files.fetcher import Fetcher

            self._fetcher = Fetcher(
                allow_hosts=self.settings.fetch_allow_hosts,
                connect_timeout_s=self.settings.connect_timeout_s,
                idle_timeout_s=min(self.settings.idle_timeout_s, FETCH_IDLE_TIMEOUT_S),
                ssl_context=tls_context(),
            )
        return self._fetcher

    async def aclose(self) -> None:
        await self.tokens.settle()
        await self.memory.flush()
        await self.upstream.aclose()
        if self._fetcher is not None:
            await self._fetcher.aclose()
        await self.store.close()

    def accounts_of(self, caller: Caller) -> tuple[Account, ...]:
        """Return the accounts that the caller may use; the owner's key alone opens no account."""
        accounts: dict[str, Account] = {}
        refusal: GatewayError = NoAccountAvailable(
            "No account is configured: CHATGLM_REFRESH_TOKENS is empty."
        )
        for token in caller.refresh_tokens:
            try:
                account = parse_account(token)
            except AccountRefused as error:
                refusal = error  # one wrong token must not shut the door to the others
                continue
            accounts.setdefault(account.label, account)
        if not accounts:
            if caller.is_owner and isinstance(refusal, AccountRefused):
                refusal = NoAccountAvailable(f"No account of this gateway can be used: {refusal.message}")
            raise refusal
        return tuple(accounts.values())

    async def proven(self, accounts: tuple[Account, ...], caller: Caller) -> tuple[Account, ...]:
        """Return those whose tokens the upstream has taken: until then whose they are is the caller's word.

        Without it anybody could lease an account, or cool it down, by a token with that account's name in it.
        Raise why there is none.
        """
        if caller.is_owner:
            return accounts
        proven: list[Account] = []
        refusal: GatewayError | None = None
        for account in accounts:
            try:
                await self._prove(account)
            except GatewayError as error:
                refusal = error
            else:
                proven.append(account)
        if refusal is not None and not proven:
            raise refusal
        return tuple(proven)

    async def _prove(self, account: Account) -> None:
        if account.key not in self._proven and not await self.tokens.is_known(account):
            stranger = account.by_token()
            if (cooling := await self.pool.cool_downs.cooling(stranger)) is not None:
                raise AccountRefused("The upstream has just refused this token.", code=cooling.code)
            try:
                await self.tokens.get(stranger)
            except AccountRefused as error:
                await self.pool.cool_downs.refused(stranger, error.code or "")
                raise
        self._proven[account.key] = None
        if len(self._proven) > MOST_PROVEN:
            del self._proven[next(iter(self._proven))]

    async def authorized(self, account: Account, call: Callable[[Session], Awaitable[T]]) -> T:
        """Make a call with a live access token; one that is refused is renewed, and the call repeated."""
        since, refusals = time(), 0
        token = await self.tokens.get(account)
        while True:
            try:
                return await call(Session(token, account.device_id))
            except AccessTokenRefused as error:
                refusals += 1
                self.raise_if_fresh(account, token, error, since=since, refusals=refusals)
            token = await self.tokens.renew(account, token)

    def raise_if_fresh(
        self, account: Account, token: str, error: AccessTokenRefused, *, since: float, refusals: int
    ) -> None:
        """Raise AccountRefused where another token would be refused as well: this one was made since."""
        is_fresh = refusals > 1 and self.tokens.is_from(account, token, since)
        if is_fresh or refusals > MOST_RENEWALS:
            message = "The upstream refuses this account's fresh access token."
            raise AccountRefused(message, number=error.number) from error

    async def models(self, accounts: tuple[Account, ...]) -> tuple[str, ...]:
        """Return what these accounts are offered, asked every ten minutes at most, or the last list."""
        known = self.known_models(accounts)
        if not accounts or monotonic() < self._models_fresh_until.get(accounts[0].key, 0.0):
            return known
        # Set before the call: whoever asks meanwhile takes what is known; a failure is not repeated at once.
        self._keep_models(accounts[0].key, known, MODELS_RETRY_S)
        for account in accounts[:MODELS_TRIES]:
            try:
                offered = await self.authorized(account, self.upstream.available_models)
            except GatewayError as error:
                log.warning("models not fetched", extra={"error": error.summary, "account": account.label})
            else:
                known = offered or known
                self._keep_models(accounts[0].key, known, MODELS_TTL_S)
                break
        return known

    def known_models(self, accounts: tuple[Account, ...]) -> tuple[str, ...]:
        return self._models.get(accounts[0].key, BUILT_IN_MODELS) if accounts else BUILT_IN_MODELS

    def _keep_models(self, key: str, models: tuple[str, ...], ttl_s: float) -> None:
        if len(self._models) >= MOST_LISTS:
            self._models.clear()
            self._models_fresh_until.clear()
        self._models[key] = models
        self._models_fresh_until[key] = monotonic() + ttl_s

    async def _refresh(self, account: Account, refresh_token: str) -> Grant:
        tokens = await self.upstream.refresh(refresh_token, account.device_id)
        return Grant(tokens.access_token, tokens.refresh_token, tokens.is_guest)


_gateways: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Settings, Gateway]] = WeakKeyDictionary()


def gateway_of(settings: Settings) -> Gateway:
    """Return the running loop's gateway for these settings, made at its first use."""
    gateways = _gateways.setdefault(asyncio.get_running_loop(), {})
    if settings not in gateways:
        gateways[settings] = Gateway(settings)
    return gateways[settings]


async def close_gateways() -> None:
    """Close what the running loop has opened, at the end of a server."""
    for gateway in _gateways.pop(asyncio.get_running_loop(), {}).values():
        await gateway.aclose()
