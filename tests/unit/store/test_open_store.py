from __future__ import annotations

import ssl
import subprocess
import sys

import httpx
import pytest

from lib.store.memory import MemoryStore
from lib.store.redis import RedisStore
from lib.transport.tls import FOR_OTHERS
from tests.unit.store.opening import open_url


def test_memory_names_the_store_of_this_process() -> None:
    assert isinstance(open_url("memory://"), MemoryStore)


def test_rediss_is_encrypted_and_redis_is_not() -> None:
    plain, encrypted = open_url("redis://host"), open_url("rediss://host")
    assert isinstance(plain, RedisStore)
    assert isinstance(encrypted, RedisStore)
    assert not plain._settings.is_encrypted
    assert encrypted._settings.is_encrypted
    context = FOR_OTHERS.begin().result(10)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_redis_never_gets_the_context_that_offers_http() -> None:
    http = httpx.create_ssl_context()
    store = open_url("rediss://host", tls=http)
    assert isinstance(store, RedisStore)
    assert store._tls is not http


@pytest.mark.parametrize("url", ["sqlite:///"])
def test_sqlite_without_a_path_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must be sqlite:///relative/path"):
        open_url(url)


def test_a_backend_is_imported_only_where_it_is_used() -> None:
    program = (
        "import sys; from lib.store import open_store; from lib.store.settings import MemorySettings, "
        "SqliteSettings; open_store(MemorySettings()); "
        "assert 'lib.store.sqlite' not in sys.modules; open_store(SqliteSettings('x.db')); "
        "assert 'lib.store.sqlite' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
