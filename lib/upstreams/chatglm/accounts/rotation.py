"""One request's way from account to account, until one serves it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import uniform

from lib.chat.caller import Caller
from lib.errors import AccountRefused, GatewayError, NoAccountAvailable, UpstreamUnreachable
from lib.tasks import run_to_end
from lib.trace import current_trace
from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.chatglm.accounts.callers import for_caller
from lib.upstreams.chatglm.accounts.client import LeasedAccount, Renewals
from lib.upstreams.chatglm.accounts.lease import Lease
from lib.upstreams.chatglm.accounts.pool import Pool
from lib.upstreams.chatglm.accounts.roster import News
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
        news: News | None = None,
    ) -> None:
        """Try each account at most `tries` times; wait for a free one until `until`, in the loop's time.

        `news`: the accounts of the owner may change on the way.
        """
        self._candidates: dict[str, _Candidate] = {}
        self._caller = caller
        self._pool = pool
        self._tokens = tokens
        self._upstream = upstream
        self._until = until
        self._tries = tries
        self._news = news
        self._refusal: GatewayError | None = None
        self._unreached = 0
        self._take(candidates)

    async def lease(self) -> LeasedAccount:
        """Lease the next account. If no account can be had, raise the last refusal, or else the reason."""
        while True:
            lease = await self._acquire()
            try:
                await self._catch_up()
            except BaseException:  # No caller has the lease yet, so no caller could give it back.
                await run_to_end(lease.release())
                raise
            candidate = self._candidates.get(lease.account.label)
            if candidate is not None and candidate.account == lease.account:
                break
            await lease.release()  # The owner has just removed the account, or replaced its token.
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
        refused = self._candidates.get(account.label)
        if refused is not None and refused.account == account:
            refused.tries_left = refused.tries_left - 1 if refusal.retry == "again" else 0
        self._unreached += isinstance(refusal, UpstreamUnreachable)
        if refusal.retry == "never" or self._unreached >= MAX_UNREACHED:
            raise for_caller(refusal, self._caller)
        if not self._left() and not await self._has_news(refusal):
            raise for_caller(refusal, self._caller)
        left = self._left()
        if refusal.retry == "again" and len(left) == 1 and left[0].was_asked:
            await asyncio.sleep(uniform(*RETRY_PAUSE_S))

    async def _catch_up(self) -> None:
        """Take the list of the owner's accounts, if a reading of it ends soon."""
        if self._news is not None:
            self._take(await self._news.arrived())
            self._news.begin()  # In a new process it goes on beside the upstream's answer.

    async def _acquire(self) -> Lease:
        # Before it waits for a busy account, it takes a look at the list, which may name another one.
        if self._news is not None and self._news.is_coming:
            try:
                return await self._try(wait_s=0.0)
            except GatewayError:
                self._news.begin()
                self._take(await self._news.arrived())
        if self._news is not None and not self._candidates:
            raise self._news.none
        wait_s = max(0.0, self._until - asyncio.get_running_loop().time())
        try:
            return await self._try(wait_s=wait_s)
        except GatewayError as unavailable:
            if await self._has_news(unavailable):
                return await self._acquire()
            raise for_caller(self._refusal or unavailable, self._caller) from None

    async def _try(self, *, wait_s: float) -> Lease:
        accounts = [candidate.account for candidate in self._candidates.values()]
        excluded = {label for label, candidate in self._candidates.items() if not candidate.tries_left}
        return await self._pool.acquire(accounts, wait_s=wait_s, excluded=excluded)

    async def _has_news(self, refusal: GatewayError) -> bool:
        """Tell if the owner has meanwhile given an account, or a token, that this request has not tried."""
        if self._news is None or not isinstance(refusal, AccountRefused | NoAccountAvailable):
            return False
        return self._take(await self._news.asked_for())

    def _take(self, accounts: Sequence[Account]) -> bool:
        """Let these be the candidates. Tell if any of them is new to the request."""
        before = self._candidates
        self._candidates = {}
        for account in accounts:
            known = before.get(account.label)
            if known is None or known.account != account:
                known = _Candidate(account, Renewals(account, self._tokens), self._tries)
            self._candidates[account.label] = known
        return any(candidate is not before.get(label) for label, candidate in self._candidates.items())

    def _left(self) -> list[_Candidate]:
        return [candidate for candidate in self._candidates.values() if candidate.tries_left]
