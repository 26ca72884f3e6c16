"""A step on one record: the same promises from each backend, over the real server if it has one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from lib.store import CLOCKS_APART_S, MAX_SHORT_LIFE_S, Change, Outcome, Store
from tests.unit.store.backends import BACKENDS, Backend
from tests.unit.store.test_contract import ODD

pytestmark = pytest.mark.anyio

TTL_S = 60.0
RECORD = "account:0a1b"
TAKE = Change(when={"lease": (None,)}, puts={"lease": ("mine", TTL_S)}, reads=("lease", "chain", "rest"))


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    return BACKENDS[request.param](request)


@pytest.fixture(params=[name for name in BACKENDS if name not in ("redis", "upstash")])
def backend_with_a_clock(request: pytest.FixtureRequest) -> Backend:
    return BACKENDS[request.param](request)


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[Store]:
    store = backend.open()
    yield store
    await store.close()


async def write(store: Store, ttl_s: float = TTL_S, **values: str) -> None:
    puts = {name: (value, ttl_s) for name, value in values.items()}
    assert (await store.alter(RECORD, Change(puts=puts))).is_done


async def values(store: Store, *names: str) -> dict[str, str | None]:
    return dict((await store.alter(RECORD, Change(reads=names))).found)


async def test_a_step_on_a_new_record_is_made_and_finds_nothing(store: Store) -> None:
    assert await store.alter(RECORD, TAKE) == Outcome(True, {"lease": None, "chain": None, "rest": None})
    assert await values(store, "lease", "chain") == {"lease": "mine", "chain": None}


async def test_a_step_returns_the_other_fields_as_they_were_before_it(store: Store) -> None:
    await write(store, chain="c", rest="r")
    assert await store.alter(RECORD, TAKE) == Outcome(True, {"lease": None, "chain": "c", "rest": "r"})
    change = Change(puts={"chain": ("d", TTL_S)}, drops=("rest", "lease"), reads=("chain", "rest", "lease"))
    assert await store.alter(RECORD, change) == Outcome(True, {"chain": "c", "rest": "r", "lease": "mine"})
    assert await values(store, "chain", "rest", "lease") == {"chain": "d", "rest": None, "lease": None}


async def test_a_step_whose_condition_fails_changes_nothing_and_tells_what_is_there(store: Store) -> None:
    await write(store, lease="theirs", chain="c")
    change = Change(
        when={"lease": (None, "mine"), "chain": ("c",)},
        puts={"lease": ("mine", TTL_S)},
        drops=("chain",),
        reads=("lease", "chain"),
    )
    assert await store.alter(RECORD, change) == Outcome(False, {"lease": "theirs", "chain": "c"})
    assert await values(store, "lease", "chain") == {"lease": "theirs", "chain": "c"}


@pytest.mark.parametrize(
    ("allowed", "is_done"),
    [((None,), False), (("held",), True), (("other", None, "held"), True), (("hel",), False)],
)
async def test_a_field_must_hold_one_of_the_values(
    store: Store, allowed: tuple[str | None, ...], is_done: bool
) -> None:
    await write(store, lease="held")
    change = Change(when={"lease": allowed}, puts={"chain": ("c", TTL_S)})
    assert (await store.alter(RECORD, change)).is_done is is_done
    assert await values(store, "chain") == {"chain": "c" if is_done else None}


async def test_every_condition_of_a_step_must_hold(store: Store) -> None:
    await write(store, chain="c")
    change = Change(when={"lease": (None,), "chain": ("b",)}, puts={"lease": ("mine", TTL_S)})
    assert not (await store.alter(RECORD, change)).is_done
    assert await values(store, "lease") == {"lease": None}


async def test_each_field_has_an_end_of_its_own(store: Store, backend: Backend) -> None:
    await write(store, lease="mine")
    await write(store, ttl_s=180 * 86400.0, chain="c")
    backend.pass_time(TTL_S - backend.grain_s)
    assert await values(store, "lease", "chain") == {"lease": "mine", "chain": "c"}
    assert not (await store.alter(RECORD, TAKE)).is_done
    backend.pass_time(backend.grain_s)
    assert await values(store, "lease", "chain") == {"lease": None, "chain": "c"}
    assert not (await store.alter(RECORD, Change(when={"lease": ("mine",)}, drops=("lease",)))).is_done
    assert (await store.alter(RECORD, TAKE)).is_done


async def test_a_change_of_one_field_prolongs_no_other(store: Store, backend: Backend) -> None:
    await write(store, lease="mine")
    backend.pass_time(50)
    await write(store, chain="c")
    backend.pass_time(10)
    assert await values(store, "lease", "chain") == {"lease": None, "chain": "c"}


async def test_fields_of_two_records_do_not_meet(store: Store) -> None:
    await write(store, lease="mine")
    assert (await store.alter("account:other", Change(when={"lease of b": (None,)}))).is_done
    assert (await store.alter("account:other", Change(reads=("lease of b",)))).found == {"lease of b": None}


@pytest.mark.parametrize("text", [*ODD, "-", "f" * 400])
async def test_any_text_is_a_field_and_a_value(store: Store, text: str) -> None:
    change = Change(when={f"field {text}": (None,)}, puts={f"field {text}": (text, TTL_S)})
    assert (await store.alter(f"record {text}", change)).is_done
    change = Change(when={f"field {text}": (text,)}, reads=(f"field {text}",), drops=(f"field {text}",))
    assert await store.alter(f"record {text}", change) == Outcome(True, {f"field {text}": text})


async def test_of_many_takers_at_once_one_gets_the_lease(backend: Backend) -> None:
    async with AsyncExitStack() as stack:
        stores = [backend.open() for _ in range(4)]
        for store in stores:
            stack.push_async_callback(store.close)

        async def take(number: int) -> bool:
            change = Change(when={"lease": (None,)}, puts={"lease": (str(number), TTL_S)}, reads=("lease",))
            return (await stores[number % 4].alter(RECORD, change)).is_done

        taken = await asyncio.gather(*(take(number) for number in range(16)))
        assert sum(taken) == 1
        assert await values(stores[0], "lease") == {"lease": str(taken.index(True))}


# A clock that was set back


async def test_a_clock_set_back_stretches_no_lease_beyond_its_life(backend_with_a_clock: Backend) -> None:
    store = backend_with_a_clock.open()
    await store.alter(RECORD, TAKE)
    await store.add("lock", "mine", ttl_s=TTL_S)
    backend_with_a_clock.pass_time(-CLOCKS_APART_S)
    assert not (await store.alter(RECORD, TAKE)).is_done
    assert not await store.add("lock", "theirs", ttl_s=TTL_S)
    backend_with_a_clock.pass_time(-1)
    assert (await store.alter(RECORD, TAKE)).is_done
    assert await store.add("lock", "theirs", ttl_s=TTL_S)
    await store.close()


async def test_a_clock_set_back_loses_nothing_that_lives_long(backend_with_a_clock: Backend) -> None:
    store = backend_with_a_clock.open()
    change = Change(when={"chain": (None,)}, puts={"chain": ("c", MAX_SHORT_LIFE_S + 1)}, reads=("chain",))
    assert (await store.alter(RECORD, change)).is_done
    assert await store.add("order", "mine", ttl_s=MAX_SHORT_LIFE_S + 1)
    backend_with_a_clock.pass_time(-86400)
    assert await store.alter(RECORD, change) == Outcome(False, {"chain": "c"})
    assert not await store.add("order", "theirs", ttl_s=MAX_SHORT_LIFE_S + 1)
    await store.close()
