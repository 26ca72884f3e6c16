"""Keys, texts and times in DynamoDB's JSON."""

from __future__ import annotations

import base64
import hashlib
from typing import Any


def id_of(key: str) -> dict[str, Any]:
    """Return the primary key. It is hashed: DynamoDB's keys are 1 to 2048 bytes."""
    return {"id": {"B": base64.b64encode(hashlib.sha256(_bytes(key)).digest()).decode()}}


def content_of(value: str) -> dict[str, str]:
    """Return it as binary: JSON can carry a lone surrogate, DynamoDB's text cannot."""
    return {"B": base64.b64encode(_bytes(value)).decode()}


def text_of(content: dict[str, str]) -> str:
    return base64.b64decode(content["B"]).decode("utf-8", "surrogatepass")


def number_of(value: float) -> dict[str, str]:
    return {"N": repr(value)}


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
