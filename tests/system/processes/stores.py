"""The stores that processes can share, each of its own; `opened` gives the environment that chooses it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.system.processes.programs import Program
from tests.unit.store.dynalite import running_dynalite
from tests.unit.store.redis_server import NOT_INSTALLED, RedisServer, find_redis, running_redis

NO_DYNALITE = "DynamoDB IS NOT TESTED: dynalite is not installed. scripts/support/install-builders aws"

Environ = Mapping[str, str]


class NotInstalled(Exception):
    """Says by which script it would be."""


@contextmanager
def sqlite(folder: Path) -> Iterator[Environ]:
    yield {"STORE_URL": f"sqlite:///{folder / 'state.db'}"}


@contextmanager
def redis(folder: Path) -> Iterator[Environ]:
    with redis_server(folder) as server:
        yield {"STORE_URL": server.url}


@contextmanager
def upstash(folder: Path) -> Iterator[Environ]:
    with redis_server(folder) as server:
        arguments = ["-m", "tests.system.processes.upstash_program", str(server.port)]
        with Program(arguments, log=folder / "upstash.log") as double:
            yield json.loads(double.read_line())


@contextmanager
def dynamodb(folder: Path) -> Iterator[Environ]:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "glm-gateway"
    programs = sorted(cache.glob("aws-*/node_modules/dynalite/cli.js"))
    if not programs:
        raise NotInstalled(NO_DYNALITE)
    with running_dynalite(programs[-1], folder) as dynalite:
        yield dynalite.environ()


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    program = find_redis()
    if program is None:
        raise NotInstalled(NOT_INSTALLED)
    with running_redis(program, folder) as server:
        yield server


STORES: dict[str, Callable[[Path], AbstractContextManager[Environ]]] = {
    make.__name__: make for make in (sqlite, redis, upstash, dynamodb)
}
