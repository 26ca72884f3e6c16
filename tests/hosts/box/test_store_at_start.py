"""A store that cannot work is found before the server serves."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from hosts.box.environment import tried_store
from lib.errors import ConfigurationError
from lib.settings import Settings
from lib.store.settings import RedisSettings, SqliteSettings


def test_a_file_that_can_be_written_needs_no_word(tmp_path: Path) -> None:
    assert tried_store(Settings(store=SqliteSettings(str(tmp_path / "state.db")))) == []
    assert tried_store(Settings()) == []


@pytest.mark.parametrize("name", ["a folder", "below a file"])
def test_a_file_that_cannot_be_written_ends_the_start(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    path = tmp_path if name == "a folder" else tmp_path / "file" / "state.db"
    with pytest.raises(ConfigurationError, match="STORE_URL names a file that cannot keep anything"):
        tried_store(Settings(store=SqliteSettings(str(path))))


def test_a_file_that_is_no_database_is_set_aside_and_the_server_starts(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"no database" * 100)
    assert tried_store(Settings(store=SqliteSettings(str(path)))) == []
    assert [file.name for file in tmp_path.glob("state.db.broken-*")]
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()


def test_a_host_that_does_not_answer_is_a_note() -> None:
    [note] = tried_store(Settings(store=RedisSettings(host="127.0.0.1", port=9)))
    assert note.startswith("STORE_URL (redis) does not work: ")
