"""JSON Web Tokens as chatglm.cn issues them: HS256, nothing else."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import msgspec

REFRESH_LIFETIME_S = 180 * 24 * 3600
ACCESS_LIFETIME_S = 24 * 3600
"""Measured 2026-09 (protocol.md §1.1)."""

_HEADER = {"alg": "HS256", "typ": "JWT"}


def sign_token(claims: dict[str, Any], secret: bytes) -> str:
    body = f"{_pack(msgspec.json.encode(_HEADER))}.{_pack(msgspec.json.encode(claims))}"
    return f"{body}.{_pack(_digest(body, secret))}"


def read_token(token: str, secret: bytes) -> dict[str, Any] | None:
    """Return the claims of a token that we issued ourselves; None for anything else."""
    body, _, signature = token.rpartition(".")
    if not hmac.compare_digest(_pack(_digest(body, secret)).encode(), signature.encode()):
        return None
    payload = body.rpartition(".")[2]
    claims = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims if isinstance(claims, dict) else None


def _digest(body: str, secret: bytes) -> bytes:
    return hmac.new(secret, body.encode(), hashlib.sha256).digest()


def _pack(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
