"""sqlite:///path: a file that the processes of one machine share, and that survives a restart."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from lib.patience import patience
from lib.store import Change, Outcome, StoreError, latest_end
from lib.store.sqlite_file import DatabaseFile

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
MAX_SET_ASIDE = 3
"""So many broken files are set aside. A disk that breaks every file must not fill up with them."""

GET = "SELECT value FROM entries WHERE key = ? AND expires_at > ?"
PUT = """
INSERT INTO entries (key, value, expires_at) VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
"""
ADD = PUT + "WHERE entries.expires_at <= ? OR entries.expires_at > ?"
REPLACE = "UPDATE entries SET value = ?, expires_at = ? WHERE key = ? AND value = ? AND expires_at > ?"
REMOVE = "DELETE FROM entries WHERE key = ? AND value = ? AND expires_at > ?"
LOOK = "SELECT value, expires_at FROM entries WHERE key = ? AND expires_at > ?"
DROP = "DELETE FROM entries WHERE key = ?"
PURGE = "DELETE FROM entries WHERE expires_at <= ?"

T = TypeVar("T")


class SqliteError(StoreError):
    """The file cannot be opened, read or written, or not in time."""


class SqliteBusy(SqliteError):
    """Another process holds the lock, or the disk hangs. A later try may work."""


class SqliteStore:
    """Every operation is one transaction; all run on one thread of its own, never on an event loop.

    If another file is at the path, or none, the next operation opens that, or makes one. A file that is no
    database, or a broken one, is set aside.
    """

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
        self._file: DatabaseFile | None = None
        self._set_aside = 0
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
        ends = (now + ttl_s, now, latest_end(ttl_s, now))
        return await self._run(lambda: self._write(ADD, _bytes(key), _bytes(value), *ends))

    async def remove(self, key: str, value: str) -> bool:
        now = self._now()
        return await self._run(lambda: self._write(REMOVE, _bytes(key), _bytes(value), now))

    async def alter(self, _record: str, change: Change, /) -> Outcome:
        now = self._now()
        return await self._run(lambda: self._alter(change, now))

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
            raise SqliteBusy(f"no answer within {self.call_timeout_s:g} s") from None

    def _guarded(self, work: Callable[[], T]) -> T:
        """After an error other than a lock begin anew: the file may have been mended, moved or put back."""
        try:
            return self._mending(work)
        except sqlite3.Error as error:
            if _is_busy(error):
                raise SqliteBusy(str(error)) from error
            self._disconnect()
            raise SqliteError(str(error)) from error
        except OSError as error:
            raise SqliteError(f"{type(error).__name__}: {error.strerror}") from error

    def _mending(self, work: Callable[[], T]) -> T:
        """If the file is broken, set it aside and work once more, with a new one."""
        try:
            return work()
        except sqlite3.DatabaseError as error:
            if not _is_broken(error) or self._file is None or self._set_aside >= MAX_SET_ASIDE:
                raise
            self._set_aside += 1
            self._file.set_aside()
            self._disconnect()  # Afterwards: sqlite writes nothing more to a file that was moved.
            return work()

    def _get(self, key: bytes, now: float) -> str | None:
        row = self._connected().execute(GET, (key, now)).fetchone()
        return None if row is None else _text(row[0])

    def _alter(self, change: Change, now: float) -> Outcome:
        connection = self._connected()
        if change.is_read_only and not change.when:
            return Outcome(True, {name: self._get(_bytes(name), now) for name in change.reads})
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            names = {*change.reads, *change.when}
            rows = {name: connection.execute(LOOK, (_bytes(name), now)).fetchone() for name in names}
            found = {name: None if (row := rows[name]) is None else _text(row[0]) for name in change.reads}
            if not all(_meets(rows[name], name, change, now) for name in change.when):
                return Outcome(False, found)
            for name, (value, ttl_s) in change.puts.items():
                self._write(PUT, _bytes(name), _bytes(value), now + ttl_s)
            for name in change.drops:
                self._write(DROP, _bytes(name))
            return Outcome(True, found)

    def _write(self, statement: str, *parameters: bytes | float) -> bool:
        connection = self._connected()
        changed = connection.execute(statement, parameters).rowcount
        self._writes += 1
        if self._writes % PURGE_EVERY == 0:
            connection.execute(PURGE, (self._now(),))
        return changed == 1

    def _connected(self) -> sqlite3.Connection:
        """Open at the first use, and again at the next use if that failed or the file is gone."""
        if self._connection is not None and self._file is not None:
            if not self._file.is_at_its_path():
                self._file.part_from_companions()
                self._disconnect()
            elif not self._file.is_whole():
                raise _not_a_database()
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        self._disconnect()  # An attempt that failed has left the file open.
        self._file = DatabaseFile(self._path)
        if not self._file.is_whole():
            raise _not_a_database()  # sqlite would find a database in the companions of an earlier one.
        connection = sqlite3.connect(self._path, timeout=self.busy_timeout_s, isolation_level=None)
        try:
            _use_wal(connection, self.busy_timeout_s)
            connection.execute("PRAGMA synchronous = NORMAL")
            _prepare_schema(connection)
            connection.execute(PURGE, (self._now(),))
            self._file.note_companions()
        except BaseException:
            connection.close()
            raise
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        file, self._file = self._file, None
        if connection is not None:
            connection.close()
        if file is not None:
            file.close()


def _bytes(text: str) -> bytes:
    """As BLOB: JSON can carry a lone surrogate, TEXT cannot."""
    return text.encode("utf-8", "surrogatepass")


def _text(content: bytes) -> str:
    return bytes(content).decode("utf-8", "surrogatepass")


def _meets(row: tuple[bytes, float] | None, name: str, change: Change, now: float) -> bool:
    allowed = change.when[name]
    if row is None or row[1] > change.end_of_doubt(name, now):
        return None in allowed
    return _text(row[0]) in allowed


def _is_busy(error: sqlite3.Error) -> bool:
    """Tell if another connection has the lock; the higher bits of the code name the kind of lock."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _is_broken(error: sqlite3.Error) -> bool:
    """Tell if the file is no database, or one that cannot be read any more."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


def _not_a_database() -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError("file is not a database")
    error.sqlite_errorcode = sqlite3.SQLITE_NOTADB
    return error


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
