from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.store.dynalite import Dynalite, running_dynalite
from tests.unit.store.redis_server import NOT_INSTALLED, RedisServer, find_redis, running_redis
from tests.unit.store.upstash_double import UpstashDouble, running_upstash


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def dynalite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dynalite]:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "glm-gateway"
    programs = sorted(cache.glob("aws-*/node_modules/dynalite/cli.js"))
    if not programs:
        pytest.skip("DynamoDB IS NOT TESTED: dynalite is not installed. scripts/support/install-builders aws")
    with running_dynalite(programs[-1], tmp_path_factory.mktemp("dynalite")) as running:
        yield running


@pytest.fixture(scope="session")
def redis_program() -> Path:
    return find_redis() or pytest.skip(NOT_INSTALLED)


@pytest.fixture(scope="session")
def shared_redis(redis_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(redis_program, tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_server(shared_redis: RedisServer) -> RedisServer:
    """Give one that is empty."""
    shared_redis.call("FLUSHALL")
    return shared_redis


@pytest.fixture(scope="session")
def shared_upstash(shared_redis: RedisServer) -> Iterator[UpstashDouble]:
    with running_upstash(shared_redis) as double:
        yield double


@pytest.fixture
def upstash(shared_upstash: UpstashDouble, redis_server: RedisServer) -> UpstashDouble:
    """Give Upstash's REST on a socket, in front of the redis-server, which is empty."""
    shared_upstash.commands.clear()
    return shared_upstash
