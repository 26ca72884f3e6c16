"""Records of the store: one struct each, as JSON."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

R = TypeVar("R", bound=msgspec.Struct)


class Records(Generic[R]):
    """Writes and reads one kind of record."""

    def __init__(self, kind: type[R]) -> None:
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(kind)

    def encode(self, record: R) -> str:
        return self._encoder.encode(record).decode()

    def decode(self, text: str | None) -> R | None:
        """Return the record; None if it is absent, broken, foreign, or of another version's form."""
        if text is None:
            return None
        try:
            return self._decoder.decode(text)
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors.
            return None
