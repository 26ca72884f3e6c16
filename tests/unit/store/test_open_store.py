from __future__ import annotations

import ssl
import subprocess
import sys

import httpx
import pytest

from lib.store import open_store
from lib.store.memory import MemoryStore
from lib.store.redis import RedisStore


def test_memory_names_the_store_of_this_process() -> None:
    assert isinstance(open_store("memory://"), MemoryStore)


@pytest.mark.parametrize("url", ["etcd://user:secret@host", "", "memory", "sqlite:/secret", "secret"])
def test_an_unknown_url_is_refused_with_the_schemes_there_are_and_without_its_secrets(url: str) -> None:
    with pytest.raises(ValueError, match="memory://, sqlite:///<path>") as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


def test_rediss_is_encrypted_and_redis_is_not() -> None:
    plain, encrypted = open_store("redis://host"), open_store("rediss://host")
    assert isinstance(plain, RedisStore)
    assert isinstance(encrypted, RedisStore)
    assert plain._tls is None
    assert encrypted._tls is not None
    assert encrypted._tls.verify_mode is ssl.CERT_REQUIRED
    assert encrypted._tls.check_hostname


def test_redis_never_gets_the_context_that_offers_http() -> None:
    http = httpx.create_ssl_context()
    store = open_store("rediss://host", tls=http)
    assert isinstance(store, RedisStore)
    assert store._tls is not http


def test_an_unknown_scheme_is_named() -> None:
    with pytest.raises(ValueError, match="got scheme 'etcd'"):
        open_store("etcd://host")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite://path"])
def test_sqlite_without_a_path_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="sqlite:///relative/path"):
        open_store(url)


def test_a_backend_is_imported_only_where_it_is_used() -> None:
    program = (
        "import sys; from lib.store import open_store; open_store('memory://'); "
        "assert 'lib.store.sqlite' not in sys.modules; open_store('sqlite:///x.db'); "
        "assert 'lib.store.sqlite' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
