"""The accounts that a caller may use, and how a refusal of theirs reads to the caller."""

from __future__ import annotations

from lib.chat.caller import Caller
from lib.errors import AccountRefused, GatewayError, NoAccountAvailable
from lib.upstreams.chatglm.accounts.account import Account, owners_account, parse_account


def accounts_of(caller: Caller, *, none: GatewayError | None = None) -> tuple[Account, ...]:
    """Return the accounts of the caller's own tokens. Raise `none` if the caller has no token."""
    accounts: dict[str, Account] = {}
    refusal = none or NoAccountAvailable("The request brings no account.")
    parse = owners_account if caller.is_owner else parse_account
    for token in caller.refresh_tokens:
        try:
            account = parse(token)
        except AccountRefused as error:
            refusal = error  # One wrong token must not shut the door to the others.
            continue
        accounts.setdefault(account.label, account)
    if not accounts:
        raise for_caller(refusal, caller)
    return tuple(accounts.values())


def for_caller(error: GatewayError, caller: Caller) -> GatewayError:
    """Return the error for the caller: a refused account of the owner is not the caller's fault."""
    if caller.is_owner and isinstance(error, AccountRefused):
        return NoAccountAvailable(
            f"No account of this gateway can be used: {error.message}", number=error.number
        )
    return error
