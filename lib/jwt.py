"""The claims of a JSON Web Token. Nothing is verified: the upstream does that."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

QUOTATION_MARKS = ("'", '"', "“", "‘", "`")
"""`docker run --env-file` keeps them, and people paste them into a host's settings."""
_FORM = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


def claims_of(token: str) -> dict[str, Any]:
    """Read the middle part of the token. Any other text has no claims."""
    _, _, rest = token.partition(".")
    payload, _, _ = rest.partition(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):  # Bad base64, UTF-8 and JSON are all ValueErrors.
        return {}
    return claims if isinstance(claims, dict) else {}


def mistake_in(refresh_token: str) -> str | None:
    """Say in words what is wrong with a text in the place of a refresh token, if its form shows it."""
    if not _FORM.fullmatch(refresh_token) or not (claims := claims_of(refresh_token)):
        if refresh_token.startswith(QUOTATION_MARKS):
            return "begins with a quotation mark, which counts as a part of it"
        return "is not a refresh token (it has three parts with dots between them and begins with eyJ)"
    return "is an access token, not a refresh token" if claims.get("type") == "access" else None
