"""Looking after the owner's accounts: are they alive, is the store there, is the clock right."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from time import time

from lib.chat.caller import Caller
from lib.errors import AccountRefused, GatewayError
from lib.store.seal import Place
from lib.upstreams.chatglm.accounts.account import Account, parse_account
from lib.upstreams.chatglm.accounts.callers import accounts_of
from lib.upstreams.chatglm.adding import add_account, list_accounts, remove_account
from lib.upstreams.chatglm.check import check_tokens, remembered
from lib.upstreams.chatglm.gateway import Gateway
from lib.upstreams.condition import (
    AccountHealth,
    AddedAccounts,
    ClockHealth,
    OwnAccount,
    OwnAccounts,
    State,
    StoreHealth,
    TokenStatus,
)

PAUSE_S = 0.3
"""The upstream dislikes bursts, so the desk pauses between two accounts that it asks about."""


class AccountDesk:
    """The door for checks. It looks at the accounts of the settings, and at any token."""

    def __init__(self, gateway: Gateway, *, pause_s: float = PAUSE_S) -> None:
        self._gateway = gateway
        self._settings = gateway.settings
        self._pause_s = pause_s

    async def check(self, refresh_tokens: tuple[str, ...], *, is_owners: bool) -> list[TokenStatus]:
        return await check_tokens(refresh_tokens, self._gateway, is_owners=is_owners)

    async def check_own(self, caller: Caller) -> list[TokenStatus]:
        tokens = caller.refresh_tokens
        if caller.is_owner:
            await self._gateway.roster.read()
            tokens = self._gateway.roster.tokens
        return await check_tokens(tokens, self._gateway)

    async def prove(self, caller: Caller) -> None:
        if not caller.is_owner:
            await self._gateway.proofs.proven(accounts_of(caller), caller)

    async def listed(self) -> OwnAccounts:
        return await list_accounts(self._gateway)

    async def add(self, refresh_token: str) -> tuple[OwnAccount, bool]:
        return await add_account(self._gateway, refresh_token)

    async def remove(self, label: str) -> None:
        await remove_account(self._gateway, label)

    async def added(self, within_s: float) -> AddedAccounts:
        roster = self._gateway.roster
        roster.refresh()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await roster.settle()
        labels = {member.account.label for member in roster.members if member.source == "store"}
        return AddedAccounts(len(labels), roster.is_locked)

    async def store_problem(self, within_s: float) -> str | None:
        return await self._gateway.memory.problem_within(within_s)

    async def store(self) -> StoreHealth:
        """Write, read and remove an entry of our own."""
        memory, clock = self._gateway.memory, asyncio.get_running_loop().time
        began_at = clock()
        place, value = Place(f"health:{secrets.token_hex(8)}", secrets.token_hex(16)), secrets.token_hex(8)
        await memory.add(place, value, ttl_s=60.0)
        is_there = await memory.holds(place)
        await memory.remove(place, value)
        problem = memory.problem or (None if is_there else "does not keep what is written")
        took_ms = round((clock() - began_at) * 1000, 1)
        scheme = self._settings.store.scheme
        return StoreHealth(scheme, problem is None, took_ms if problem is None else None, problem)

    async def clock(self, until: float) -> ClockHealth:
        device_id = secrets.token_hex(16)  # A random one: this is no account's business.
        sent_at = time()
        try:
            async with asyncio.timeout_at(until):
                told = await self._gateway.upstream.server_time(device_id)
        except TimeoutError:
            return ClockHealth(None, "There was no time left to ask the upstream.")
        except GatewayError as error:
            return ClockHealth(None, error.message)
        return ClockHealth(round(told - (sent_at + time()) / 2, 1) + 0.0, None)

    async def accounts(self, until: float, *, is_fresh: bool) -> list[AccountHealth]:
        """Check one account after the other until then (loop time)."""
        found: list[AccountHealth] = []
        await self._gateway.roster.read()
        for number, token in self._tokens():
            pauses = bool(found) and not found[-1].is_remembered and found[-1].state != "not_checked"
            await asyncio.sleep(self._pause_s if pauses else 0)
            found.append(await self._account(number, token, until, is_fresh=is_fresh))
        return found

    def _tokens(self) -> Iterator[tuple[int | None, str]]:
        """Return the token in use of each account, with its number in the settings if it is there."""
        roster = self._gateway.roster
        for number, token in enumerate(self._settings.refresh_tokens, 1):
            yield number, roster.in_use(token)
        for member in roster.members:
            if member.source == "store":
                yield None, member.account.refresh_token

    async def _account(
        self, number: int | None, token: str, until: float, *, is_fresh: bool
    ) -> AccountHealth:
        try:
            account = parse_account(token)
        except AccountRefused as error:
            return AccountHealth(token=number, state="unusable", problem=error.message)
        if token.count(".") != 2:
            return AccountHealth(token=number, state="unusable", problem="This is no refresh token.")
        is_remembered, problem = False, None
        try:
            async with asyncio.timeout_at(until):
                state, is_remembered = await self._checked(account, token, is_fresh=is_fresh)
        except TimeoutError:
            state, problem = "not_checked", "There was no time left."
        except GatewayError as error:
            state, problem = "unknown", error.message
        expires_at = await self._gateway.tokens.peek(account)
        use = await self._gateway.pool.status(account)
        return AccountHealth(
            token=number,
            label=account.label,
            state=state,
            problem=problem,
            is_remembered=is_remembered,
            refresh_token_expires=None if expires_at is None else _iso(expires_at)[:10],
            days_left=None if expires_at is None else round((expires_at - time()) / 86400, 1),
            use=use.state,
            until=None if use.until is None else _iso(use.until),
            reason=use.reason,
        )

    async def _checked(self, account: Account, token: str, *, is_fresh: bool) -> tuple[State, bool]:
        """Ask whether the account can be used; return also whether the answer was remembered."""
        known = None if is_fresh else await remembered(account, self._gateway)
        [status] = await check_tokens((token,), self._gateway, is_fresh=is_fresh)
        state: State = "alive" if status.live else "refused"
        if status.guest or status.blocked:
            state = "guest" if status.guest else "blocked"
        return state, known is not None


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
