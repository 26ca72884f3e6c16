"""The upstream's calls as one account makes them: with a live access token, and during a lease."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import time
from typing import Concatenate, ParamSpec, TypeVar

from lib.errors import (
    AccessTokenRefused,
    AccountBusy,
    AccountRefused,
    GatewayError,
    Throttled,
    UpstreamRejected,
)
from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.chatglm.accounts.cooldowns import CoolDownBook
from lib.upstreams.chatglm.accounts.lease import Lease
from lib.upstreams.chatglm.accounts.tokens import AccessTokens
from lib.upstreams.chatglm.wire.client import ChatGLM, Session

MAX_RENEWALS = 4
"""One renewal is enough for a call, unless the token that another instance left is dead, too."""

log = logging.getLogger("glm_gateway")

T = TypeVar("T")
P = ParamSpec("P")

Operation = Callable[Concatenate[ChatGLM, Session, P], Awaitable[T]]
"""One call of the upstream: a method of ChatGLM, or a function of `wire/`."""


class Renewals:
    """The new access tokens that one account gets within one call, or within all turns of one request."""

    def __init__(self, account: Account, tokens: AccessTokens) -> None:
        self._account = account
        self._tokens = tokens
        self._since = time()
        self._refusals = 0

    async def instead_of(self, token: str, refused: AccessTokenRefused) -> str:
        """Return another token. Raise AccountRefused if the upstream would refuse that one as well."""
        self._refusals += 1
        is_fresh = self._refusals > 1 and self._tokens.is_from(self._account, token, self._since)
        if is_fresh or self._refusals > MAX_RENEWALS:
            message = "The upstream refuses this account's fresh access token."
            raise AccountRefused(message, number=refused.number) from refused
        return await self._tokens.renew(self._account, token)


class AccountClient:
    """One account's calls. No lease is needed: for all that generates nothing."""

    def __init__(self, account: Account, tokens: AccessTokens, upstream: ChatGLM) -> None:
        self.account = account
        self._tokens = tokens
        self._upstream = upstream

    async def call(self, operation: Operation[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Make the call with a live access token. If the upstream refuses the token, renew it and repeat."""
        renewals = Renewals(self.account, self._tokens)
        token = await self._tokens.get(self.account)
        while True:
            session = Session(token, self.account.device_id)
            try:
                return await operation(self._upstream, session, *args, **options)
            except AccessTokenRefused as error:
                token = await renewals.instead_of(token, error)


class LeasedAccount(AccountClient):
    """One account during one lease: it begins generations, and notes their refusals.

    The notes are written at the end of the lease, in the same trip.
    """

    def __init__(
        self,
        lease: Lease,
        tokens: AccessTokens,
        upstream: ChatGLM,
        *,
        cool_downs: CoolDownBook,
        renewals: Renewals,
    ) -> None:
        super().__init__(lease.account, tokens, upstream)
        self.lease = lease
        self.token_s = 0.0
        """The last generation waited so long for an access token and its lease."""
        self._cool_downs = cool_downs
        self._renewals = renewals
        self._token = ""
        """The access token of the last generation."""

    async def begin(self, operation: Operation[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Make a call that begins a generation. The lease is confirmed right before each attempt."""
        clock = asyncio.get_running_loop().time
        began_at = clock()

        async def fenced(upstream: ChatGLM, session: Session) -> T:
            self._token = session.access_token
            await self.lease.require()
            self.token_s = clock() - began_at
            return await operation(upstream, session, *args, **options)

        return await self.call(fenced)

    async def prepare(self) -> None:
        """Have an access token before anything else is done: it may have to be fetched first."""
        await self._tokens.get(self.account)

    async def recover(self, error: GatewayError) -> GatewayError:
        """Note a refusal that came before the first content; renew a token that the stream refused."""
        if isinstance(error, AccessTokenRefused):
            try:
                await self._renewals.instead_of(self._token, error)
            except GatewayError as failure:
                return await self.note(failure)
            return error.retrying("again")
        return await self.note(error)

    async def note(self, error: GatewayError) -> GatewayError:
        """Note a failure. Return it, or the reason that the account has."""
        match error:
            case AccountBusy():
                await self.note_generation()
            case Throttled():
                await self._cool_downs.throttled(self.account, at_release=True)
            case AccountRefused():
                await self._cool_downs.refused(self.account, error.code, at_release=True)
            case UpstreamRejected() if error.retry == "elsewhere":
                return await self._reason_of(error)
        return error

    async def note_generation(self) -> None:
        """Remember that a generation may run on the account without a lease of this gateway."""
        await self._cool_downs.busy_elsewhere(self.account, at_release=True)

    async def note_success(self) -> None:
        await self._cool_downs.succeeded(self.account, at_release=True)

    async def renew_ahead(self) -> None:
        """After the last word: replace an access token with little life left. A failure spoils no answer."""
        try:
            await self._tokens.renew_ahead(self.account)
        except GatewayError as error:
            left = {"account": self.account.label, "error": error.summary}
            log.warning("access token not replaced ahead", extra=left)

    async def release(self) -> None:
        await self.lease.release()
        await self._tokens.state.offer()  # After the last word: the store may lack a chain.

    async def _reason_of(self, refusal: GatewayError) -> GatewayError:
        """Ask whether the upstream blocked the account; a blocked one is left alone until it is checked."""
        try:
            info = await self.call(ChatGLM.user_info)
        except GatewayError:
            return refusal
        if not info.is_blocked:
            return refusal
        await self._cool_downs.blocked(self.account, at_release=True)
        message = f"The upstream has blocked account {self.account.label}."
        return AccountRefused(message, code="account_blocked", number=refusal.number)
