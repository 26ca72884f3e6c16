"""GET and POST /tokens, DELETE /tokens/{label}: the owner's accounts, as JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from lib.dialects.json_body import decode_body
from lib.errors import InvalidRequest


class _Body(msgspec.Struct):
    token: str | None = None

    def __repr__(self) -> str:
        return "_Body(…)"


_decoder = msgspec.json.Decoder(_Body)


def parse_new_token(body: bytes) -> str:
    """Return the token to add. Spaces around it are no part of it: people copy them, too."""
    token = (decode_body(body or b"{}", _decoder).token or "").strip()
    if not token:
        raise InvalidRequest(
            'Expected {"token": "…"} with a refresh token: copy the cookie chatglm_refresh_token.',
            code="invalid_token",
            param="token",
        )
    return token


def render_tokens(answer: Any) -> bytes:
    """Write one account, or the list of all."""
    return msgspec.json.encode(answer)
