"""A text that any one of several secrets opens: sealed under a random key, of which each secret has a copy.

A new envelope has a new random key. So a secret that was taken away opens only the envelopes that it opened
before.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence

import msgspec

from lib.store.seal import AesSivSeal, Place

_SEAL = AesSivSeal()
_TEXT, _COPY = "envelope: text", "envelope: key"
_PURPOSE_OF_NAMES = b"glm-gateway: envelope: "
_NAME_CHARS = 16


class Secret(msgspec.Struct, frozen=True):
    """One secret that opens envelopes."""

    text: str

    def __repr__(self) -> str:
        return "Secret(…)"

    @property
    def name(self) -> str:
        """Names the copy of this secret. It tells nothing that the copy itself does not tell."""
        return hashlib.sha256(_PURPOSE_OF_NAMES + self.text.encode()).hexdigest()[:_NAME_CHARS]

    @property
    def place(self) -> Place:
        return Place(_COPY, self.text)


class Envelope(msgspec.Struct, frozen=True):
    copies: Mapping[str, str]
    """The random key, sealed under each secret, by the secret's name."""
    sealed: str
    """The text, sealed under the random key."""

    def open(self, opening: Sequence[Secret]) -> str | None:
        """Return the text; None if no secret opens it, or if it was tampered with."""
        for secret in opening:
            copy = self.copies.get(secret.name)
            key = None if copy is None else _SEAL.open(secret.place, copy)
            if key is not None:
                return _SEAL.open(Place(_TEXT, key), self.sealed)
        return None

    def is_for(self, wanted: Sequence[Secret]) -> bool:
        """Tell if exactly these secrets have a copy."""
        return set(self.copies) == {secret.name for secret in wanted}


def enclose(
    text: str, wanted: Sequence[Secret], *, new_key: Callable[[], str] = lambda: secrets.token_hex(32)
) -> Envelope:
    """Seal the text for these secrets."""
    key = new_key()
    copies = {secret.name: _SEAL.close(secret.place, key) for secret in wanted}
    return Envelope(copies, _SEAL.close(Place(_TEXT, key), text))
