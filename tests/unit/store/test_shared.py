from __future__ import annotations

import asyncio
import base64
import logging

import pytest

from lib.patience import LAST_LOOK_S
from lib.store import Change, Outcome, StoreError
from lib.store.circuit import OPERATION_TIMEOUT_S, REST_S
from lib.store.copies import RETRY_EVERY_S
from lib.store.seal import AesSivSeal, Place
from lib.store.shared import FLUSH_S, OFFER_EVERY_S, SharedState
from tests.unit.upstreams.chatglm.accounts.fakes import Clock, FaultyStore, JumpingLoop, loop_time

pytestmark = pytest.mark.anyio

PLACE = Place("key")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> FaultyStore:
    return FaultyStore(now=clock)


@pytest.fixture
def state(store: FaultyStore, clock: Clock) -> SharedState:
    return SharedState(store, now=clock)


async def test_the_stores_word_counts_while_it_works(state: SharedState, store: FaultyStore) -> None:
    await state.keep(PLACE, "ours", ttl_s=60)
    assert await state.recall(PLACE) == "ours"
    await store.put("key", "theirs", ttl_s=60)
    assert await state.recall(PLACE) == "theirs"
    await store.remove("key", "theirs")
    assert await state.recall(PLACE) is None
    assert state.copy(PLACE) is None


async def test_what_was_read_or_written_is_known_without_the_store(
    state: SharedState, store: FaultyStore
) -> None:
    await store.put("read", "one", ttl_s=60)
    await state.recall(Place("read"))
    await state.keep(Place("written"), "two", ttl_s=60)
    store.is_lost = True
    assert await state.recall(Place("read")) == "one"
    assert await state.recall(Place("written")) == "two"
    assert await state.recall(Place("unknown")) is None
    assert state.problem == "cannot be read (ConnectionError)"


async def test_what_the_store_could_not_take_is_given_to_it_later_and_counts_until_then(
    state: SharedState, store: FaultyStore, clock: Clock
) -> None:
    await store.put("key", "old", ttl_s=600)
    store.is_lost = True
    await state.keep(PLACE, "new", ttl_s=60)
    store.is_lost = False
    clock.time += 10
    assert await state.recall(PLACE) == "new"
    assert await store.get("key") == "new"
    assert state.problem is None
    clock.time += 50
    assert await store.get("key") is None  # with the time to live that it had


async def test_what_expired_before_the_store_came_back_is_not_given_to_it(
    state: SharedState, store: FaultyStore, clock: Clock
) -> None:
    store.is_lost = True
    await state.keep(PLACE, "value", ttl_s=60)
    store.is_lost = False
    clock.time += 60
    assert await state.recall(PLACE) is None
    assert "put key" not in store.asked[1:]


async def test_a_write_without_hurry_is_offered_again_after_a_while(
    state: SharedState, store: FaultyStore, clock: Clock
) -> None:
    assert not state.wants_saving(PLACE)
    store.is_lost = True
    await state.keep(PLACE, "value", ttl_s=600)
    assert not state.wants_saving(PLACE)
    clock.time -= 3600.0
    assert state.wants_saving(PLACE), "a clock that was set back is no reason to wait"
    clock.time += 3600.0
    clock.time += RETRY_EVERY_S
    assert state.wants_saving(PLACE)
    await state.recall(PLACE)
    assert not state.wants_saving(PLACE)
    store.is_lost = False
    clock.time += RETRY_EVERY_S
    await state.recall(PLACE)
    clock.time += RETRY_EVERY_S
    assert not state.wants_saving(PLACE)


async def test_what_a_store_has_forgotten_is_restored_where_that_is_asked_for(
    state: SharedState, store: FaultyStore
) -> None:
    await state.keep(PLACE, "5", ttl_s=60, rank=float)
    await store.remove("key", "5")
    assert await state.recall(PLACE, rank=float, ttl_s=60) == "5"
    assert await store.get("key") == "5"
    assert await state.recall(Place("unknown"), rank=float, ttl_s=60) is None


async def test_of_two_values_the_newer_stays_whoever_writes_last(store: FaultyStore, clock: Clock) -> None:
    here, there = SharedState(store, now=clock), SharedState(store, now=clock)
    store.is_lost = True
    await here.keep(PLACE, "1", ttl_s=600, rank=float)  # applied or not, it was not heard of
    store.is_lost = False
    await there.keep(PLACE, "2", ttl_s=600, rank=float)
    clock.time += REST_S
    assert await here.recall(PLACE, rank=float, ttl_s=600) == "2"
    assert await store.get("key") == "2"
    await here.keep(PLACE, "1", ttl_s=600, rank=float)
    assert (here.copy(PLACE), await store.get("key")) == ("2", "2")
    # The store is emptied, and an older copy is given back before the newer one is asked for.
    await store.remove("key", "2")
    await store.put("key", "1", ttl_s=600)
    assert await there.recall(PLACE, rank=float, ttl_s=600) == "2"
    assert await store.get("key") == "2"


async def test_what_is_vital_is_offered_to_a_store_that_rests(
    state: SharedState, store: FaultyStore, clock: Clock
) -> None:
    store.is_lost = True
    await state.keep(Place("other"), "x", ttl_s=60)
    await state.recall(Place("another"))
    store.is_lost = False
    await state.keep(PLACE, "1", ttl_s=60, rank=float)
    assert await store.get("key") is None
    await state.keep(PLACE, "2", ttl_s=60, rank=float, is_vital=True)
    assert await store.get("key") == "2"


async def test_what_nobody_else_knows_is_offered_at_the_end_and_not_forgotten_before_anything_else(
    store: FaultyStore, clock: Clock
) -> None:
    state = SharedState(store, now=clock, max_copies=2)
    store.is_lost = True
    await state.keep(PLACE, "1", ttl_s=60, rank=float, is_vital=True)
    for name in "abc":
        await state.keep(Place(name), "x", ttl_s=60)
    assert state.copy(PLACE) == "1"
    store.is_lost = False
    await state.flush()
    assert await store.get("key") == "1"
    store.take_asked()
    await state.flush()
    assert store.asked == ["get key"], "the store has it"


@pytest.mark.parametrize("is_written", [True, False], ids=["written here", "read here"])
@pytest.mark.parametrize("way", ["in time", "at the end"])
async def test_a_ranked_value_is_given_again_to_a_store_that_was_emptied(
    store: FaultyStore, clock: Clock, way: str, is_written: bool
) -> None:
    state = SharedState(store, now=clock)
    if is_written:
        await state.keep(PLACE, "1", ttl_s=86400, rank=float, is_vital=True)
    else:
        await store.put("key", "1", ttl_s=86400)
        assert await state.recall(PLACE, rank=float, ttl_s=86400) == "1"
    await state.keep(Place("other"), "x", ttl_s=86400)
    await state.offer()
    await store.remove("key", "1")
    store.take_asked()
    clock.time += OFFER_EVERY_S - 1
    await state.offer()
    assert store.take_asked() == []
    clock.time += 1
    await (state.offer() if way == "in time" else state.flush())
    assert store.take_asked() == ["get key", "add key"], "nothing else is offered"
    assert await store.get("key") == "1"


async def test_a_store_that_comes_back_gets_the_ranked_values_at_once(
    store: FaultyStore, clock: Clock
) -> None:
    state = SharedState(store, now=clock)
    await state.keep(PLACE, "1", ttl_s=86400, rank=float)
    await state.offer()
    store.is_lost = True
    await state.keep(Place("other"), "x", ttl_s=60)
    await store_emptied(store)
    clock.time += REST_S
    await state.offer()
    await state.keep(Place("other"), "x", ttl_s=60)
    await state.offer()
    assert await store.get("key") == "1"


async def test_a_store_that_is_in_doubt_gets_the_ranked_values_at_once(
    store: FaultyStore, clock: Clock
) -> None:
    state = SharedState(store, now=clock)
    await state.keep(PLACE, "1", ttl_s=86400, rank=float)
    await state.offer()
    await store.remove("key", "1")
    state.doubt()
    await state.offer()
    assert await store.get("key") == "1"


async def test_a_health_check_gives_an_emptied_store_the_ranked_values_again(
    store: FaultyStore, clock: Clock
) -> None:
    state = SharedState(store, now=clock)
    await state.keep(PLACE, "1", ttl_s=86400, rank=float)
    await state.offer()
    await store.remove("key", "1")
    clock.time += OFFER_EVERY_S
    assert await state.problem_within(5.0) is None
    assert await store.get("key") == "1"


def test_a_store_that_hangs_does_not_keep_the_end_of_a_process_for_long() -> None:
    class Hanging(FaultyStore):
        async def get(self, key: str) -> str | None:
            await asyncio.Event().wait()
            raise AssertionError

    async def use() -> float:
        state = SharedState(Hanging(), now=loop_time)
        for number in range(20):
            await state.keep(Place(f"{number}"), "1", ttl_s=86400, rank=float)
        began_at = loop_time()
        await state.flush()
        return loop_time() - began_at

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        assert runner.run(use()) == pytest.approx(FLUSH_S)


async def store_emptied(store: FaultyStore) -> None:
    store.is_lost = False
    await store.remove("key", "1")


async def test_an_older_value_never_replaces_a_newer_one(store: FaultyStore, clock: Clock) -> None:
    state = SharedState(store, now=clock)
    await state.keep(PLACE, "1", ttl_s=86400, rank=float)
    await store.put("key", "2", ttl_s=86400)
    await state.flush()
    assert (await store.get("key"), state.copy(PLACE)) == ("2", "2")


@pytest.mark.parametrize("way", ["in time", "at the end"])
async def test_a_value_that_the_store_had_is_not_given_to_a_store_that_cannot_be_read(
    clock: Clock, way: str
) -> None:
    """Another process may have replaced it: writing the older login would lose the newer one."""

    class Unreadable(FaultyStore):
        is_unreadable = False

        async def get(self, key: str) -> str | None:
            if self.is_unreadable:
                raise StoreError("no answer")
            return await super().get(key)

    store = Unreadable(now=clock)
    state = SharedState(store, now=clock)
    await state.keep(PLACE, "1", ttl_s=86400, rank=float, is_vital=True)
    await state.offer()
    await store.put("key", "2", ttl_s=86400)
    for _ in range(2):
        store.is_unreadable = True
        clock.time += OFFER_EVERY_S
        await (state.offer() if way == "in time" else state.flush())
    store.is_unreadable = False
    assert await store.get("key") == "2"


async def test_what_was_read_does_not_replace_what_was_written_meanwhile(clock: Clock) -> None:
    states: list[SharedState] = []

    class Slow(FaultyStore):
        async def get(self, key: str) -> str | None:
            value = await super().get(key)
            if states and not self.is_lost:
                self.is_lost = True
                await states[0].keep(PLACE, "new", ttl_s=60)
            return value

    store = Slow(now=clock)
    await store.put("key", "old", ttl_s=60)
    state = SharedState(store, now=clock)
    states.append(state)
    assert await state.recall(PLACE) == "new"
    assert state.copy(PLACE) == "new"


async def test_what_is_written_over_again_and_again_is_written_at_last(clock: Clock) -> None:
    class Busy(FaultyStore):
        async def put(self, key: str, value: str, *, ttl_s: float, instead_of: str | None = None) -> bool:
            return instead_of is None and await super().put(key, value, ttl_s=ttl_s)

    store = Busy(now=clock)
    await store.put("key", "1", ttl_s=60)
    state = SharedState(store, now=clock)
    await state.keep(PLACE, "2", ttl_s=60, rank=float)
    assert await store.get("key") == "2"


async def test_a_copy_serves_a_lost_store_no_longer_than_the_entry_would(
    state: SharedState, store: FaultyStore, clock: Clock
) -> None:
    await state.keep(PLACE, "ours", ttl_s=60)
    store.is_lost = True
    assert await state.recall(PLACE) == "ours"
    clock.time += 60
    assert await state.recall(PLACE) is None


async def test_a_write_overtaken_by_another_is_not_taken_for_saved(clock: Clock) -> None:
    states: list[SharedState] = []

    class Overtaking(FaultyStore):
        async def put(self, key: str, value: str, *, ttl_s: float, instead_of: str | None = None) -> bool:
            written = await super().put(key, value, ttl_s=ttl_s, instead_of=instead_of)
            if value == "first":
                self.is_lost = True
                await states[0].keep(PLACE, "second", ttl_s=60)
            return written

    state = SharedState(Overtaking(now=clock), now=clock)
    states.append(state)
    await state.keep(PLACE, "first", ttl_s=60)
    assert state.copy(PLACE) == "second"
    clock.time += RETRY_EVERY_S
    assert state.wants_saving(PLACE)


async def test_drop_removes_only_what_this_process_knew(state: SharedState, store: FaultyStore) -> None:
    await state.keep(PLACE, "ours", ttl_s=60)
    await store.put("key", "theirs", ttl_s=60)
    await state.drop(PLACE)
    assert await store.get("key") == "theirs"
    await state.recall(PLACE)
    await state.drop(PLACE)
    assert await store.get("key") is None
    store.take_asked()
    await state.drop(PLACE)
    assert store.asked == []


async def test_a_lost_store_holds_nothing_and_grants_everything(
    state: SharedState, store: FaultyStore, clock: Clock
) -> None:
    assert await state.add(PLACE, "one", ttl_s=60) is True
    assert await state.add(PLACE, "two", ttl_s=60) is False
    assert await state.holds(PLACE) is True
    store.is_lost = True
    assert await state.add(PLACE, "two", ttl_s=60) is True
    assert await state.holds(PLACE) is False
    assert await state.remove(PLACE, "one") is False
    store.is_lost = False
    clock.time += REST_S
    assert await state.holds(PLACE) is True
    assert await state.remove(PLACE, "two") is True
    assert await store.get("key") == "one"
    assert await state.remove(PLACE, "one") is True
    assert await store.get("key") is None


async def test_a_failing_store_is_left_alone_for_a_while_and_then_tried_by_one(
    state: SharedState, store: FaultyStore, clock: Clock
) -> None:
    store.is_lost = True
    await state.recall(PLACE)
    store.take_asked()
    for _ in range(3):
        await state.recall(PLACE)
    clock.time += REST_S - 0.1
    await state.recall(PLACE)
    assert store.take_asked() == []
    clock.time += 0.1
    store.delay = lambda: 0.001
    await asyncio.gather(*(state.recall(PLACE) for _ in range(5)))
    assert store.take_asked() == ["get key"]
    clock.time += REST_S
    store.is_lost = False
    await state.recall(PLACE)
    assert state.problem is None
    await state.recall(PLACE)
    assert store.take_asked() == ["get key"] * 2


async def test_a_clock_that_is_put_back_does_not_make_the_store_rest_for_longer(
    state: SharedState, store: FaultyStore, clock: Clock
) -> None:
    store.is_lost = True
    await state.recall(PLACE)
    store.is_lost = False
    clock.time -= 3600
    await state.recall(PLACE)
    assert state.problem is None


async def test_a_store_that_takes_no_writes_is_still_read(state: SharedState, clock: Clock) -> None:
    class ReadOnly(FaultyStore):
        async def put(self, key: str, value: str, *, ttl_s: float, instead_of: str | None = None) -> bool:
            raise PermissionError("attempt to write a readonly database")

    store = ReadOnly(now=clock)
    state = SharedState(store, now=clock)
    await store.add("theirs", "of another process", ttl_s=60)
    await state.keep(PLACE, "ours", ttl_s=60)
    assert state.problem == "takes no writes (PermissionError)"
    assert await state.recall(Place("theirs")) == "of another process"
    assert await state.recall(PLACE) == "ours"
    assert state.problem == "takes no writes (PermissionError)"


def test_a_store_that_hangs_keeps_nobody_waiting_for_long() -> None:
    class Hanging(FaultyStore):
        async def get(self, key: str) -> str | None:
            await asyncio.Event().wait()
            raise AssertionError

    async def use() -> float:
        state = SharedState(Hanging(), now=loop_time)
        began_at = loop_time()
        for _ in range(5):
            assert await state.recall(PLACE) is None
        assert state.problem == "cannot be read (TimeoutError)"
        return loop_time() - began_at

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        assert runner.run(use()) == pytest.approx(OPERATION_TIMEOUT_S + LAST_LOOK_S)


async def test_a_probe_tries_the_store_at_most_every_ten_seconds(
    state: SharedState, store: FaultyStore, clock: Clock
) -> None:
    assert await state.probe() is None
    assert await state.probe() is None
    assert store.take_asked() == ["put probe", "get probe"]
    store.is_lost = True
    clock.time += REST_S
    assert await state.probe() == "takes no writes (ConnectionError)"
    store.take_asked()
    assert await state.probe() == "takes no writes (ConnectionError)"
    assert store.take_asked() == []
    store.is_lost = False
    clock.time += REST_S
    assert await state.probe() is None


async def test_what_leaves_the_process_is_sealed_and_what_cannot_be_opened_is_not_there(
    store: FaultyStore, clock: Clock
) -> None:
    state = SharedState(store, now=clock, seal=AesSivSeal())
    place, foreign = Place("kept", "secret of ours"), Place("kept", "secret of theirs")
    await state.keep(place, "clear text", ttl_s=60)
    written = await store.get("kept")
    assert written is not None
    assert b"clear" not in base64.b64decode(written)
    assert await SharedState(store, now=clock, seal=AesSivSeal()).recall(place) == "clear text"
    other = SharedState(store, now=clock, seal=AesSivSeal())
    assert await other.recall(foreign) is None
    assert await other.holds(foreign) is True  # there, though not to be read
    await other.remove(foreign, "clear text")
    assert await store.get("kept") == written
    await state.drop(place)
    assert await store.get("kept") is None


async def test_of_many_copies_the_one_not_touched_for_longest_goes(store: FaultyStore, clock: Clock) -> None:
    state = SharedState(store, now=clock, max_copies=2)
    await state.keep(Place("a"), "1", ttl_s=60)
    await state.keep(Place("b"), "2", ttl_s=60)
    await state.recall(Place("a"))
    await state.keep(Place("c"), "3", ttl_s=60)
    assert [state.copy(Place(key)) for key in "abc"] == ["1", None, "3"]


async def test_a_loss_is_logged_once_and_without_what_the_error_says(
    state: SharedState, store: FaultyStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    store.is_lost = True
    with caplog.at_level(logging.WARNING):
        await state.recall(PLACE)
        await state.recall(PLACE)
        clock.time += REST_S
        await state.recall(PLACE)
    assert [record.getMessage() for record in caplog.records] == [
        "the store cannot be read (ConnectionError); going on within this process"
    ]
    store.is_lost = False
    clock.time += REST_S
    with caplog.at_level(logging.INFO):
        await state.recall(PLACE)
    assert caplog.records[-1].getMessage() == "the store works again"


async def test_a_copy_that_was_written_during_a_step_counts_and_not_what_the_step_has_read(
    store: FaultyStore, clock: Clock
) -> None:
    place = Place("rest", record="account")

    class Slow(FaultyStore):
        async def alter(self, record: str, change: Change, /) -> Outcome:
            outcome = await super().alter(record, change)
            if change.is_read_only:
                await sharing.keep(place, "newer", ttl_s=60)
            return outcome

    sharing = SharedState(Slow(now=clock), now=clock)
    await sharing.keep(place, "older", ttl_s=60)
    altered = await sharing.alter("account", Change(reads=("rest",)))
    assert altered.found == {"rest": "older"}
    assert sharing.learn(altered, place) == "newer"


async def test_what_is_held_back_counts_here_and_is_written_by_a_later_step(
    state: SharedState, store: FaultyStore, clock: Clock
) -> None:
    place = Place("rest", record="account")
    await store.alter("account", Change(puts={"rest": ("old", 60)}))
    state.hold_back(place, "new", ttl_s=60)
    assert state.learn(await state.alter("account", Change(reads=("rest",))), place) == "new"
    assert await store.get("rest") == "old"
    clock.time += 20
    puts = state.held_back(place)
    assert puts == {"rest": ("new", 40)}
    await state.alter("account", Change(puts=puts))
    state.note_saved(place, puts)
    assert state.held_back(place) == {}
    assert await store.get("rest") == "new"


async def test_what_was_held_back_for_longer_than_it_lives_is_not_written(
    state: SharedState, clock: Clock
) -> None:
    place = Place("rest", record="account")
    state.hold_back(place, "new", ttl_s=60)
    clock.time += 60
    assert state.held_back(place) == {}
    assert state.learn(await state.alter("account", Change(reads=("rest",))), place) is None


async def test_only_a_copy_that_the_store_lacks_is_saved(state: SharedState, store: FaultyStore) -> None:
    await state.save(Place("unknown"))
    await state.keep(PLACE, "kept", ttl_s=60)
    store.take_asked()
    await state.save(PLACE)
    assert store.take_asked() == []
    state.hold_back(PLACE, "new", ttl_s=60)
    await state.save(PLACE)
    assert await store.get("key") == "new"
