"""The keys of the official API, and the name that logs and headers use in their place."""

from __future__ import annotations

import hashlib

import msgspec


class Key(msgspec.Struct, frozen=True):
    """One key. Its text stands in no log and in no message."""

    text: str

    @property
    def label(self) -> str:
        """Name the key. The part before the dot is the key's id, and the part after it is the secret."""
        return hashlib.sha256(self.text.partition(".")[0].encode()).hexdigest()[:8]

    def __repr__(self) -> str:
        return f"Key({self.label})"
