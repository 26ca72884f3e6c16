"""What a refusal says about its account, and what it is to whoever asked."""

from __future__ import annotations

from lib.chat.caller import Caller
from lib.errors import (
    AccountBusy,
    AccountRefused,
    GatewayError,
    NoAccountAvailable,
    Throttled,
    UpstreamRejected,
)
from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.chatglm.gateway import Gateway


async def note_refusal(error: GatewayError, account: Account, gateway: Gateway) -> GatewayError:
    """Remember what a failure says about its account; return it, or what a look at the account tells."""
    match error:
        case AccountBusy():
            await gateway.pool.cool_downs.busy_elsewhere(account)
        case Throttled():
            await gateway.pool.cool_downs.throttled(account)
        case AccountRefused():
            await gateway.pool.cool_downs.refused(account, error.code or "")
        case UpstreamRejected() if error.retry == "elsewhere":
            return await _reason_of(error, account, gateway)
    return error


def for_caller(error: GatewayError, caller: Caller) -> GatewayError:
    """The owner's accounts are not the caller's fault."""
    if caller.is_owner and isinstance(error, AccountRefused):
        return NoAccountAvailable(
            f"No account of this gateway can be used: {error.message}", number=error.number
        )
    return error


async def _reason_of(refusal: GatewayError, account: Account, gateway: Gateway) -> GatewayError:
    """Ask whether an account was refused for being blocked; then it is left alone until it is checked."""
    try:
        info = await gateway.authorized(account, gateway.upstream.user_info)
    except GatewayError:
        return refusal
    if not info.is_blocked:
        return refusal
    await gateway.pool.cool_downs.blocked(account)
    message = f"The upstream has blocked account {account.label}."
    return AccountRefused(message, code="account_blocked", number=refusal.number)
