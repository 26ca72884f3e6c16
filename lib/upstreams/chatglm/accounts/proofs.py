"""Proofs that a caller's token is of the account that it names."""

from __future__ import annotations

from lib.chat.caller import Caller
from lib.errors import AccountRefused, GatewayError
from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.chatglm.accounts.cooldowns import CoolDownBook
from lib.upstreams.chatglm.accounts.tokens import AccessTokens

MAX_PROVEN = 4_000
"""So many proven tokens are remembered; the store is asked for a token that was forgotten."""


class Proofs:
    """The tokens that the upstream has taken. Anyone can write a token with another account's name in it."""

    def __init__(
        self, tokens: AccessTokens, cool_downs: CoolDownBook, *, max_proven: int = MAX_PROVEN
    ) -> None:
        self._tokens = tokens
        self._cool_downs = cool_downs
        self._max_proven = max_proven
        self._proven: dict[str, None] = {}  # A set that keeps its order.

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
        if account.key not in self._proven and not await self._tokens.is_known(account):
            stranger = account.by_token()
            if (cooling := await self._cool_downs.cooling(stranger)) is not None:
                raise AccountRefused("The upstream has just refused this token.", code=cooling.code)
            try:
                await self._tokens.get(stranger)
            except AccountRefused as error:
                await self._cool_downs.refused(stranger, error.code)
                raise
        self._proven[account.key] = None
        if len(self._proven) > self._max_proven:
            del self._proven[next(iter(self._proven))]
