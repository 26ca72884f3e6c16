"""One request's way from account to account, until one serves it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import uniform

from lib.chat.caller import Caller
from lib.errors import GatewayError, UpstreamUnreachable
from lib.trace import current_trace
from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.chatglm.accounts.callers import for_caller
from lib.upstreams.chatglm.accounts.client import LeasedAccount, Renewals
from lib.upstreams.chatglm.accounts.pool import Pool
from lib.upstreams.chatglm.accounts.tokens import AccessTokens
from lib.upstreams.chatglm.wire.client import ChatGLM

RETRY_PAUSE_S = (0.3, 0.8)
"""A request pauses so long before it asks the same account a second time."""

MAX_UNREACHED = 2
"""An upstream that cannot be reached is no account's fault: another account would not reach it either."""


class _Candidate:
    """One account, and how the request has fared with it."""

    def __init__(self, account: Account, renewals: Renewals, tries: int) -> None:
        self.account = account
        self.renewals = renewals
        self.tries_left = tries
        self.was_asked = False


class Rotation:
    """Leases one account after another.

        while True:
            leased = await rotation.lease()
            try:
                return await answer(leased)
            except GatewayError as error:
                refusal = await leased.recover(error)
                await leased.release()
                await rotation.go_on(leased.account, refusal)

    `lease` and `go_on` raise the refusal that the caller gets in the end.
    """

    def __init__(
        self,
        candidates: Sequence[Account],
        caller: Caller,
        pool: Pool,
        tokens: AccessTokens,
        upstream: ChatGLM,
        *,
        until: float,
        tries: int = 2,
    ) -> None:
        """Try each account at most `tries` times; wait for a free one until `until`, in the loop's time."""
        self._candidates = {
            account.label: _Candidate(account, Renewals(account, tokens), tries) for account in candidates
        }
        self._caller = caller
        self._pool = pool
        self._tokens = tokens
        self._upstream = upstream
        self._until = until
        self._refusal: GatewayError | None = None
        self._unreached = 0

    async def lease(self) -> LeasedAccount:
        """Lease the next account. If no account can be had, raise the last refusal, or else the reason."""
        accounts = [candidate.account for candidate in self._candidates.values()]
        excluded = {label for label, candidate in self._candidates.items() if not candidate.tries_left}
        wait_s = max(0.0, self._until - asyncio.get_running_loop().time())
        try:
            lease = await self._pool.acquire(accounts, wait_s=wait_s, excluded=excluded)
        except GatewayError as unavailable:
            raise for_caller(self._refusal or unavailable, self._caller) from None
        candidate = self._candidates[lease.account.label]
        candidate.was_asked = True
        current_trace().tried(lease.account.label)
        return LeasedAccount(
            lease,
            self._tokens,
            self._upstream,
            cool_downs=self._pool.cool_downs,
            renewals=candidate.renewals,
        )

    async def go_on(self, account: Account, refusal: GatewayError) -> None:
        """Take a refusal of this account. Raise it if no account can help, else pause if that helps."""
        self._refusal = refusal
        refused = self._candidates[account.label]
        refused.tries_left = refused.tries_left - 1 if refusal.retry == "again" else 0
        left = [candidate for candidate in self._candidates.values() if candidate.tries_left]
        self._unreached += isinstance(refusal, UpstreamUnreachable)
        if refusal.retry == "never" or not left or self._unreached >= MAX_UNREACHED:
            raise for_caller(refusal, self._caller)
        if refusal.retry == "again" and len(left) == 1 and left[0].was_asked:
            await asyncio.sleep(uniform(*RETRY_PAUSE_S))
