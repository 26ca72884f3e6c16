"""POST /token/check: the older bridges' request, and their answer with more fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from lib.dialects.json_body import decode_body


class _Body(msgspec.Struct):
    token: str | None = None

    def __repr__(self) -> str:
        return "_Body(…)"


_decoder = msgspec.json.Decoder(_Body)


def parse_token(body: bytes) -> str | None:
    """Return the refresh token to check. None means the caller's own credential."""
    wire = decode_body(body or b"{}", _decoder)
    return wire.token.strip() or None if wire.token else None


def render_checks(checks: Sequence[Any]) -> bytes:
    """Answer with the check. Several accounts have a summary, and each one stands under `accounts`."""
    if len(checks) == 1:
        return msgspec.json.encode(checks[0])
    return msgspec.json.encode(
        {
            "live": any(check.live for check in checks),
            "expires_at": min((check.expires_at for check in checks if check.expires_at), default=None),
            "guest": all(check.guest for check in checks),
            "blocked": all(check.blocked for check in checks),
            "accounts": checks,
        }
    )
