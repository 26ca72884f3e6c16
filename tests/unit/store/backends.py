"""The backends as the contract sees them: a store, as often as it is wanted, and a way to let time pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lib.settings import Settings
from lib.store import Store, open_store
from tests.unit.store.dynalite import Dynalite
from tests.unit.store.opening import open_url
from tests.unit.store.patience import patient
from tests.unit.store.redis_server import RedisServer
from tests.unit.store.upstash_double import UpstashDouble

GRAIN_S = 1 / 1024
"""Of a clock that stands still; a power of two, so that no sum is rounded."""


class Clock:
    """Stands still, at about the time of other processes."""

    def __init__(self) -> None:
        self.time = float(round(time.time()))

    def __call__(self) -> float:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += seconds


@dataclass
class Backend:
    """One store's state, empty at first; `open` gives one more way to it, as another process would have."""

    open: Callable[[], Store]
    pass_time: Callable[[float], None]
    grain_s: float
    """How near to its end an entry is sure to be there; where real time passes too, a machine may be slow."""
    environ: Mapping[str, str] = field(default_factory=dict)
    """By which another process finds it; {}: none does."""


def memory(request: pytest.FixtureRequest) -> Backend:
    clock = Clock()
    store = open_url("memory://", now=clock)
    return Backend(lambda: store, clock.advance, GRAIN_S)


def sqlite(request: pytest.FixtureRequest) -> Backend:
    path: Path = request.getfixturevalue("tmp_path")
    clock, url = Clock(), f"sqlite:///{path}/store.db"
    return Backend(lambda: patient(open_url(url, now=clock)), clock.advance, GRAIN_S, {"STORE_URL": url})


def dynamodb(request: pytest.FixtureRequest) -> Backend:
    dynalite: Dynalite = request.getfixturevalue("dynalite")
    clock, environ = Clock(), dynalite.environ()
    store = Settings.from_env(environ).store
    return Backend(lambda: patient(open_store(store, now=clock)), clock.advance, GRAIN_S, environ)


def redis(request: pytest.FixtureRequest) -> Backend:
    server: RedisServer = request.getfixturevalue("redis_server")
    return Backend(lambda: patient(open_url(server.url)), server.age, 10, {"STORE_URL": server.url})


def upstash(request: pytest.FixtureRequest) -> Backend:
    double: UpstashDouble = request.getfixturevalue("upstash")
    return Backend(lambda: patient(open_store(double.store)), double.redis.age, 10, double.environ)


BACKENDS = {make.__name__: make for make in (memory, sqlite, redis, upstash, dynamodb)}
