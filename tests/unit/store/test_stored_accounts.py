"""The list of added accounts over each store: who can open it, and that writers at once lose nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest

from lib.errors import Conflict, NoAccountAvailable
from lib.settings import Settings
from lib.store import Store
from lib.store.memory import MemoryStore
from lib.store.seal import seal_for
from lib.store.settings import SqliteSettings
from lib.store.shared import SharedState
from lib.upstreams.chatglm.accounts.stored import (
    MAX_ACCOUNTS,
    MAX_TRIES,
    PLACE,
    RENEW_AFTER_S,
    Reading,
    StoredAccount,
    StoredAccounts,
    with_account,
    without_account,
)
from tests.unit.store.backends import BACKENDS, Backend

pytestmark = pytest.mark.anyio


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    return BACKENDS[request.param](request)


class Instances:
    """Processes with one store, each under settings of its own."""

    def __init__(self, open_store: Callable[[], Store], stack: AsyncExitStack) -> None:
        self._open = open_store
        self._stack = stack

    def one(
        self,
        *api_keys: str,
        secret: str | None = None,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> StoredAccounts:
        store = self._open()
        self._stack.push_async_callback(store.close)
        state = SharedState(store, now=now, seal=seal_for("sqlite"))
        settings = Settings(api_keys=api_keys, store=SqliteSettings("unused"), store_secret=secret)
        return StoredAccounts(state, settings, now=now, sleep=sleep)


@pytest.fixture
async def instances(backend: Backend) -> AsyncIterator[Instances]:
    async with AsyncExitStack() as stack:
        yield Instances(backend.open, stack)


@pytest.fixture
async def of_memory() -> AsyncIterator[Instances]:
    store = MemoryStore()
    async with AsyncExitStack() as stack:
        yield Instances(lambda: store, stack)


def account(label: str, token: str = "") -> StoredAccount:
    return StoredAccount(label=label, refresh_token=token or f"token.of.{label}", added_at=1.0)


async def labels(stored: StoredAccounts) -> list[str] | None:
    """List the labels in their order; None if no secret opens the list."""
    reading = await stored.read()
    assert reading is not None, "the store works"
    return None if reading.is_locked else [one.label for one in reading.accounts]


async def test_what_one_instance_adds_another_reads_and_removes(instances: Instances) -> None:
    here, there = instances.one("sk-1"), instances.one("sk-1")
    assert await there.read() == Reading()
    await here.change(with_account(account("a")))
    await here.change(with_account(account("b")))
    assert await labels(there) == ["a", "b"]
    await there.change(without_account("a"))
    await there.change(without_account("b"))
    reading = await here.read()
    assert reading == Reading((), is_there=True), "an empty list is a list: nobody puts the old one back"


async def test_writers_at_once_lose_nothing(instances: Instances) -> None:
    here, there = instances.one("sk-1"), instances.one("sk-1")
    names = [f"{number:02}" for number in range(8)]
    writers = [here if number % 2 else there for number in range(8)]
    await asyncio.gather(
        *(writer.change(with_account(account(name))) for writer, name in zip(writers, names, strict=True))
    )
    found = await labels(instances.one("sk-1"))
    assert found is not None
    assert sorted(found) == names


async def test_a_key_that_stays_keeps_the_list_and_the_copies_follow_the_keys(instances: Instances) -> None:
    await instances.one("old", "stays").change(with_account(account("a")))
    assert await labels(instances.one("stays", "new")) == ["a"]
    assert await labels(instances.one("new")) == ["a"], "a copy for the new key was written"
    assert await labels(instances.one("old")) is None, "and the one for the old key is gone"
    assert await labels(instances.one("stays")) is None, "as the last instance knew only the new key"


async def test_the_hash_of_a_key_opens_what_the_key_has_sealed(instances: Instances) -> None:
    digest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"  # of "test"
    await instances.one("test").change(with_account(account("a")))
    assert await labels(instances.one(digest)) == ["a"]


async def test_a_secret_is_needed_where_one_was_set(instances: Instances) -> None:
    right, wrong = "s" * 16, "w" * 16
    await instances.one("sk-1", secret=right).change(with_account(account("a")))
    assert await labels(instances.one("sk-2", secret=right)) == ["a"], "the keys do not matter then"
    assert await labels(instances.one("sk-1", secret=wrong)) is None
    assert await labels(instances.one("sk-1")) is None
    assert await labels(instances.one("sk-2", secret=right)) == ["a"], "nothing was written over it"


async def test_a_secret_that_is_set_later_takes_the_list_over(instances: Instances) -> None:
    await instances.one("sk-1").change(with_account(account("a")))
    assert await labels(instances.one("sk-1", secret="s" * 16)) == ["a"]
    assert await labels(instances.one("sk-1")) is None, "from then on it is sealed under the secret alone"


async def test_where_nothing_opens_the_list_an_added_account_begins_a_new_one(instances: Instances) -> None:
    await instances.one("old").change(with_account(account("a")))
    new = instances.one("new")
    assert await labels(new) is None
    await new.change(with_account(account("b")))
    assert await labels(new) == ["b"]


async def test_nothing_in_the_store_is_clear(backend: Backend, instances: Instances) -> None:
    await instances.one("sk-owner").change(with_account(account("label", "refresh.token.x")))
    store = backend.open()
    written = await store.get(PLACE.name)
    assert written is not None
    opened = seal_for("sqlite").open(PLACE, written)
    assert opened is not None
    for text in (written, opened):
        assert not [word for word in ("refresh.token.x", "label", "sk-owner") if word in text]
    await store.close()


async def test_a_foreign_record_is_locked_and_is_written_over(backend: Backend, instances: Instances) -> None:
    store = backend.open()
    for junk in ("junk", "{}", '{"envelope":{"copies":{},"sealed":""},"written_at":0}'):
        await store.put(PLACE.name, junk, ttl_s=60)
        stored = instances.one("sk-1")
        assert await labels(stored) is None
        await stored.change(with_account(account("a")))
        assert await labels(stored) == ["a"]
    await store.close()


# What does not depend on the store


async def test_a_new_token_of_an_account_takes_the_place_of_the_old_one(of_memory: Instances) -> None:
    stored = of_memory.one("sk-1")
    await stored.change(with_account(account("a", "first.to.ken")))
    await stored.change(with_account(account("a", "second.to.ken")))
    reading = await stored.read()
    assert reading is not None
    assert [one.refresh_token for one in reading.accounts] == ["second.to.ken"]


async def test_the_same_token_twice_is_a_conflict_and_the_same_write_twice_is_none(
    of_memory: Instances,
) -> None:
    stored, added = of_memory.one("sk-1"), account("a")
    await stored.change(with_account(added))
    await stored.change(with_account(added))  # as a store does that repeats a write whose answer was lost
    with pytest.raises(Conflict) as caught:
        await stored.change(with_account(msgspec.structs.replace(added, added_at=2.0)))
    assert caught.value.code == "token_exists"


async def test_the_list_has_a_limit(of_memory: Instances) -> None:
    stored = of_memory.one("sk-1")
    for number in range(MAX_ACCOUNTS):
        await stored.change(with_account(account(f"{number}")))
    with pytest.raises(Conflict, match="at most 32"):
        await stored.change(with_account(account("one more")))
    await stored.change(with_account(account("0", "new.to.ken")))


async def test_a_list_that_is_read_is_written_again_before_it_expires() -> None:
    now = 1_790_000_000.0
    store = MemoryStore(now=lambda: now)
    async with AsyncExitStack() as stack:
        stored = Instances(lambda: store, stack).one("sk-1", now=lambda: now)
        await stored.change(with_account(account("a")))
        for _ in range(30):  # two years and a half
            now += RENEW_AFTER_S + 1
            assert await labels(stored) == ["a"]


class Overtaken(MemoryStore):
    """A store that another instance always writes to just before."""

    async def put(self, key: str, value: str, *, ttl_s: float, instead_of: str | None = None) -> bool:
        return instead_of is None and await super().put(key, value, ttl_s=ttl_s)


async def test_a_writer_that_is_always_overtaken_gives_up_in_the_end() -> None:
    store, slept = Overtaken(), list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async with AsyncExitStack() as stack:
        stored = Instances(lambda: store, stack).one("sk-1", sleep=sleep)
        await stored.change(with_account(account("a")))
        with pytest.raises(NoAccountAvailable) as caught:
            await stored.change(with_account(account("b")))
    assert (caught.value.code, len(slept)) == ("store_unavailable", MAX_TRIES)
    assert len(set(slept)) > 1, "two instances do not keep step"


class Broken(MemoryStore):
    """A store that fails in one operation."""

    def __init__(self, fails: str) -> None:
        super().__init__()
        self._fails = fails

    async def get(self, key: str) -> str | None:
        self._check("get")
        return await super().get(key)

    async def add(self, key: str, value: str, **options: Any) -> bool:
        self._check("add")
        return await super().add(key, value, **options)

    def _check(self, operation: str) -> None:
        if operation == self._fails:
            raise ConnectionError(operation)


@pytest.mark.parametrize("fails", ["get", "add"])
async def test_a_store_that_fails_keeps_no_account_and_says_so(fails: str) -> None:
    store = Broken(fails)
    async with AsyncExitStack() as stack:
        stored = Instances(lambda: store, stack).one("sk-1")
        with pytest.raises(NoAccountAvailable) as caught:
            await stored.change(with_account(account("a")))
        assert caught.value.code == "store_unavailable"
        assert (await stored.read() is None) == (fails == "get")


def test_no_repr_shows_a_token() -> None:
    added = account("a", "refresh.to.ken")
    for value in (added, [added], Reading((added,))):
        assert "refresh.to.ken" not in repr(value)
