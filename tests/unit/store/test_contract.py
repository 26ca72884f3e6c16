"""What every store promises: the same tests for each backend, over the real server where it has one.

Time is a clock of the test's where the gateway's own decides. Where Redis's own does, every entry is made
older instead (RedisServer.age); test_redis.py waits for one in earnest.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from lib.store import Store
from tests.unit.store.backends import BACKENDS, Backend

pytestmark = pytest.mark.anyio

ODD = [
    "",
    " ",
    "lease:0a1b",
    "a'b\"c;--%_?*[x]",
    "line\nbreak\r\n\ttab",
    "nul\0inside",
    "智谱清言 🙂 é e\u0301",
    "\ud800 a lone surrogate",
    "k" * 5000,
]
TTL_S = 60.0


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    return BACKENDS[request.param](request)


@pytest.fixture(params=[name for name in BACKENDS if name != "memory"])
def shared_backend(request: pytest.FixtureRequest) -> Backend:
    return BACKENDS[request.param](request)


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[Store]:
    store = backend.open()
    yield store
    await store.close()


async def test_what_was_never_written_is_absent(store: Store) -> None:
    assert await store.get("key") is None


async def test_put_writes_and_overwrites(store: Store) -> None:
    assert await store.put("key", "one", ttl_s=TTL_S) is True
    assert await store.put("key", "two", ttl_s=TTL_S) is True
    assert await store.put("other", "three", ttl_s=TTL_S) is True

    assert await store.get("key") == "two"
    assert await store.get("other") == "three"


async def test_an_entry_is_gone_from_the_moment_its_time_is_over(store: Store, backend: Backend) -> None:
    await store.put("put", "value", ttl_s=TTL_S)
    await store.add("added", "value", ttl_s=TTL_S)
    backend.pass_time(TTL_S - backend.grain_s)
    assert await store.get("put") == "value"
    assert await store.get("added") == "value"
    for later_s in (backend.grain_s, 5):
        backend.pass_time(later_s)
        assert await store.get("put") is None
        assert await store.get("added") is None


async def test_put_sets_the_time_to_live_anew(store: Store, backend: Backend) -> None:
    await store.put("key", "value", ttl_s=TTL_S)
    backend.pass_time(50)
    await store.put("key", "value", ttl_s=TTL_S)
    backend.pass_time(50)
    assert await store.get("key") == "value"
    await store.put("key", "value", ttl_s=5)
    backend.pass_time(5)
    assert await store.get("key") is None


# add


async def test_add_writes_only_where_nothing_is(store: Store) -> None:
    assert await store.add("key", "one", ttl_s=TTL_S) is True
    assert await store.add("key", "two", ttl_s=TTL_S) is False
    assert await store.add("key", "one", ttl_s=TTL_S) is False
    assert await store.get("key") == "one"


async def test_a_refused_add_does_not_prolong_what_is_there(store: Store, backend: Backend) -> None:
    await store.add("key", "one", ttl_s=TTL_S)
    backend.pass_time(40)
    await store.add("key", "one", ttl_s=TTL_S)
    await store.add("key", "two", ttl_s=TTL_S)
    backend.pass_time(20)
    assert await store.get("key") is None


@pytest.mark.parametrize("late_s", [0, 5])
async def test_add_takes_over_what_has_expired(store: Store, backend: Backend, late_s: int) -> None:
    await store.put("key", "one", ttl_s=TTL_S)
    backend.pass_time(TTL_S + late_s)
    assert await store.add("key", "two", ttl_s=TTL_S) is True
    assert await store.get("key") == "two"
    backend.pass_time(TTL_S - backend.grain_s)
    assert await store.add("key", "three", ttl_s=TTL_S) is False


# remove


async def test_remove_takes_away_only_the_value_it_was_told(store: Store) -> None:
    await store.put("key", "one", ttl_s=TTL_S)
    assert await store.remove("key", "two") is False
    assert await store.get("key") == "one"
    assert await store.remove("key", "one") is True
    assert await store.get("key") is None
    assert await store.remove("key", "one") is False


@pytest.mark.parametrize("late_s", [0, 5])
async def test_remove_of_an_expired_entry_removes_nothing(
    store: Store, backend: Backend, late_s: int
) -> None:
    await store.put("key", "one", ttl_s=TTL_S)
    backend.pass_time(TTL_S + late_s)
    assert await store.remove("key", "one") is False


# put with instead_of


async def test_a_value_is_replaced_only_where_it_is_the_one_expected(store: Store) -> None:
    await store.put("key", "one", ttl_s=TTL_S)
    assert await store.put("key", "three", ttl_s=TTL_S, instead_of="two") is False
    assert await store.put("key", "three", ttl_s=TTL_S, instead_of="three") is False
    assert await store.get("key") == "one"
    assert await store.put("key", "two", ttl_s=TTL_S, instead_of="one") is True
    assert await store.get("key") == "two"
    assert await store.put("key", "two", ttl_s=TTL_S, instead_of="one") is False


async def test_nothing_is_not_replaced(store: Store) -> None:
    assert await store.put("key", "two", ttl_s=TTL_S, instead_of="one") is False
    assert await store.put("key", "", ttl_s=TTL_S, instead_of="") is False
    assert await store.get("key") is None


@pytest.mark.parametrize("late_s", [0, 5])
async def test_what_has_expired_is_not_replaced(store: Store, backend: Backend, late_s: int) -> None:
    await store.put("key", "one", ttl_s=TTL_S)
    backend.pass_time(TTL_S + late_s)
    assert await store.put("key", "two", ttl_s=TTL_S, instead_of="one") is False
    assert await store.get("key") is None


async def test_what_is_replaced_lives_anew_by_the_same_value_too(store: Store, backend: Backend) -> None:
    await store.add("key", "mine", ttl_s=TTL_S)
    for _ in range(3):  # a lease, renewed
        backend.pass_time(40)
        assert await store.put("key", "mine", ttl_s=TTL_S, instead_of="mine") is True
    backend.pass_time(40)
    assert await store.put("key", "other", ttl_s=5, instead_of="mine") is True
    backend.pass_time(5)
    assert await store.get("key") is None


async def test_a_refused_replacement_does_not_prolong_what_is_there(store: Store, backend: Backend) -> None:
    await store.put("key", "one", ttl_s=TTL_S)
    backend.pass_time(40)
    await store.put("key", "one", ttl_s=TTL_S, instead_of="two")
    backend.pass_time(20)
    assert await store.get("key") is None


async def test_who_lost_a_lease_can_neither_renew_nor_return_it(store: Store, backend: Backend) -> None:
    await store.add("lease", "mine", ttl_s=TTL_S)
    backend.pass_time(TTL_S)
    assert await store.add("lease", "theirs", ttl_s=TTL_S) is True
    assert await store.put("lease", "mine", ttl_s=TTL_S, instead_of="mine") is False
    assert await store.remove("lease", "mine") is False
    assert await store.get("lease") == "theirs"


# Any text


@pytest.mark.parametrize("value", ODD)
async def test_any_text_comes_back_as_it_was(store: Store, value: str) -> None:
    await store.put("key", value, ttl_s=TTL_S)
    assert await store.get("key") == value
    assert await store.remove("key", value) is True
    assert await store.add("key", value, ttl_s=TTL_S) is True
    assert await store.get("key") == value
    assert await store.put("key", f"{value}'", ttl_s=TTL_S, instead_of=value) is True
    assert await store.put("key", value, ttl_s=TTL_S, instead_of=f"{value}'") is True
    assert await store.get("key") == value


async def test_any_text_is_a_key_and_they_are_kept_apart(store: Store) -> None:
    for key in ODD:
        assert await store.add(key, f"value of {key}", ttl_s=TTL_S) is True
    for key in ODD:
        assert await store.get(key) == f"value of {key}"
        assert await store.remove(key, f"value of {key}") is True
        assert await store.get(key) is None


# At once


async def test_of_many_tasks_that_add_one_wins(store: Store) -> None:
    won = await asyncio.gather(*(store.add("key", str(number), ttl_s=TTL_S) for number in range(50)))
    assert won.count(True) == 1
    assert await store.get("key") == str(won.index(True))


async def test_of_many_tasks_that_remove_one_wins(store: Store) -> None:
    await store.put("key", "value", ttl_s=TTL_S)
    won = await asyncio.gather(*(store.remove("key", "value") for _ in range(50)))
    assert won.count(True) == 1


async def test_of_many_tasks_that_replace_one_wins(store: Store) -> None:
    await store.put("key", "value", ttl_s=TTL_S)
    replacing = (store.put("key", str(number), ttl_s=TTL_S, instead_of="value") for number in range(50))
    won = await asyncio.gather(*replacing)
    assert won.count(True) == 1
    assert await store.get("key") == str(won.index(True))


async def test_what_one_writes_another_reads(shared_backend: Backend) -> None:
    async with AsyncExitStack() as stack:
        one, other = shared_backend.open(), shared_backend.open()
        stack.push_async_callback(one.close)
        stack.push_async_callback(other.close)
        assert await one.add("lease", "one's", ttl_s=TTL_S) is True
        assert await other.add("lease", "other's", ttl_s=TTL_S) is False
        assert await other.get("lease") == "one's"
        assert await other.put("lease", "other's", ttl_s=TTL_S, instead_of="one's") is True
        assert await one.remove("lease", "one's") is False
        assert await one.get("lease") == "other's"


WORKER = """
import asyncio, os, sys
from lib.settings import Settings
from lib.store import open_store
from tests.unit.store.patience import patient

async def count(store):
    while True:
        held = await store.get("count")
        if await store.put("count", str(int(held) + 1), ttl_s=600, instead_of=held):
            return

async def main():
    me, store = sys.argv[1], patient(open_store(Settings.from_env(os.environ).store))
    await store.get("warm")
    print("ready", flush=True)
    sys.stdin.readline()
    added = [str(n) for n in range(25) if await store.add(f"new {n}", me, ttl_s=600)]
    removed = [str(n) for n in range(25) if await store.remove(f"removed {n}", "value")]
    replaced = [str(n) for n in range(25) if await store.put(f"old {n}", me, ttl_s=600, instead_of="value")]
    for _ in range(5):
        await count(store)
    await store.close()
    print(" ".join(added), " ".join(removed), " ".join(replaced), sep="\\n")

asyncio.run(main())
"""


def race(backend: Backend) -> list[list[list[str]]]:
    """Let four processes do the same at once; return what each says to have added, removed and replaced."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **backend.environ, "PYTHONPATH": str(Path.cwd()), "no_proxy": "127.0.0.1"},
        )
        for number in range(4)
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("\n")
            worker.stdin.flush()
        told = [worker.communicate(timeout=90)[0].split("\n") for worker in workers]
        assert [worker.returncode for worker in workers] == [0] * 4
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    return [[line.split() for line in lines[:3]] for lines in told]


async def test_of_several_processes_one_wins_each_key(shared_backend: Backend) -> None:
    store = shared_backend.open()
    for number in range(25):
        await store.put(f"removed {number}", "value", ttl_s=600)
        await store.put(f"old {number}", "value", ttl_s=600)
    await store.put("count", "0", ttl_s=600)
    told = await asyncio.to_thread(race, shared_backend)
    for what in range(3):
        won = [int(number) for process in told for number in process[what]]
        assert sorted(won) == list(range(25))
    for number, (added, _, replaced) in enumerate(told):
        for key in [*(f"new {n}" for n in added), *(f"old {n}" for n in replaced)]:
            assert await store.get(key) == str(number)
    assert await store.get("count") == "20"
    await store.close()


# Closing and event loops


async def test_close_may_be_called_twice_and_before_anything_else(backend: Backend) -> None:
    store = backend.open()
    await store.close()
    await store.close()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # what the first loop leaves cannot be closed
def test_one_store_serves_several_event_loops_one_after_the_other(backend: Backend) -> None:
    store = backend.open()
    assert asyncio.run(store.put("key", "value", ttl_s=TTL_S)) is True
    assert asyncio.run(store.add("key", "other", ttl_s=TTL_S)) is False
    assert asyncio.run(store.get("key")) == "value"
    asyncio.run(store.close())
    gc.collect()
