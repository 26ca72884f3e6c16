"""What is sqlite's own: the file, restarts, several processes."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest

from lib.store import open_store
from lib.store.settings import SqliteSettings
from lib.store.sqlite import MAX_SET_ASIDE, PURGE_EVERY, SqliteBusy, SqliteError, SqliteStore, _use_wal

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(str(path))
    yield store
    await store.close()


def select(path: Path, query: str) -> list[object]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute(query)]


def modes(folder: Path) -> dict[str, int]:
    return {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in folder.iterdir()}


def write(path: Path, content: bytes) -> None:
    path.touch(mode=0o644)
    path.write_bytes(content)


async def test_entries_survive_a_restart_and_keep_their_time(path: Path) -> None:
    time = 1000.0
    before = SqliteStore(str(path), now=lambda: time)
    await before.put("long", "value", ttl_s=600)
    await before.put("short", "value", ttl_s=60)
    await before.close()

    time += 60
    after = SqliteStore(str(path), now=lambda: time)
    assert await after.get("long") == "value"
    assert await after.get("short") is None
    await after.close()


async def test_a_relative_path_is_of_the_directory_at_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store(SqliteSettings("new/folder/store.db"))
    monkeypatch.chdir("/")
    await store.put("key", "value", ttl_s=60)
    await store.close()
    assert select(tmp_path / "new/folder/store.db", "SELECT value FROM entries") == [b"value"]


async def test_nothing_is_made_before_the_first_operation(path: Path) -> None:
    store = open_store(SqliteSettings(f"{path}"))
    assert modes(path.parent) == {}
    await store.close()
    assert modes(path.parent) == {}


async def test_only_the_owner_can_read_the_files(store: SqliteStore, path: Path) -> None:
    write(path, b"")
    await store.put("key", "value", ttl_s=60)
    assert modes(path.parent) == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}


async def test_a_made_directory_is_the_owners_alone(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "made" / "store.db"))
    await store.get("key")
    await store.close()
    assert modes(tmp_path) == {"made": 0o700}


async def test_expired_rows_are_purged_now_and_then(path: Path) -> None:
    time = 1000.0
    store = SqliteStore(str(path), now=lambda: time)
    await store.put("kept", "value", ttl_s=10_000)
    for number in range(PURGE_EVERY - 2):
        await store.put(str(number), "value", ttl_s=1)
    time += 1
    assert len(select(path, "SELECT key FROM entries")) == PURGE_EVERY - 1
    await store.put("last", "value", ttl_s=1)
    assert select(path, "SELECT key FROM entries ORDER BY key") == [b"kept", b"last"]

    time += 1
    await store.close()
    again = SqliteStore(str(path), now=lambda: time)
    await again.get("any")
    assert select(path, "SELECT key FROM entries") == [b"kept"]
    await again.close()


async def test_the_journal_is_wal_and_the_schema_has_its_version(store: SqliteStore, path: Path) -> None:
    await store.get("key")
    assert select(path, "PRAGMA journal_mode") == ["wal"]
    assert select(path, "PRAGMA user_version") == [1]


async def test_a_database_of_a_newer_gateway_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    store = SqliteStore(str(path))
    with pytest.raises(SqliteError, match="schema 1, got 2"):
        await store.get("key")
    await store.close()
    assert select(path, "SELECT name FROM sqlite_master") == []


def set_aside(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.broken-*Z"))


async def test_a_file_that_is_no_database_is_set_aside_with_a_warning(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    junk = b"not a database" * 100
    write(path, junk)
    store = SqliteStore(str(path))
    with caplog.at_level(logging.WARNING):
        assert await store.put("key", "value", ttl_s=60)
        assert await store.get("key") == "value"
    await store.close()
    [kept] = set_aside(path)
    assert kept.read_bytes() == junk
    assert [record.getMessage() for record in caplog.records] == [
        f"the store's file was no database, or a broken one; it was set aside as {kept}"
    ]
    assert select(path, "SELECT value FROM entries") == [b"value"]
    assert modes(path.parent)["store.db"] == 0o600


def delete(path: Path) -> None:
    path.unlink()


def delete_all(path: Path) -> None:
    for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        name.unlink()


def replace_by_a_database(path: Path) -> None:
    other = path.with_name("other.db")
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE foreign_to_us (x)")
    other.replace(path)
    for name in (Path(f"{path}-wal"), Path(f"{path}-shm")):
        name.unlink()


def replace_by_a_backup(path: Path) -> None:
    """Leave the companions of the file there, as an owner does who restores it."""
    other = path.with_name("other.db")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(other)) as target:
        source.backup(target)
        target.execute("DELETE FROM entries")
        target.commit()
    other.replace(path)


def replace_by_junk(path: Path) -> None:
    other = path.with_name("other.db")
    other.write_bytes(b"junk" * 5000)
    other.replace(path)


def overwrite(path: Path) -> None:
    path.write_bytes(b"junk" * 5000)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def break_its_pages(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(4096)
        file.write(b"junk" * ((size - 4096) // 4))


FATES = [
    delete,
    delete_all,
    replace_by_a_database,
    replace_by_a_backup,
    replace_by_junk,
    overwrite,
    empty,
    break_its_pages,
]


@pytest.mark.parametrize("fate", FATES, ids=[fate.__name__ for fate in FATES])
async def test_what_is_written_after_the_file_was_lost_is_in_the_file_at_its_path(
    path: Path, fate: Callable[[Path], None]
) -> None:
    here, there = SqliteStore(str(path)), SqliteStore(str(path))
    for number in range(100):
        await here.put(f"before {number}", "value" * 100, ttl_s=60)
    assert await there.get("before 0")
    fate(path)
    for number in range(100):  # Two processes, in turn.
        store, other = (here, there) if number % 2 else (there, here)
        assert await store.put(f"after {number}", "value", ttl_s=60)
        assert await other.get(f"after {number}") == "value"
    await here.close()
    assert await there.get("after 99") == "value"
    await there.close()
    assert select(path, "PRAGMA integrity_check") == ["ok"]
    assert len(select(path, "SELECT key FROM entries WHERE CAST(key AS TEXT) LIKE 'after%'")) == 100


async def test_a_disk_that_breaks_every_file_is_not_filled_with_them(path: Path) -> None:
    store = SqliteStore(str(path))
    for number in range(MAX_SET_ASIDE):
        write(path, b"junk" * 5000)
        assert await store.put("key", "value", ttl_s=60)
        for kept in set_aside(path):  # Two may have the name of one second.
            kept.rename(path.with_name(f"kept {number}"))
    write(path, b"junk" * 5000)
    with pytest.raises(SqliteError, match="file is not a database"):
        await store.get("key")
    await store.close()
    assert set_aside(path) == []


async def test_a_locked_database_is_waited_for_and_then_an_error(path: Path) -> None:
    store = SqliteStore(str(path), busy_timeout_s=0.03)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SqliteError, match="locked"):
            await store.get("key")
        patient = SqliteStore(str(path))
        waiting = asyncio.ensure_future(patient.add("key", "value", ttl_s=60))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        other.execute("COMMIT")
        assert await waiting is True
    await store.close()
    await patient.close()


def test_a_journal_that_another_process_switches_is_tried_again(path: Path) -> None:
    with (
        closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other,
        closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as impatient,
    ):
        other.execute("BEGIN EXCLUSIVE")
        timer = threading.Timer(0.02, other.execute, ["COMMIT"])
        timer.start()
        _use_wal(impatient, 5)
        timer.join()
        assert impatient.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_journal_that_cannot_be_switched_is_an_error_at_once(path: Path) -> None:
    write(path, b"")
    with (
        closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as readonly,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        _use_wal(readonly, 5)


async def test_a_lock_in_mid_life_costs_no_connection(store: SqliteStore, path: Path) -> None:
    await store.put("key", "value", ttl_s=60)
    connection = store._connection
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        # Fetched: a cursor that this thread frees can hide the error of the store's own thread.
        await store._run(lambda: store._connected().execute("PRAGMA busy_timeout = 10").fetchone())
        with pytest.raises(SqliteBusy, match=r"^database is locked$"):
            await store.put("key", "s3cret", ttl_s=60)
        assert await store.get("key") == "value"
    assert await store.put("key", "new", ttl_s=60, instead_of="value") is True
    assert store._connection is connection


async def test_a_disk_that_hangs_keeps_nobody_waiting_and_does_nothing_later(path: Path) -> None:
    store = SqliteStore(str(path), call_timeout_s=0.05)
    disk = threading.Event()
    hanging = store._thread.submit(disk.wait, 30)
    tried = (store.put(str(number), "value", ttl_s=60) for number in range(20))
    failures = await asyncio.gather(*tried, return_exceptions=True)
    assert {str(failure) for failure in failures} == {"no answer within 0.05 s"}
    assert {type(failure) for failure in failures} == {SqliteBusy}
    disk.set()
    hanging.result(10)
    store.call_timeout_s = 20
    assert await store.get("0") is None
    assert await store.add("0", "value", ttl_s=60) is True
    await store.close()


class Limited(SqliteStore):
    """A database under a pragma that makes sqlite itself meet a fault, until it is mended."""

    pragma: str | None = None

    def _connect(self) -> sqlite3.Connection:
        connection = super()._connect()
        if self.pragma is not None:
            connection.execute(self.pragma)
        return connection


@pytest.mark.parametrize(
    ("pragma", "message"),
    [
        ("PRAGMA max_page_count = 1", "database or disk is full"),
        ("PRAGMA query_only = ON", "attempt to write a readonly database"),
    ],
    ids=["full", "read-only"],
)
async def test_a_file_that_takes_no_more_is_an_error_and_is_written_again_when_it_does(
    path: Path, pragma: str, message: str
) -> None:
    store = Limited(str(path))
    store.pragma = pragma
    text = "s3cret" * 10_000
    assert await store.get("key") is None
    for _ in range(2):
        with pytest.raises(SqliteError, match=f"^{message}$"):
            await store.put("key", text, ttl_s=60)
        with pytest.raises(SqliteError, match=f"^{message}$"):
            await store.add("key", text, ttl_s=60)
    assert await store.get("key") is None
    store.pragma = None
    with pytest.raises(SqliteError):  # the connection that is limited ends with this
        await store.put("key", text, ttl_s=60)
    assert await store.add("key", text, ttl_s=60) is True
    assert await store.put("key", "new", ttl_s=60, instead_of=text) is True
    await store.close()


async def test_a_place_that_takes_no_file_is_an_error_until_it_does(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    write(folder, b"a file")
    store = SqliteStore(str(folder / "store.db"))
    for _ in range(2):
        with pytest.raises(SqliteError, match=r"^(NotADirectory|FileExists)Error: "):
            await store.get("key")
    folder.unlink()
    assert await store.add("key", "value", ttl_s=60) is True
    await store.close()

    with pytest.raises(SqliteError, match=r"^IsADirectoryError: "):
        await SqliteStore(str(tmp_path)).get("key")


async def test_after_close_an_operation_is_an_error(store: SqliteStore) -> None:
    await store.close()
    with pytest.raises(SqliteError, match="closed"):
        await store.get("key")


async def test_the_event_loop_never_waits_for_the_disk_and_one_thread_does(store: SqliteStore) -> None:
    await asyncio.gather(*(store.put(str(number), "value", ttl_s=60) for number in range(20)))
    assert store._connection is not None
    with pytest.raises(sqlite3.ProgrammingError, match="same thread"):  # sqlite3 itself watches over it
        store._connection.execute("SELECT 1")


WORKER = """
import asyncio, sys
from lib.store import open_store
from lib.store.settings import SqliteSettings

async def main():
    store = open_store(SqliteSettings(sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.readline()
    won = [str(n) for n in range(200) if await store.add(f"key {n}", sys.argv[2], ttl_s=60)]
    await store.close()
    print(" ".join(won))

asyncio.run(main())
"""


def test_of_several_processes_that_add_one_wins_each_key(path: Path) -> None:
    url = f"{path}"
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, url, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        )
        for number in range(4)
    ]
    for worker in workers:  # all have started before any opens the new database
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    won = [worker.communicate()[0].split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4
    assert sorted(int(number) for numbers in won for number in numbers) == list(range(200))
