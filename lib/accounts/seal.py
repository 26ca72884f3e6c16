"""What a store outside this machine gets to see of an account's tokens: ciphertext.

The key is derived from the refresh token that the owner gave, which is itself never stored: whoever reads the
store, or a copy of it, learns nothing without it. A record is bound to its place, so that one account's
cannot be put in another's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from typing import Protocol

from lib.accounts.account import Account

VERSION = b"\x01"
"""AES-256-GCM, 96-bit random nonce, key by HKDF-SHA256 (RFC 5869) of the given refresh token."""
NONCE_BYTES = 12
PURPOSE = b"glm-gateway: token chain"


class Seal(Protocol):
    """How a record is written down."""

    def close(self, account: Account, place: str, text: str) -> str: ...

    def open(self, account: Account, place: str, sealed: str) -> str | None:
        """Return the text; None for what is tampered with, foreign, or of another version."""
        ...


class Unsealed:
    """For a store within this machine: the file's own permissions protect it as they do the environment."""

    def close(self, _account: Account, _place: str, text: str) -> str:
        return text

    def open(self, _account: Account, _place: str, sealed: str) -> str | None:
        return sealed


class AesGcmSeal:
    """For a store that others run."""

    def close(self, account: Account, place: str, text: str) -> str:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # 30 ms: only where it is used

        nonce = os.urandom(NONCE_BYTES)
        sealed = AESGCM(_key(account)).encrypt(nonce, text.encode(), VERSION + place.encode())
        return base64.b64encode(VERSION + nonce + sealed).decode()

    def open(self, account: Account, place: str, sealed: str) -> str | None:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            record = base64.b64decode(sealed, validate=True)
        except (binascii.Error, ValueError):
            return None
        if record[:1] != VERSION or len(record) <= 1 + NONCE_BYTES:
            return None
        nonce, ciphertext = record[1 : 1 + NONCE_BYTES], record[1 + NONCE_BYTES :]
        try:
            return AESGCM(_key(account)).decrypt(nonce, ciphertext, VERSION + place.encode()).decode()
        except InvalidTag:
            return None


def _key(account: Account) -> bytes:
    """Extract and expand to one block, which is as long as the key."""
    extracted = hmac.digest(hashlib.sha256(PURPOSE).digest(), account.refresh_token.encode(), "sha256")
    return hmac.digest(extracted, PURPOSE + b"\x01", "sha256")
