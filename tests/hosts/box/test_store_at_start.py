"""A store that cannot work is found before the server serves."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hosts.box.environment import use_local_store
from lib.errors import ConfigurationError
from lib.settings import Settings
from lib.store.settings import MemorySettings, RedisSettings, SqliteSettings, StoreSettings
from lib.upstreams.choose import try_store


def tried(store: StoreSettings) -> str | None:
    return asyncio.run(try_store(Settings(store=store)))


def test_a_file_that_can_be_written_needs_no_word(tmp_path: Path) -> None:
    assert tried(SqliteSettings(str(tmp_path / "state.db"))) is None
    assert tried(MemorySettings()) is None


@pytest.mark.parametrize("name", ["a folder", "below a file"])
def test_a_file_that_cannot_be_written_ends_the_start(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    path = tmp_path if name == "a folder" else tmp_path / "file" / "state.db"
    with pytest.raises(ConfigurationError, match="STORE_URL names a file that cannot keep anything"):
        tried(SqliteSettings(str(path)))


def test_a_file_that_is_no_database_is_set_aside_and_the_server_starts(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"no database" * 100)
    assert tried(SqliteSettings(str(path))) is None
    assert [file.name for file in tmp_path.glob("state.db.broken-*")]
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()


def test_a_host_that_does_not_answer_is_a_note() -> None:
    note = tried(RedisSettings(host="127.0.0.1", port=9))
    assert note is not None
    assert note.startswith("STORE_URL (redis) does not work: ")


def test_a_file_that_another_process_has_locked_is_a_note(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        note = tried(SqliteSettings(str(path)))
        assert note is not None
        assert "database is locked" in note
        other.execute("COMMIT")
        assert tried(SqliteSettings(str(path))) is None


def test_a_folder_that_cannot_be_made_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environ = {"XDG_STATE_HOME": f"{tmp_path}/file"}
    with pytest.raises(ConfigurationError, match=r"The folder of the store, .* cannot be made \("):
        use_local_store(environ)
    assert environ == {"XDG_STATE_HOME": f"{tmp_path}/file"}
