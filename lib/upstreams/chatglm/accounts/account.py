"""One account of chatglm.cn, as its refresh token tells it. Nothing is verified: the upstream does that."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec

from lib.chat.caller import MAX_TOKEN_CHARS
from lib.errors import AccountRefused
from lib.jwt import claims_of
from lib.store.seal import Place

ASSUMED_LIFE_S = 3600.0
"""The life of an access token that does not tell its end, as older clients assumed (protocol.md §1.1)."""
MAX_EXPIRY = 1e11
"""It is in the year 5138: a greater number is not a date in seconds."""
MAX_REMEMBERED = 1_000
"""So many accounts are remembered. Each takes some 1 kB with its token."""
DEVICE_ID = re.compile(r"[0-9A-Za-z_-]{8,64}")
"""It is sent as a header: only harmless characters."""


class Account(msgspec.Struct, frozen=True):
    """An account, and the token that we were given for it."""

    refresh_token: str
    """The token as it was given. AccessTokens knows its successor after a rotation."""
    label: str
    """Names the account in ids, leases and logs: of several tokens of one uid it is the same."""
    key: str
    """Names the given token in the store."""
    device_id: str
    uid: str | None = None
    expires_at: float | None = None
    record: str = ""
    """Names the record of the account's state in the store."""
    is_stranger: bool = False
    """It goes by its token's name alone."""

    def __repr__(self) -> str:
        return f"Account(label={self.label!r})"

    def by_token(self) -> Account:
        """Return it under its token's name alone: anyone can write a token with another account's name."""
        return msgspec.structs.replace(self, label=f"?{self.key[:16]}", uid=None, is_stranger=True)


def place_by_token(kind: str, account: Account) -> Place:
    """Return the place of facts about the token that we were given."""
    return Place(f"{kind}:{account.key}", account.refresh_token)


def field_by_token(kind: str, account: Account) -> Place:
    """Return the place of facts about the token, within the account's record."""
    return Place(f"{kind}:{account.key}", account.refresh_token, account.record)


def field_by_label(kind: str, account: Account) -> Place:
    """Return the place of facts about the account, by any of its tokens, within its record.

    Each token reads its own writing. A stranger's place stands alone: its account is not proven.
    """
    record = "" if account.is_stranger else account.record
    return Place(f"{kind}:{account.label}", account.refresh_token, record)


def parse_account(refresh_token: str) -> Account:
    """Read the claims of the token. Junk is an account too; the upstream will refuse it.

    Raise AccountRefused for an access token: people copy the wrong cookie.
    """
    token = refresh_token.strip()
    claims = claims_of(token)
    if claims.get("type") == "access":
        raise AccountRefused(
            "expected a refresh token, got an access token: copy the cookie chatglm_refresh_token",
            code="invalid_api_key",
        )
    uid = _read_uid(claims)
    device_id = claims.get("device_id")
    if not isinstance(device_id, str) or not DEVICE_ID.fullmatch(device_id):
        device_id = _digest(f"device:{token}")[:32]
    label = _digest(token if uid is None else uid)[:8]
    return Account(
        refresh_token=token,
        label=label,
        key=_digest(token),
        device_id=device_id,
        uid=uid,
        expires_at=_read_expiry(claims),
        record=f"account:{label}",
    )


@lru_cache(MAX_REMEMBERED)  # each request names all of the owner's: a hundred would cost it 4 ms and 40 kB
def owners_account(refresh_token: str) -> Account:
    """Parse a token of the owner, once. The process remembers no token of another caller."""
    return parse_account(refresh_token)


def require_form(account: Account) -> None:
    """Raise AccountRefused for a text that cannot be a refresh token. No store and no upstream is asked."""
    token = account.refresh_token
    if len(token) > MAX_TOKEN_CHARS or token.count(".") != 2 or claims_of(token).get("type") != "refresh":
        raise AccountRefused(
            "This is not a refresh token. Copy the cookie chatglm_refresh_token.", code="invalid_api_key"
        )


def parse_accounts(refresh_tokens: Iterable[str]) -> tuple[Account, ...]:
    """Parse each; of several tokens of one account the first counts."""
    accounts: dict[str, Account] = {}
    for token in refresh_tokens:
        account = parse_account(token)
        accounts.setdefault(account.label, account)
    return tuple(accounts.values())


def token_expiry(jwt: str, *, now: float) -> float:
    """Return the end of the token by its own word; if it says nothing, in an hour."""
    expires_at = read_expiry(jwt)
    return now + ASSUMED_LIFE_S if expires_at is None else expires_at


def read_expiry(jwt: str) -> float | None:
    return _read_expiry(claims_of(jwt))


def _read_uid(claims: dict[str, Any]) -> str | None:
    uid = claims.get("uid")
    return str(uid) if isinstance(uid, str | int) and not isinstance(uid, bool) and uid != "" else None


def _read_expiry(claims: dict[str, Any]) -> float | None:
    exp = claims.get("exp")
    if isinstance(exp, int | float) and not isinstance(exp, bool) and 0 < exp < MAX_EXPIRY:
        return float(exp)
    return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
