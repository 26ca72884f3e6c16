"""Servers and lines that fail: an error soon, which tells no secret; and all is well again afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import pytest

from lib.patience import LAST_LOOK_S
from lib.settings import Settings
from lib.store import Change, Store, StoreError, dynamodb, open_store, sqlite
from lib.store.redis import RedisStore
from lib.store.settings import RedisSettings, UpstashSettings
from lib.store.upstash import UpstashStore
from tests.support.waiting import eventually
from tests.unit.store.dynalite import Dynalite
from tests.unit.store.faulty_line import Fault, FaultyLine, faulty_line
from tests.unit.store.patience import patient
from tests.unit.store.redis_server import RedisServer
from tests.unit.store.upstash_double import UpstashDouble

pytestmark = pytest.mark.anyio

GIVE_UP_S = 30.0
"""Far beyond every limit of ours: a test that hangs fails, and a slow machine does not."""


class Server(NamedTuple):
    port: int
    open_at: Callable[[int], Store]
    """Open a store on a port, of the server or of a line that leads to it."""


def _redis(request: pytest.FixtureRequest) -> Server:
    server: RedisServer = request.getfixturevalue("redis_server")
    return Server(server.port, lambda port: open_store(RedisSettings(host="127.0.0.1", port=port)))


def _upstash(request: pytest.FixtureRequest) -> Server:
    double: UpstashDouble = request.getfixturevalue("upstash")
    own = int(double.url.rpartition(":")[2])
    return Server(
        own, lambda port: open_store(UpstashSettings(f"http://127.0.0.1:{port}", double.store.token))
    )


def _dynamodb(request: pytest.FixtureRequest) -> Server:
    dynalite: Dynalite = request.getfixturevalue("dynalite")
    environ = dynalite.environ()

    def open_at(port: int) -> Store:
        endpoint = {"AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{port}"}
        return open_store(Settings.from_env({**environ, **endpoint}).store)

    return Server(int(dynalite.endpoint.rpartition(":")[2]), open_at)


SERVERS = {"redis": _redis, "upstash": _upstash, "dynamodb": _dynamodb}


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    return SERVERS[request.param](request)


@pytest.fixture
async def line(server: Server) -> AsyncIterator[FaultyLine]:
    async with faulty_line(server.port) as line:
        yield line


@pytest.fixture
async def store(server: Server, line: FaultyLine) -> AsyncIterator[Store]:
    """Give the store that is behind the line."""
    store = server.open_at(line.port)
    yield store
    await store.close()


@pytest.fixture
async def other(server: Server) -> AsyncIterator[Store]:
    """Give what another instance has, which needs no line."""
    store = patient(server.open_at(server.port))
    yield store
    await store.close()


def limit(store: Store, *, call_s: float = 20.0, attempt_s: float = 20.0) -> None:
    """Set its limits: short ones, so that a test need not wait for them, or none to speak of."""
    limits = {"call_timeout_s": call_s, "attempt_timeout_s": attempt_s, "kept_timeout_s": attempt_s}
    for name, limit_s in limits.items():
        if hasattr(store, name):
            setattr(store, name, limit_s)


TAKE = Change(
    when={"s3cret field": (None, "s3cret held")},
    puts={"s3cret field": ("s3cret value", 60)},
    reads=("s3cret field",),
)


def every_operation(store: Store) -> list[Awaitable[object]]:
    return [
        store.get("s3cret key"),
        store.put("s3cret key", "s3cret value", ttl_s=60),
        store.put("s3cret key", "s3cret value", ttl_s=60, instead_of="s3cret held"),
        store.add("s3cret key", "s3cret value", ttl_s=60),
        store.remove("s3cret key", "s3cret value"),
        store.alter("s3cret record", Change(reads=("s3cret field",))),
        store.alter("s3cret record", TAKE),
    ]


def test_no_operation_takes_longer_than_a_client_will_wait() -> None:
    limits = [RedisStore.call_timeout_s, UpstashStore.call_timeout_s, dynamodb.CALL_TIMEOUT_S]
    assert max(*limits, sqlite.CALL_TIMEOUT_S) + LAST_LOOK_S <= 2.5


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("is_warm", [True, False], ids=["warm", "cold"])
async def test_every_operation_fails_in_its_time_and_works_when_the_fault_is_gone(
    line: FaultyLine, store: Store, other: Store, fault: Fault, is_warm: bool
) -> None:
    await other.put("key", "value", ttl_s=60)
    limit(store)
    if is_warm:
        assert await asyncio.gather(*(store.get("key") for _ in range(5))) == ["value"] * 5
    await line.break_(fault)
    if fault in (Fault.LOST, Fault.DEAF):
        limit(store, call_s=0.3, attempt_s=0.1)
    async with asyncio.timeout(GIVE_UP_S):
        failures = await asyncio.gather(*every_operation(store), return_exceptions=True)
    assert [isinstance(failure, StoreError) for failure in failures] == [True] * 7
    assert "s3cret" not in " ".join(map(str, failures))

    await line.mend()
    limit(store)
    assert await store.get("key") == "value"
    assert await store.put("key", "new", ttl_s=60, instead_of="value") is True


@pytest.mark.parametrize("fault", [Fault.DEAF, Fault.CUT])
async def test_a_lease_whose_answer_was_lost_is_known_as_ours(
    line: FaultyLine, store: Store, other: Store, fault: Fault
) -> None:
    await store.get("warm")
    limit(store, attempt_s=0.5 if fault is Fault.DEAF else 20.0)
    await line.break_(fault, times=1)
    assert await store.add("lease", "mine", ttl_s=60) is True
    assert await other.add("lease", "theirs", ttl_s=60) is False
    await line.break_(fault, times=1)
    assert await store.put("lease", "mine, renewed", ttl_s=60, instead_of="mine") is True
    assert await other.get("lease") == "mine, renewed"
    await line.break_(fault, times=1)
    assert await store.remove("lease", "mine, renewed") is False  # it cannot know
    assert await other.get("lease") is None


async def test_a_step_is_one_request(line: FaultyLine, store: Store) -> None:
    limit(store)
    await store.get("warm")
    for step in (TAKE, Change(reads=("s3cret field", "other")), Change(drops=("s3cret field",))):
        asked = line.requests
        assert (await store.alter("record", step)).is_done
        assert line.requests == asked + 1


@pytest.mark.parametrize("fault", [Fault.DEAF, Fault.CUT])
async def test_a_step_whose_answer_was_lost_is_known_as_made(
    line: FaultyLine, store: Store, other: Store, fault: Fault
) -> None:
    take = Change(when={"lock": (None,), "chain": (None,)}, puts={"lock": ("mine", 60)})
    keep = Change(when={"lock": ("mine",), "chain": (None,)}, puts={"chain": ("new", 600)}, drops=("lock",))
    await store.get("warm")
    limit(store, attempt_s=0.5 if fault is Fault.DEAF else 20.0)
    for step in (take, keep):
        await line.break_(fault, times=1)
        assert (await store.alter("record", step)).is_done
        assert not (await other.alter("record", step)).is_done
    left = await other.alter("record", Change(reads=("lock", "chain")))
    assert left.found == {"lock": None, "chain": "new"}


async def test_a_step_that_another_made_first_is_not_made_by_repeating(
    line: FaultyLine, store: Store, other: Store
) -> None:
    limit(store)
    await other.alter("record", Change(puts={"lock": ("theirs", 60)}))
    await line.break_(Fault.CUT, times=1)
    take = Change(when={"lock": (None,)}, puts={"lock": ("mine", 60)}, reads=("lock",))
    outcome = await store.alter("record", take)
    assert (outcome.is_done, outcome.found) == (False, {"lock": "theirs"})


@pytest.mark.parametrize("fault", [Fault.DROPPED, Fault.CUT])
async def test_what_another_has_is_not_taken_by_repeating(
    line: FaultyLine, store: Store, other: Store, fault: Fault
) -> None:
    limit(store)
    await other.add("lease", "theirs", ttl_s=60)
    await line.break_(fault, times=1)
    assert await store.add("lease", "mine", ttl_s=60) is False
    await line.break_(fault, times=1)
    assert await store.put("lease", "mine", ttl_s=60, instead_of="mine before") is False
    assert await other.get("lease") == "theirs"


async def test_what_another_took_since_is_not_taken_back_by_repeating(
    line: FaultyLine, store: Store, other: Store
) -> None:
    taken: list[bool] = []

    async def take() -> None:
        taken.append(await other.put("lease", "theirs", ttl_s=60, instead_of="mine, renewed"))

    limit(store)
    await store.add("lease", "mine", ttl_s=60)
    line.meanwhile = take
    await line.break_(Fault.CUT, times=1)
    assert await store.put("lease", "mine, renewed", ttl_s=60, instead_of="mine") is False
    assert taken == [True]
    assert await other.get("lease") == "theirs"


async def test_a_request_that_was_dropped_is_made_again(line: FaultyLine, store: Store) -> None:
    limit(store)
    await line.break_(Fault.DROPPED, times=1)
    assert await store.add("lease", "mine", ttl_s=60) is True
    await line.break_(Fault.DROPPED, times=1)
    assert await store.put("lease", "mine", ttl_s=60, instead_of="mine") is True
    await line.break_(Fault.DROPPED, times=1)
    assert await store.get("lease") == "mine"
    await line.break_(Fault.DROPPED, times=1)
    assert await store.remove("lease", "mine") is True


async def test_an_abandoned_operation_spoils_no_other(line: FaultyLine, store: Store) -> None:
    limit(store)
    await store.put("key", "value", ttl_s=60)
    await store.put("other key", "other value", ttl_s=60)
    await line.break_(Fault.DEAF, times=1)
    asked = line.requests
    abandoned = asyncio.ensure_future(store.get("other key"))
    await eventually(lambda: line.requests > asked)
    abandoned.cancel()
    with pytest.raises(asyncio.CancelledError):
        await abandoned
    assert await store.get("key") == "value"


async def test_a_warm_store_keeps_its_connection(line: FaultyLine, store: Store) -> None:
    limit(store)
    for _ in range(5):
        await store.put("key", "value", ttl_s=60)
    assert line.connections == 1


async def test_more_callers_at_once_than_connections_are_all_served(store: Store) -> None:
    limit(store)
    await store.put("key", "value", ttl_s=60)
    assert await asyncio.gather(*(store.get("key") for _ in range(40))) == ["value"] * 40
