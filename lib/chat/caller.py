"""The caller of a request, and the accounts that it may use."""

from __future__ import annotations

import msgspec

MAX_TOKEN_CHARS = 4_096
"""The upstream's tokens have some 300 characters. The process remembers nothing of a longer text."""


class Caller(msgspec.Struct, frozen=True):
    """The authority of a request: its refresh tokens, and if they belong to the gateway's owner."""

    refresh_tokens: tuple[str, ...]
    is_owner: bool
    key: str = ""
    """The key of API_KEYS in the request. Two keys to the owner's accounts are two callers."""

    def __repr__(self) -> str:
        return f"Caller(accounts={len(self.refresh_tokens)}, is_owner={self.is_owner})"
