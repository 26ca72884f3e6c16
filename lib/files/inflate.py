"""Decompression in bounded steps: a few bytes may unpack to gigabytes."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator

STEP_BYTES = 64 * 1024
_GZIP_OR_ZLIB = 47
"""zlib's number for a window of 32 KiB and a header of either format."""


class UnknownEncoding(Exception):
    """The body has an encoding that is neither gzip nor deflate."""


class BrokenCompression(Exception):
    """The bytes are not in the declared encoding, or end too early."""


class Inflater:
    """Unpacks gzip and deflate, never more than a step at a time."""

    def __init__(self) -> None:
        self._decompressor = zlib.decompressobj(_GZIP_OR_ZLIB)

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._decompressor.eof:  # Another gzip member follows. Both are one file (RFC 1952).
                self._decompressor = zlib.decompressobj(_GZIP_OR_ZLIB)
            try:
                piece = self._decompressor.decompress(data, STEP_BYTES)
            except zlib.error as error:
                raise BrokenCompression(str(error)) from error
            data = self._decompressor.unconsumed_tail or self._decompressor.unused_data
            if piece:
                yield piece

    def end(self) -> Iterator[bytes]:
        """Yield the rest; raise if the end is missing."""
        while not self._decompressor.eof:
            piece = self._decompressor.decompress(b"", STEP_BYTES)
            if not piece:
                raise BrokenCompression("it ends too early")
            yield piece


async def unpacked(body: AsyncIterator[bytes], encoding: str) -> AsyncIterator[bytes]:
    """Yield a body of this `content-encoding` in small steps. Some servers compress although we ask for none.

    Raise UnknownEncoding, or BrokenCompression.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        async for piece in body:
            yield piece
        return
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise UnknownEncoding(encoding)
    inflater = Inflater()
    async for packed in body:
        for piece in inflater.feed(packed):
            yield piece
    for piece in inflater.end():
        yield piece
