"""Who asks, and on whose accounts."""

from __future__ import annotations

import msgspec


class Caller(msgspec.Struct, frozen=True):
    """A request's authority: the refresh tokens it may use, and whether they are the gateway owner's."""

    refresh_tokens: tuple[str, ...]
    is_owner: bool
    key: str = ""
    """The one of API_KEYS that was presented: two keys to the owner's accounts are two callers."""

    def __repr__(self) -> str:
        return f"Caller(accounts={len(self.refresh_tokens)}, is_owner={self.is_owner})"
