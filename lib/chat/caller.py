"""The caller of a request, and the accounts and keys that it may use."""

from __future__ import annotations

import re

import msgspec

MAX_TOKEN_CHARS = 4_096
"""The upstream's tokens have some 300 characters. The process remembers nothing of a longer text."""


_OFFICIAL_KEY = re.compile(r"[0-9a-f]{32}\.[A-Za-z0-9]{8,64}")
"""A refresh token of chatglm.cn is a JWT: it has two dots. Keys of both of the vendor's hosts look alike."""


def is_official_key(credential: str) -> bool:
    """Tell whether a credential has the form of a key of the official API."""
    return _OFFICIAL_KEY.fullmatch(credential) is not None


class Caller(msgspec.Struct, frozen=True):
    """The authority of a request: its tokens and keys, and if they belong to the gateway's owner."""

    refresh_tokens: tuple[str, ...]
    is_owner: bool
    key: str = ""
    """The key of API_KEYS in the request. Two keys to the owner's accounts are two callers."""
    official_keys: tuple[str, ...] = ()
    """The keys of the vendor's official API."""

    def __repr__(self) -> str:
        counts = f"accounts={len(self.refresh_tokens)}, official_keys={len(self.official_keys)}"
        return f"Caller({counts}, is_owner={self.is_owner})"
