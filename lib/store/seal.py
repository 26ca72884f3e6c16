"""What a store outside this machine gets to see: ciphertext.

The key is derived from a secret that is itself never stored, mostly the refresh token that the account's
owner gave: whoever reads the store, or a copy of it, learns nothing without it. A value is bound to its
place, so that one entry's cannot be put in another's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Protocol

import msgspec

VERSION = b"\x01"
"""AES-256-GCM, key by HKDF-SHA256 (RFC 5869) of the place's secret; base64 of version, nonce, ciphertext."""
NONCE_BYTES = 12
PURPOSE = b"glm-gateway: store"


class Place(msgspec.Struct, frozen=True):
    """An entry of the store, and the secret without which strangers see nothing of it."""

    name: str
    secret: str = ""

    def __repr__(self) -> str:
        return f"Place({self.name!r})"


class Seal(Protocol):
    """How a value is written down; the same text at the same place always alike, since stores compare."""

    def close(self, place: Place, text: str) -> str: ...

    def open(self, place: Place, sealed: str) -> str | None:
        """Return the text; None for what is tampered with, foreign, or of another version."""
        ...


class Unsealed:
    """For a store within this machine: the file's own permissions protect it as they do the environment."""

    def close(self, _place: Place, text: str) -> str:
        return text

    def open(self, _place: Place, sealed: str) -> str | None:
        return sealed


class AesGcmSeal:
    """For a store that others run."""

    def close(self, place: Place, text: str) -> str:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # 30 ms: only where it is used

        key, clear = _derive(place, b"key"), text.encode("utf-8", "surrogatepass")
        bound = VERSION + place.name.encode("utf-8", "surrogatepass")
        # Made of what it encrypts, as in RFC 5297, not by chance: nonces differ wherever the texts do, and
        # the store can compare what a lease's holder says with what it has. That two are equal may be seen.
        digest = hmac.digest(
            _derive(place, b"nonce"), len(bound).to_bytes(4, "big") + bound + clear, "sha256"
        )
        nonce = digest[:NONCE_BYTES]
        return base64.b64encode(VERSION + nonce + AESGCM(key).encrypt(nonce, clear, bound)).decode()

    def open(self, place: Place, sealed: str) -> str | None:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            record = base64.b64decode(sealed, validate=True)
        except (binascii.Error, ValueError):
            return None
        if record[:1] != VERSION or len(record) <= 1 + NONCE_BYTES:
            return None
        nonce, ciphertext = record[1 : 1 + NONCE_BYTES], record[1 + NONCE_BYTES :]
        bound = VERSION + place.name.encode("utf-8", "surrogatepass")
        try:
            clear = AESGCM(_derive(place, b"key")).decrypt(nonce, ciphertext, bound)
        except InvalidTag:
            return None
        return clear.decode("utf-8", "surrogatepass")


def _derive(place: Place, what: bytes) -> bytes:
    """Extract and expand to one block, which is as long as the key."""
    secret = place.secret.encode("utf-8", "surrogatepass")
    extracted = hmac.digest(hashlib.sha256(PURPOSE).digest(), secret, "sha256")
    return hmac.digest(extracted, PURPOSE + b" " + what + b"\x01", "sha256")
