"""The condition of accounts, keys, the store and the clock, as an upstream reports it."""

from __future__ import annotations

from typing import Literal

import msgspec

State = Literal["alive", "guest", "blocked", "refused", "unusable", "unknown", "not_checked"]


class TokenStatus(msgspec.Struct, frozen=True):
    live: bool
    expires_at: int | None
    """The account's current refresh token ends then (Unix time), if the token says so."""
    guest: bool
    blocked: bool


class AccountHealth(msgspec.Struct, frozen=True, kw_only=True):
    token: int
    """The place of its token in CHATGLM_REFRESH_TOKENS, from 1."""
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


class KeyHealth(msgspec.Struct, frozen=True, kw_only=True):
    key: int
    """The place of the key in GLM_API_KEYS, from 1."""
    label: str
    state: Literal["alive", "refused", "unknown", "not_checked"]
    problem: str | None = None


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
