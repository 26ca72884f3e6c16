"""Proofs that a caller's token is of the account that it names."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from lib.chat.caller import Caller
from lib.errors import AccountRefused, GatewayError, Throttled, UpstreamUnreachable
from lib.upstreams.chatglm.accounts.account import Account, require_form
from lib.upstreams.chatglm.accounts.cooldowns import CoolDownBook
from lib.upstreams.chatglm.accounts.tokens import AccessTokens

MAX_PROVEN = 4_000
"""So many proven tokens are remembered; the store is asked for a token that was forgotten."""


class StrangerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The budget of a process for tokens that it does not know. A test passes its own."""

    at_once: int = 30
    every_s: float = 2.0
    """One more each time: a person brings a new token once in half a year."""
    in_one_request: int = 4
    """A request asks about so many new tokens. Each costs up to seven commands of the store. The next
    request asks about the others."""


class Proofs:
    """The tokens that the upstream has taken. Anyone can write a token with another account's name in it."""

    def __init__(
        self,
        tokens: AccessTokens,
        cool_downs: CoolDownBook,
        *,
        max_proven: int = MAX_PROVEN,
        limits: StrangerLimits | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._tokens = tokens
        self._cool_downs = cool_downs
        self._max_proven = max_proven
        self._proven: dict[str, None] = {}  # A set that keeps its order.
        self._limits = limits or StrangerLimits()
        self._now = now
        self._free_at = float("-inf")
        """The time at which the whole budget is there again."""

    def __len__(self) -> int:
        return len(self._proven)

    async def proven(self, accounts: tuple[Account, ...], caller: Caller) -> tuple[Account, ...]:
        """Return the accounts whose tokens the upstream has taken; raise the refusal if it took no token.

        An account that is not proven must not be leased or cooled down. The owner's accounts need no proof.
        """
        if caller.is_owner:
            return accounts
        proven: list[Account] = []
        refusal: GatewayError | None = None
        new = 0
        for account in accounts:
            if not self._is_remembered(account):
                new += 1
                if new > self._limits.in_one_request:
                    continue
            try:
                await self._prove(account)
            except UpstreamUnreachable:  # Another token would not reach it either.
                if proven:
                    break
                raise
            except GatewayError as error:
                refusal = error
            else:
                proven.append(account)
        if refusal is not None and not proven:
            raise refusal
        return tuple(proven)

    def _is_remembered(self, account: Account) -> bool:
        return account.key in self._proven or self._tokens.remembers(account)

    async def admit(self, account: Account, *, is_owners: bool = False) -> None:
        """Look at a token before the upstream is asked about it.

        Unknown tokens have a budget. The owner's are not in it: strangers must not use it up for the owner.
        """
        require_form(account)
        if account.key not in self._proven and not await self._tokens.is_known(account):
            self._require_life(account)
            if not is_owners:
                self._spend(self._now())

    def _require_life(self, account: Account) -> None:
        if account.expires_at is None or account.expires_at <= self._now():
            raise AccountRefused("This refresh token has expired. Log in again and take the new one.")

    async def _prove(self, account: Account) -> None:
        require_form(account)
        if account.key not in self._proven and not await self._tokens.is_known(account):
            stranger = account.by_token()
            if (cooling := await self._cool_downs.cooling(stranger)) is not None:
                raise AccountRefused("The upstream has just refused this token.", code=cooling.code)
            self._require_life(account)
            self._spend(self._now())
            try:
                await self._tokens.get(stranger)
            except AccountRefused as error:
                await self._cool_downs.refused(stranger, error.code)
                raise
        self._proven[account.key] = None
        if len(self._proven) > self._max_proven:
            del self._proven[next(iter(self._proven))]

    def _spend(self, now: float) -> None:
        """Take one from the budget. Raise Throttled if nothing is left of it."""
        limits = self._limits
        begin = max(now, min(self._free_at, now + limits.at_once * limits.every_s))  # A clock may go back.
        wait_s = begin + limits.every_s - now - limits.at_once * limits.every_s
        if wait_s > 0:
            raise Throttled(
                "Too many new refresh tokens come to this gateway. Wait, and send yours again.",
                code="too_many_attempts",
                retry_after_s=wait_s,
                retry="never",
            )
        self._free_at = begin + limits.every_s
