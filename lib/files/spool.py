"""Keeps a file while it is needed: a small one in memory, a larger one on disk."""

from __future__ import annotations

import asyncio
import errno
import hashlib
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import IO, Self

from lib.errors import RequestTooLarge
from lib.files.names import safe_name

SPOOL_BYTES = 1024 * 1024
"""A file is kept in memory up to this size."""
WRITE_BYTES = 256 * 1024
"""So much is collected before a write, because each write to disk costs a trip to another thread."""


class FetchedFile:
    """A complete file, at position 0. Its receiver closes it."""

    def __init__(self, file: IO[bytes], *, size: int, content_type: str, name: str, digest: str) -> None:
        self.file = file
        self.size = size
        self.content_type = content_type
        """The declared type, without parameters. It may be empty or wrong."""
        self.name = name
        """It is safe to send on, and never empty."""
        self.digest = digest
        """The sha256 of the content, in hex."""

    @property
    def is_in_memory(self) -> bool:
        """Tell whether a read returns without waiting for a disk."""
        return self.size <= SPOOL_BYTES

    def close(self) -> None:
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()


class Spool:
    """Takes a file piece by piece, up to a number of bytes."""

    def __init__(self, max_bytes: int) -> None:
        self.size = 0
        self._max_bytes = max_bytes
        self._file = SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 - handed on, or closed by close()
        self._digest = hashlib.sha256()
        self._collected = bytearray()

    async def write(self, piece: bytes) -> None:
        self._collect(piece)
        if len(self._collected) >= WRITE_BYTES:
            await self._flush_aside()

    def write_now(self, piece: bytes) -> None:
        """Write from a thread that may block."""
        self._collect(piece)
        if len(self._collected) >= WRITE_BYTES:
            self._flush()

    async def finish(self, *, content_type: str, name: str) -> FetchedFile:
        await self._flush_aside()
        return self.finish_now(content_type=content_type, name=name)

    def finish_now(self, *, content_type: str, name: str) -> FetchedFile:
        """Hand the file on. The new owner closes it."""
        self._flush()
        self._file.seek(0)
        return FetchedFile(
            self._file,
            size=self.size,
            content_type=content_type.partition(";")[0].strip().lower(),
            name=safe_name(name),
            digest=self._digest.hexdigest(),
        )

    def close(self) -> None:
        self._file.close()

    def check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise RequestTooLarge(
                f"The file is larger than {self._max_bytes / 1_000_000:.3g} MB ({self._max_bytes} bytes). "
                "MAX_FILE_BYTES sets the limit."
            )

    def _collect(self, piece: bytes) -> None:
        self.size += len(piece)
        self.check_size(self.size)
        self._collected += piece

    async def _flush_aside(self) -> None:
        if self.size > SPOOL_BYTES:
            await asyncio.to_thread(self._flush)
        else:
            self._flush()

    def _flush(self) -> None:
        collected, self._collected = self._collected, bytearray()
        self._digest.update(collected)
        try:
            self._file.write(collected)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise RequestTooLarge("This host's disk has no room for the file.") from error
