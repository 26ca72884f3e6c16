"""One entry as the store had it, for a write that counts only if no other process has written meanwhile."""

from __future__ import annotations

import msgspec


class Seen(msgspec.Struct, frozen=True):
    """An entry as the store had it when it was read."""

    answered: bool
    """False: the store failed, and nothing is known."""
    value: str | None = None
    """None: there is no entry, or no seal of ours opens it."""
    sealed: str | None = None

    def __repr__(self) -> str:
        return f"Seen(answered={self.answered}, is_there={self.sealed is not None})"
