"""The condition of accounts, the store and the clock, as an upstream reports it."""

from __future__ import annotations

from typing import Literal

import msgspec

State = Literal["alive", "guest", "blocked", "refused", "unusable", "unknown", "not_checked"]


class TokenStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    live: bool
    expires_at: int | None
    """The account's current refresh token ends then (Unix time), if the token says so."""
    guest: bool
    blocked: bool
    reason: str | None = None
    """It says why the token is not live, and the next step."""


Source = Literal["environment", "store"]
"""The place of an account's token: CHATGLM_REFRESH_TOKENS, or the store."""

Use = Literal["ready", "busy", "resting", "refused", "blocked", "unknown"]


class OwnAccount(msgspec.Struct, frozen=True):
    """One of the owner's accounts, as the store and this process know it. The upstream is not asked."""

    label: str
    source: Source
    state: Use
    until: int | None
    """It rests until then (Unix time)."""
    expires_at: int | None
    """Its current refresh token ends then (Unix time)."""


class OwnAccounts(msgspec.Struct, frozen=True):
    accounts: tuple[OwnAccount, ...]
    can_add: bool
    why: str | None
    """The reason why no account can be added."""


class AddedAccounts(msgspec.Struct, frozen=True):
    """The accounts that were added at run time."""

    count: int
    """So many are in no setting."""
    is_locked: bool
    """The store holds some, and no secret of the settings opens them."""


class AccountHealth(msgspec.Struct, frozen=True, kw_only=True):
    token: int | None
    """The place of its token in CHATGLM_REFRESH_TOKENS, from 1; None if it was added at run time."""
    label: str | None = None
    state: State
    problem: str | None = None
    is_remembered: bool = False
    """Checked within the last ten minutes, and not again."""
    refresh_token_expires: str | None = None
    days_left: float | None = None
    use: Literal["free", "leased", "cooling"] | None = None
    until: str | None = None
    """It has cooled down then."""
    reason: str | None = None


class StoreHealth(msgspec.Struct, frozen=True):
    scheme: str
    works: bool
    round_trip_ms: float | None
    """A write, a read and a removal."""
    problem: str | None


class ClockHealth(msgspec.Struct, frozen=True):
    offset_s: float | None
    """The upstream's clock is so far ahead of ours."""
    problem: str | None
