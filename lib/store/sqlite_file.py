"""The file of a sqlite store: made private, compared with the one at its path, set aside if it is broken."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HEADER = b"SQLite format 3\0"
"""Every database begins with these bytes (sqlite.org/fileformat2.html, 1.3)."""
COMPANIONS = ("-wal", "-shm", "-journal")
"""sqlite would read these files of one database as those of the next one at the same path, and break it."""
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
"""Windows would read text."""

log = logging.getLogger("glm_gateway")


class DatabaseFile:
    """Holds the file open beside sqlite. Close it after sqlite's connection.

    The order matters: if a process closes any descriptor of a file, it loses all its locks on the file
    (sqlite.org/howtocorrupt.html, 2.2).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = _open(path)
        # It holds refresh tokens. sqlite gives its companions the same mode.
        if hasattr(os, "fchmod"):  # Windows before Python 3.13 has none: the folder's own rights count there.
            with suppress(OSError):  # A mounted volume may not know modes.
                os.fchmod(self._descriptor, 0o600)
        self._log: os.stat_result | None = None

    def is_at_its_path(self) -> bool:
        """Return False if the file was deleted or replaced: a write to it would be lost."""
        return _is_at(self._path, os.fstat(self._descriptor))

    def is_whole(self) -> bool:
        """Return False if it is no database, or no longer. sqlite may not notice that: it remembers pages."""
        # A new file is empty. One with companions was emptied: sqlite makes them after the header. So look
        # for them first: another process may make both between the two looks.
        is_new = not _companion(self._path, "-shm").exists()
        os.lseek(self._descriptor, 0, os.SEEK_SET)  # Windows has no pread.
        header = os.read(self._descriptor, len(HEADER))
        return header == HEADER or (is_new and not header)

    def note_companions(self) -> None:
        """Remember the companions that this database has by now."""
        with suppress(FileNotFoundError):
            self._log = _companion(self._path, "-wal").stat()

    def part_from_companions(self) -> None:
        """Rename the companions that this file has left at its path, before the next file is opened there."""
        with _locked(self._path.parent):
            if self._log is not None and _is_at(_companion(self._path, "-wal"), self._log):
                _set_aside(self._path, COMPANIONS)

    def set_aside(self) -> None:
        """Rename the file and its companions. If another process has done so, do nothing."""
        with _locked(self._path.parent):
            if self.is_at_its_path():
                kept = _set_aside(self._path, ("", *COMPANIONS))
                log.warning("the store's file was no database, or a broken one; it was set aside as %s", kept)

    def close(self) -> None:
        os.close(self._descriptor)


def _open(path: Path) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        with _locked(path.parent):
            if not path.exists():
                _set_aside(path, COMPANIONS)  # The owner deleted or moved the file alone.
            return os.open(path, _FLAGS, 0o600)
    return os.open(path, _FLAGS, 0o600)


def _companion(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _is_at(path: Path, file: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), file)
    except FileNotFoundError:
        return False


def _set_aside(path: Path, suffixes: tuple[str, ...]) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    kept = path.with_name(f"{path.name}.broken-{stamp}")
    for suffix in suffixes:
        with suppress(FileNotFoundError):
            _companion(path, suffix).rename(_companion(kept, suffix))
    return kept


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Exclude other processes: a slow one would set aside the new file that a fast one has made.

    Windows has no such locks, and several processes do not serve there (hosts/box/server.py).
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # A mounted volume may not know locks.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
