"""The owner's list of accounts: look at it, add a token after the upstream has taken it, remove one."""

from __future__ import annotations

from time import time

from lib.chat.caller import MAX_TOKEN_CHARS
from lib.errors import AccountRefused, Conflict, GatewayError, InvalidRequest, NoAccountAvailable, NotFound
from lib.store.circuit import REST_S
from lib.upstreams.chatglm.accounts.account import Account, parse_account, require_form
from lib.upstreams.chatglm.accounts.roster import Member
from lib.upstreams.chatglm.check import ask_about, remember, remembered
from lib.upstreams.chatglm.gateway import Gateway
from lib.upstreams.condition import OwnAccount, OwnAccounts, TokenStatus, Use

_USES: dict[str | None, Use] = {
    "throttled": "resting",
    "busy": "busy",
    "refused": "refused",
    "blocked": "blocked",
}
"""By the reason of a cool-down."""
_ENDLESS = ("blocked",)
"""These states end when the owner does something, and not at a known time."""


async def list_accounts(gateway: Gateway) -> OwnAccounts:
    """Return the accounts as the store has them now. The upstream is not asked."""
    await gateway.roster.read()
    found = [await _described(gateway, member) for member in gateway.roster.members]
    why = await _why_not(gateway)
    return OwnAccounts(tuple(found), can_add=why is None, why=why)


async def add_account(gateway: Gateway, refresh_token: str) -> tuple[OwnAccount, bool]:
    """Keep a token that the upstream takes. Return its account, and if it replaced an earlier token.

    Raises InvalidRequest for a token that cannot be used, and Conflict if it could not be kept.
    """
    if not gateway.settings.keeps_accounts:
        raise Conflict(await _why_not(gateway) or "", code="store_not_persistent")
    account = _parsed(refresh_token)
    async with gateway.locks.of(f"add:{account.label}"):
        await _require_store(gateway)
        await gateway.roster.read()
        gateway.roster.require_new(account)
        await remember(account, await _require_taken(gateway, account), gateway)
        member, replaced = await gateway.roster.add(account)
    return await _described(gateway, member), replaced


async def remove_account(gateway: Gateway, label: str) -> None:
    """Forget an account that was added at run time."""
    await gateway.roster.read()
    member = gateway.roster.member(label)
    if member is not None and member.source == "environment":
        raise Conflict(
            f"Account {label} is in CHATGLM_REFRESH_TOKENS. Remove it there.", code="account_of_environment"
        )
    if member is None:
        raise NotFound("There is no account with this label.", param="label")
    await gateway.roster.remove(label)


async def _why_not(gateway: Gateway) -> str | None:
    if not gateway.settings.keeps_accounts:
        return (
            "STORE_URL is memory://: an account that is added now would be lost when the process ends. Set "
            "STORE_URL to a store that lasts."
        )
    problem = await gateway.memory.probe()
    return None if problem is None else f"The store {problem}. Until it works, no account can be added."


async def _require_store(gateway: Gateway) -> None:
    """Raise if the store fails: the check ends the given token, and its successor must be kept."""
    if (why := await _why_not(gateway)) is not None:
        raise NoAccountAvailable(why, code="store_unavailable", retry_after_s=REST_S)


def _parsed(refresh_token: str) -> Account:
    try:
        if len(refresh_token) > MAX_TOKEN_CHARS:
            raise AccountRefused(
                f"A refresh token has at most {MAX_TOKEN_CHARS:,} characters. Copy the cookie "
                "chatglm_refresh_token alone.",
                code="invalid_api_key",
            )
        account = parse_account(refresh_token)
        require_form(account)
    except AccountRefused as error:
        raise _as_request(error) from None
    if account.expires_at is None:
        raise _invalid("This refresh token does not say when it ends. Copy the cookie chatglm_refresh_token.")
    return account


async def _require_taken(gateway: Gateway, account: Account) -> TokenStatus:
    """Ask the upstream for the account's page. Raise the reason if the account cannot be used."""
    try:
        await gateway.proofs.admit(account, is_owners=True)
        status = await ask_about(account, gateway)
    except AccountRefused as error:
        raise _as_request(error) from error
    if status.guest:
        raise InvalidRequest(
            f"Account {account.label} is a guest's: log in at chatglm.cn, and take the refresh token then.",
            code="guest_account",
            param="token",
        )
    if status.blocked:
        raise InvalidRequest(
            f"The upstream has blocked account {account.label}: see what chatglm.cn says when you log in.",
            code="account_blocked",
            param="token",
        )
    return status


def _as_request(error: GatewayError) -> InvalidRequest:
    """A refused token is here a mistake in the request: the caller's key is right."""
    if error.code == "invalid_api_key":
        return _invalid(error.message)
    return InvalidRequest(error.message, code=error.code, param="token", number=error.number)


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest(message, code="invalid_token", param="token")


async def _described(gateway: Gateway, member: Member) -> OwnAccount:
    account = member.account
    status = await gateway.pool.status(account)
    expires_at = await gateway.tokens.peek(account)
    state: Use = "ready"
    match status.state:
        case "cooling":
            state = _USES[status.reason]
        case "leased":
            state = "busy"
        case "free":
            state = await _state_of_free(gateway, account)
    until = None if state in _ENDLESS else status.until
    return OwnAccount(
        label=account.label,
        source=member.source,
        state=state,
        until=None if until is None else int(until),
        expires_at=None if expires_at is None else int(expires_at),
    )


async def _state_of_free(gateway: Gateway, account: Account) -> Use:
    """Look at the last check, and at the tokens. Without either, the account may have any state."""
    check = await remembered(account, gateway)
    if check is not None and not check.live:
        return "blocked" if check.blocked else "refused"
    if gateway.tokens.is_guest(account):
        return "refused"
    if check is not None or await gateway.tokens.is_known(account):
        return "ready"
    return "refused" if (account.expires_at or time() + 1) <= time() else "unknown"
