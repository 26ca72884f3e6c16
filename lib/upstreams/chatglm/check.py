"""Checking a refresh token without using it up: through the same rotation as every request."""

from __future__ import annotations

from lib.chat.caller import MAX_TOKEN_CHARS
from lib.errors import AccountRefused
from lib.store.records import Records
from lib.upstreams.chatglm.accounts.account import Account, parse_account, place_by_token
from lib.upstreams.chatglm.gateway import Gateway
from lib.upstreams.chatglm.wire.client import ChatGLM
from lib.upstreams.condition import TokenStatus

CHECK_TTL_S = 600.0
"""An answer is remembered so long: the upstream is asked about one token no more often."""


CHECKS = Records(TokenStatus)
WRONG_FORM = (
    "This is not a refresh token: it has three parts with dots between them. Copy the cookie "
    "chatglm_refresh_token."
)
REFUSED = (
    "chatglm.cn refuses this token. It expired, a newer one replaced it, or its login has ended. Log in "
    "again, and take the new token."
)
GUEST = "This token is a guest's. Log in at chatglm.cn first, then copy the token."
BLOCKED = "chatglm.cn has blocked this account. See what it says when you log in."


async def check_tokens(
    refresh_tokens: tuple[str, ...], gateway: Gateway, *, is_fresh: bool = False, is_owners: bool = False
) -> list[TokenStatus]:
    """Check the tokens one after the other: the upstream dislikes bursts.

    `is_fresh`: ask it in any case. `is_owners`: the owner asks, so the strangers' budget stays as it is.
    """
    if not refresh_tokens:
        raise gateway.roster.none()
    return [await _check(token, gateway, is_fresh=is_fresh, is_owners=is_owners) for token in refresh_tokens]


async def _check(refresh_token: str, gateway: Gateway, *, is_fresh: bool, is_owners: bool) -> TokenStatus:
    """Say whether the token's account can be used; raise if the upstream does not tell."""
    # No token, but perhaps an API key, which the upstream must not see.
    if len(refresh_token) > MAX_TOKEN_CHARS or refresh_token.count(".") != 2:
        return _dead(WRONG_FORM)
    try:
        account = parse_account(refresh_token)
    except AccountRefused as error:
        return _dead(error.message)
    async with gateway.locks.of(f"check:{account.key}"):  # Two checks at once ask the upstream once.
        known = None if is_fresh else await remembered(account, gateway)
        if known is not None:
            return known
        if not gateway.roster.owns(refresh_token):
            try:
                await gateway.proofs.admit(account, is_owners=is_owners)
            except AccountRefused as error:
                return _dead(REFUSED if error.code == AccountRefused.code else error.message)
        status = await _ask(account, gateway)
        await remember(account, status, gateway)
        return status


async def _ask(account: Account, gateway: Gateway) -> TokenStatus:
    try:
        return await ask_about(account, gateway)
    except AccountRefused as error:
        return _dead(GUEST, is_guest=True) if error.code == "guest_account" else _dead(REFUSED)


async def remembered(account: Account, gateway: Gateway) -> TokenStatus | None:
    """Return the answer of the last ten minutes, if there was one."""
    return CHECKS.decode(await gateway.memory.recall(place_by_token("check", account)))


async def remember(account: Account, status: TokenStatus, gateway: Gateway) -> None:
    await gateway.memory.keep(place_by_token("check", account), CHECKS.encode(status), ttl_s=CHECK_TTL_S)


async def ask_about(account: Account, gateway: Gateway) -> TokenStatus:
    """Ask the upstream in any case. Raise AccountRefused if it does not take the token."""
    info = await gateway.client(account).call(ChatGLM.user_info)
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
        reason=BLOCKED if info.is_blocked else GUEST if info.is_guest else None,
    )


def _dead(reason: str, *, is_guest: bool = False) -> TokenStatus:
    return TokenStatus(live=False, expires_at=None, guest=is_guest, blocked=False, reason=reason)
