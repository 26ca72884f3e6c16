"""Checking a refresh token without using it up: through the same rotation as every request."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from lib.errors import AccountRefused, NoAccountAvailable
from lib.upstreams.chatglm.accounts.account import Account, parse_account, place_by_token
from lib.upstreams.chatglm.gateway import Gateway
from lib.upstreams.chatglm.wire.client import ChatGLM
from lib.upstreams.condition import TokenStatus

CHECK_TTL_S = 600.0
"""How long an answer is remembered: the upstream is asked at most that often for one token."""


async def check_tokens(
    refresh_tokens: tuple[str, ...], gateway: Gateway, *, is_fresh: bool = False
) -> list[TokenStatus]:
    """Check each token, one after the other: the upstream dislikes bursts. `is_fresh`: as it is right now."""
    if not refresh_tokens:
        raise NoAccountAvailable("No account is configured: CHATGLM_REFRESH_TOKENS is empty.")
    return [await _check(token, gateway, is_fresh=is_fresh) for token in refresh_tokens]


async def _check(refresh_token: str, gateway: Gateway, *, is_fresh: bool) -> TokenStatus:
    """Say whether the token's account can be used; raises where the upstream does not tell."""
    dead = TokenStatus(live=False, expires_at=None, guest=False, blocked=False)
    if refresh_token.count(".") != 2:  # no token; an API key, perhaps, which the upstream must not see
        return dead
    try:
        account = parse_account(refresh_token)
    except AccountRefused:
        return dead
    async with gateway.locks.of(f"check:{account.key}"):  # Two checks at once ask the upstream once.
        place = place_by_token("check", account)
        known = None if is_fresh else await gateway.memory.recall(place)
        if known is not None:
            with suppress(msgspec.DecodeError):  # of another version's form
                return msgspec.json.decode(known, type=TokenStatus)
        status = await _ask(account, gateway)
        await gateway.memory.keep(place, msgspec.json.encode(status).decode(), ttl_s=CHECK_TTL_S)
        return status


async def _ask(account: Account, gateway: Gateway) -> TokenStatus:
    try:
        info = await gateway.client(account).call(ChatGLM.user_info)
    except AccountRefused as error:
        return TokenStatus(live=False, expires_at=None, guest=error.code == "guest_account", blocked=False)
    if info.is_blocked:
        await gateway.pool.cool_downs.blocked(account)
    else:
        await gateway.pool.cool_downs.cleared(account)
    expires_at = await gateway.tokens.peek(account)
    return TokenStatus(
        live=not info.is_blocked and not info.is_guest,
        expires_at=None if expires_at is None else int(expires_at),
        guest=info.is_guest,
        blocked=info.is_blocked,
    )
