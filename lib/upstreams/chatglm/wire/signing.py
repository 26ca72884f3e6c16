"""The request signature of chatglm.cn's web application (unchanged 2025-04 … 2026-09)."""

from __future__ import annotations

import hashlib


def check_digit_timestamp(now_ms: int) -> str:
    """Return the time with its second-to-last digit replaced by the check digit of the others.

    >>> check_digit_timestamp(1790732179975)
    '1790732179905'
    """
    digits = str(now_ms)
    checked = (sum(map(int, digits)) - int(digits[-2])) % 10
    return f"{digits[:-2]}{checked}{digits[-1]}"


def sign(now_ms: int, nonce: str, secret: str) -> dict[str, str]:
    """Return the three signature headers; `nonce` is 32 hex digits and must never be used again."""
    timestamp = check_digit_timestamp(now_ms)
    digest = hashlib.md5(f"{timestamp}-{nonce}-{secret}".encode(), usedforsecurity=False).hexdigest()
    return {"X-Timestamp": timestamp, "X-Nonce": nonce, "X-Sign": digest}
