"""sqlite:///path: a file that the processes of one machine share, and that survives a restart."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from lib.patience import patience
from lib.store import StoreError

SCHEMA_VERSION = 1
SCHEMA = (
    """
    CREATE TABLE entries (
        key BLOB PRIMARY KEY, value BLOB NOT NULL, expires_at REAL NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE INDEX entries_by_expiry ON entries (expires_at)",
)
BUSY_TIMEOUT_S = 1.8
CALL_TIMEOUT_S = 2.0
"""One operation takes at most so long, with its wait for earlier ones on the thread: a disk may hang."""
PURGE_EVERY = 500
"""So many writes come between two purges. One purge is made at opening, too."""

GET = "SELECT value FROM entries WHERE key = ? AND expires_at > ?"
PUT = """
INSERT INTO entries (key, value, expires_at) VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
"""
ADD = PUT + "WHERE entries.expires_at <= ?"
REPLACE = "UPDATE entries SET value = ?, expires_at = ? WHERE key = ? AND value = ? AND expires_at > ?"
REMOVE = "DELETE FROM entries WHERE key = ? AND value = ? AND expires_at > ?"
PURGE = "DELETE FROM entries WHERE expires_at <= ?"

T = TypeVar("T")
log = logging.getLogger("glm_gateway")


class SqliteError(StoreError):
    """The file cannot be opened, read or written, or not in time."""


class SqliteStore:
    """Every statement is one transaction; all run on one thread of its own, never on an event loop."""

    def __init__(
        self,
        path: str,
        *,
        now: Callable[[], float] = time.time,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self._path = Path(path).absolute()  # a later chdir must not make a second database
        self._now = now
        self.busy_timeout_s = busy_timeout_s
        self.call_timeout_s = call_timeout_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite-store")
        self._connection: sqlite3.Connection | None = None
        self._opened_file: tuple[int, int] | None = None
        """The device and the number of the file that the connection has open."""
        self._opened_journal: tuple[int, int] | None = None
        self._writes = 0

    async def get(self, key: str) -> str | None:
        now = self._now()
        return await self._run(lambda: self._get(_bytes(key), now))

    async def put(self, key: str, value: str, *, ttl_s: float, instead_of: str | None = None) -> bool:
        now = self._now()
        if instead_of is None:
            return await self._run(lambda: self._write(PUT, _bytes(key), _bytes(value), now + ttl_s))
        held = (_bytes(key), _bytes(instead_of), now)
        return await self._run(lambda: self._write(REPLACE, _bytes(value), now + ttl_s, *held))

    async def add(self, key: str, value: str, *, ttl_s: float) -> bool:
        now = self._now()
        return await self._run(lambda: self._write(ADD, _bytes(key), _bytes(value), now + ttl_s, now))

    async def remove(self, key: str, value: str) -> bool:
        now = self._now()
        return await self._run(lambda: self._write(REMOVE, _bytes(key), _bytes(value), now))

    async def close(self) -> None:
        """Close the database. A second close does nothing; any other operation after it is an error."""
        with suppress(SqliteError):  # closed before
            await self._run(self._disconnect)
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[], T]) -> T:
        """Have the thread do it. After the time limit the thread skips it, or ends it for no caller."""
        try:
            job = asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, work)
        except RuntimeError:
            raise SqliteError("the store is closed") from None
        try:
            async with patience(self.call_timeout_s):
                return await job
        except TimeoutError:
            raise SqliteError(f"no answer within {self.call_timeout_s:g} s") from None

    def _guarded(self, work: Callable[[], T]) -> T:
        """After an error other than a lock begin anew: the file may have been mended, moved or put back."""
        try:
            return work()
        except sqlite3.Error as error:
            if not _is_busy(error):
                self._disconnect()
            if _is_no_database(error):
                self._set_aside()
            raise SqliteError(str(error)) from error
        except OSError as error:
            raise SqliteError(f"{type(error).__name__}: {error.strerror}") from error

    def _get(self, key: bytes, now: float) -> str | None:
        row = self._connected().execute(GET, (key, now)).fetchone()
        return None if row is None else bytes(row[0]).decode("utf-8", "surrogatepass")

    def _write(self, statement: str, *parameters: bytes | float) -> bool:
        connection = self._connected()
        changed = connection.execute(statement, parameters).rowcount
        self._writes += 1
        if self._writes % PURGE_EVERY == 0:
            connection.execute(PURGE, (self._now(),))
        return changed == 1

    def _connected(self) -> sqlite3.Connection:
        """Open at the first use, again if that failed, and if another file is at the path, or none."""
        if self._connection is not None and _file_at(self._path) != self._opened_file:
            self._leave_file()
        if self._connection is None:
            self._connection = self._connect()
            self._opened_journal = _file_at(self._beside("-wal"))
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        _make_private_file(self._path)
        self._opened_file = _file_at(self._path)
        connection = sqlite3.connect(self._path, timeout=self.busy_timeout_s, isolation_level=None)
        try:
            _use_wal(connection, self.busy_timeout_s)
            connection.execute("PRAGMA synchronous = NORMAL")
            _prepare_schema(connection)
            connection.execute(PURGE, (self._now(),))
        except BaseException:
            connection.close()
            raise
        return connection

    def _leave_file(self) -> None:
        """Close a file that was replaced, and remove its journal: sqlite would apply it to the new file."""
        journals = [self._beside(suffix) for suffix in ("-wal", "-shm")]
        ours = [_file_at(journal) for journal in journals]
        is_ours = self._opened_journal is not None and ours[0] == self._opened_journal
        self._disconnect()
        for journal, file in zip(journals, ours, strict=True):
            if is_ours and file is not None and _file_at(journal) == file:
                journal.unlink()

    def _beside(self, suffix: str) -> Path:
        return self._path.with_name(self._path.name + suffix)

    def _set_aside(self) -> None:
        """Move a file that is no database out of the way, unless another process has done so."""
        if self._opened_file is None or _file_at(self._path) != self._opened_file:
            return
        aside = f"{self._path.name}.broken-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(self._now()))}"
        log.warning("the store's file is no database: it was moved to %s, and a new one begins", aside)
        for suffix in ("", "-wal", "-shm"):
            with suppress(OSError):
                self._beside(suffix).rename(self._path.with_name(aside + suffix))

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _bytes(text: str) -> bytes:
    """As BLOB: JSON can carry a lone surrogate, TEXT cannot."""
    return text.encode("utf-8", "surrogatepass")


def _is_busy(error: sqlite3.Error) -> bool:
    """Tell if another connection has the lock; the higher bits of the code name the kind of lock."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _is_no_database(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


def _file_at(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _make_private_file(path: Path) -> None:
    """Make the file private: it holds refresh tokens. sqlite gives -wal and -shm the same mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        with suppress(OSError):  # a mounted volume may not know modes
            os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _use_wal(connection: sqlite3.Connection, timeout_s: float) -> None:
    """Switch the journal. If two processes do so at once, sqlite does not wait, so we do."""
    give_up_at = time.monotonic() + timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() > give_up_at:
                raise
            time.sleep(0.01)
        else:
            return


def _prepare_schema(connection: sqlite3.Connection) -> None:
    with connection:
        # If several new processes start together, one makes the table and the others find it.
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, SCHEMA_VERSION):
            raise SqliteError(
                f"expected a store of schema {SCHEMA_VERSION}, got {version}: a newer gateway's?"
            )
        if version == 0:
            for statement in SCHEMA:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
