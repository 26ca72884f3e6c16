"""The seal on the values of a store: every store but the memory of a process sees ciphertext alone.

The key is derived from a secret that is itself never stored: for most entries the refresh token that the
account's owner gave. A copy of the store tells nothing without it. A value is bound to its place: one entry's
value does not open at another.
"""

from __future__ import annotations

import base64
import binascii
from typing import Protocol

import msgspec

VERSION = b"\x02"
"""AES-256-SIV (RFC 5297) under a key by HKDF-SHA256 (RFC 5869); a record is base64 of version and ciphertext.

Version 1 was AES-GCM with a nonce made of the text; it was never released.
"""
KEY_BYTES = 64
"""Two keys of AES-256: one authenticates, one encrypts."""
PURPOSE = b"glm-gateway: store"


class Place(msgspec.Struct, frozen=True):
    """An entry of the store, and the secret that opens it."""

    name: str
    secret: str = ""
    record: str = ""
    """The entry is a field of this record. If it is empty, the entry stands alone."""
    key: bytes = b""
    """The key that was derived from the secret. A place that is remembered has it instead."""

    def __repr__(self) -> str:
        return f"Place({self.name!r})"


class Seal(Protocol):
    """A way to write a value down. One text at one place is always written alike, since stores compare."""

    def close(self, place: Place, text: str) -> str: ...

    def without_secret(self, place: Place) -> Place:
        """Return the place as it may be remembered: it opens the entry, and does not tell the token."""
        ...

    def open(self, place: Place, sealed: str) -> str | None:
        """Return the text; None if the value was tampered with, is foreign, or is of another version."""
        ...


class Unsealed:
    """For the memory of this process."""

    def close(self, _place: Place, text: str) -> str:
        return text

    def without_secret(self, place: Place) -> Place:
        return Place(place.name, record=place.record)

    def open(self, _place: Place, sealed: str) -> str | None:
        return sealed


class AesSivSeal:
    """For a store outside this process.

    SIV needs no nonce: one text at one place is always sealed alike, so the store can compare the value of a
    lease's holder with its own. An observer of the store sees that two values of one entry are equal.
    """

    def close(self, place: Place, text: str) -> str:
        sealed = _cipher(place).encrypt(_bytes(text), _bound_to(place))
        return base64.b64encode(VERSION + sealed).decode()

    def without_secret(self, place: Place) -> Place:
        return place if place.key else Place(place.name, record=place.record, key=_key_of(place.secret))

    def open(self, place: Place, sealed: str) -> str | None:
        from cryptography.exceptions import InvalidTag

        try:
            record = base64.b64decode(sealed, validate=True)
        except (binascii.Error, ValueError):
            return None
        if record[:1] != VERSION:
            return None
        try:
            text = _cipher(place).decrypt(record[1:], _bound_to(place))
        except InvalidTag:
            return None
        return text.decode("utf-8", "surrogatepass")


class FileSeal(AesSivSeal):
    """For a file on this machine: it also opens the records that earlier versions wrote in clear."""

    def open(self, place: Place, sealed: str) -> str | None:
        # A sealed value is base64, and never begins so. Our records are JSON objects.
        return sealed if sealed.startswith("{") else super().open(place, sealed)


def seal_for(scheme: str) -> Seal:
    """Return the seal of a store, by the scheme of its address."""
    match scheme:
        case "memory":
            return Unsealed()
        case "sqlite":
            return FileSeal()
        case _:
            return AesSivSeal()


class _Cipher(Protocol):
    """The library's AESSIV."""

    def encrypt(self, data: bytes, associated_data: list[bytes]) -> bytes: ...

    def decrypt(self, data: bytes, associated_data: list[bytes]) -> bytes: ...


def _cipher(place: Place) -> _Cipher:
    # Imported here: this costs a cold start 12 ms, and a store within the machine does not need it.
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

    return AESSIV(place.key or _key_of(place.secret))


def _key_of(secret: str) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=PURPOSE).derive(_bytes(secret))


def _bound_to(place: Place) -> list[bytes]:
    return [VERSION, _bytes(place.name)]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
