from __future__ import annotations

import pytest

from lib.store.shared import SharedState
from lib.upstreams.chatglm.accounts.cooldowns import (
    RECORDS,
    REFUSED_S,
    CoolDownBook,
    CoolDowns,
    Cooling,
    Refusal,
)
from tests.unit.upstreams.chatglm.accounts.fakes import Clock, FaultyStore, make_account

pytestmark = pytest.mark.anyio

ACCOUNT, SAME_UID, OTHER = make_account("a"), make_account("a", login=2), make_account("b")
DAY_S = 86400.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> FaultyStore:
    return FaultyStore(now=clock)


@pytest.fixture
def book(store: FaultyStore, clock: Clock) -> CoolDownBook:
    return CoolDownBook(SharedState(store, now=clock), now=clock)


async def cools_for(book: CoolDownBook, clock: Clock) -> float:
    cooling = await book.cooling(ACCOUNT)
    return 0.0 if cooling is None else cooling.until - clock.time


async def test_at_first_nothing_is_held_against_anybody(book: CoolDownBook) -> None:
    assert await book.cooling(ACCOUNT) is None


async def test_a_throttle_lasts_30_seconds_and_concerns_the_account_whatever_its_token(
    book: CoolDownBook, clock: Clock
) -> None:
    await book.throttled(ACCOUNT, None)
    assert await book.cooling(SAME_UID) == Cooling(clock.time + 30, "throttled")
    assert await book.cooling(OTHER) is None
    clock.time += 30
    assert await book.cooling(ACCOUNT) is None


async def test_throttles_in_a_row_double_up_to_half_an_hour(book: CoolDownBook, clock: Clock) -> None:
    waits = []
    for _ in range(14):
        await book.throttled(ACCOUNT, None)
        waits.append(await cools_for(book, clock))
        clock.time += waits[-1]
    assert waits[:7] == [30, 60, 120, 240, 480, 960, 1800]
    assert set(waits[7:]) == {1800}


async def test_a_success_begins_the_doubling_again(book: CoolDownBook, clock: Clock) -> None:
    for _ in range(3):
        await book.throttled(ACCOUNT, None)
    await book.busy_elsewhere(ACCOUNT)
    await book.succeeded(ACCOUNT)
    assert await book.cooling(ACCOUNT) == Cooling(clock.time + 3, "busy")
    await book.throttled(ACCOUNT, None)
    assert await cools_for(book, clock) == 30


async def test_a_throttle_long_after_the_last_one_is_a_first(book: CoolDownBook, clock: Clock) -> None:
    await book.throttled(ACCOUNT, None)
    await book.busy_elsewhere(ACCOUNT)
    clock.time += 30 + 1799
    await book.throttled(ACCOUNT, None)
    assert await cools_for(book, clock) == 60
    await book.blocked(ACCOUNT)  # keeps the record alive beyond the strikes
    clock.time += 60 + 1800
    await book.throttled(ACCOUNT, None)
    await book.cleared(ACCOUNT)
    assert await cools_for(book, clock) == 30


async def test_a_throttle_before_a_clock_was_set_back_does_not_lengthen_the_next(
    book: CoolDownBook, clock: Clock
) -> None:
    for _ in range(5):
        await book.throttled(ACCOUNT, None)
    clock.time -= 30 * 86400
    await book.throttled(ACCOUNT, None)
    assert await cools_for(book, clock) == 30


@pytest.mark.parametrize(("told_s", "waits_s"), [(5, 5), (90.5, 90.5), (0, 1), (-3, 1), (7200, 1800)])
async def test_the_upstreams_own_figure_is_believed_within_bounds(
    book: CoolDownBook, clock: Clock, told_s: float, waits_s: float
) -> None:
    await book.throttled(ACCOUNT, told_s)
    assert await cools_for(book, clock) == waits_s
    await book.throttled(ACCOUNT, None)
    assert await cools_for(book, clock) == 60


async def test_a_generation_elsewhere_is_waited_for_3_seconds(book: CoolDownBook, clock: Clock) -> None:
    await book.busy_elsewhere(ACCOUNT)
    assert await book.cooling(SAME_UID) == Cooling(clock.time + 3, "busy")
    clock.time += 3
    assert await book.cooling(ACCOUNT) is None


async def test_a_refused_token_rests_10_minutes_and_a_new_one_of_the_same_account_does_not(
    book: CoolDownBook, clock: Clock
) -> None:
    await book.refused(ACCOUNT, "guest_account")
    assert await book.cooling(ACCOUNT) == Cooling(clock.time + 600, "refused", "guest_account")
    assert await book.cooling(SAME_UID) is None
    clock.time += 300
    await book.refused(SAME_UID, "refresh_token_expired")
    assert await cools_for(book, clock) == 300
    clock.time += 300
    assert await book.cooling(ACCOUNT) is None
    assert await book.cooling(SAME_UID) is not None


async def test_refusals_that_are_over_are_forgotten(
    book: CoolDownBook, clock: Clock, store: FaultyStore
) -> None:
    await book.refused(ACCOUNT, "one")
    clock.time += 599
    await book.refused(SAME_UID, "two")
    clock.time += 2
    await book.refused(SAME_UID, "two")
    record = RECORDS.decode(await store.get(f"cool:{ACCOUNT.label}"))
    assert record is not None
    assert list(record.refused) == [SAME_UID.key]


async def test_a_blocked_account_rests_until_it_is_cleared(book: CoolDownBook, clock: Clock) -> None:
    await book.blocked(ACCOUNT)
    clock.time += 100 * DAY_S
    assert await book.cooling(SAME_UID) == Cooling(clock.time + 80 * DAY_S, "blocked", "account_blocked")
    await book.cleared(ACCOUNT)
    assert await book.cooling(ACCOUNT) is None


async def test_cleared_takes_back_the_refusal_of_this_token_and_no_throttle(
    book: CoolDownBook, clock: Clock
) -> None:
    await book.refused(ACCOUNT, "code")
    await book.refused(SAME_UID, "code")
    await book.throttled(ACCOUNT, None)
    await book.cleared(ACCOUNT)
    assert await book.cooling(ACCOUNT) == Cooling(clock.time + 30, "throttled")
    assert await book.cooling(SAME_UID) == Cooling(clock.time + 600, "refused", "code")


async def test_what_is_cleared_entirely_leaves_no_record(book: CoolDownBook, store: FaultyStore) -> None:
    await book.blocked(ACCOUNT)
    await book.cleared(ACCOUNT)
    assert await store.get(f"cool:{ACCOUNT.label}") is None


async def test_nothing_is_written_where_there_is_nothing_to_clear(
    book: CoolDownBook, store: FaultyStore
) -> None:
    await book.cleared(ACCOUNT)
    assert store.take_asked() == ["read cool"]
    await book.busy_elsewhere(ACCOUNT)
    store.take_asked()
    await book.cleared(ACCOUNT)
    assert store.take_asked() == ["read cool"]


async def test_a_success_without_a_throttle_asks_the_store_nothing(
    book: CoolDownBook, store: FaultyStore
) -> None:
    await book.cooling(ACCOUNT)
    await book.busy_elsewhere(ACCOUNT)
    store.take_asked()
    await book.succeeded(ACCOUNT)
    assert store.asked == []


async def test_one_cool_down_does_not_shorten_another(book: CoolDownBook, clock: Clock) -> None:
    await book.throttled(ACCOUNT, None)
    await book.busy_elsewhere(ACCOUNT)
    assert await book.cooling(ACCOUNT) == Cooling(clock.time + 30, "throttled")


async def test_without_the_store_this_process_still_knows(
    book: CoolDownBook, clock: Clock, store: FaultyStore
) -> None:
    store.is_lost = True
    await book.throttled(ACCOUNT, None)
    await book.throttled(ACCOUNT, None)
    assert await cools_for(book, clock) == 60


async def test_another_process_knows_too(book: CoolDownBook, clock: Clock, store: FaultyStore) -> None:
    await book.throttled(ACCOUNT, None)
    other = CoolDownBook(SharedState(store, now=clock), now=clock)
    assert await cools_for(other, clock) == 30


def test_a_record_reads_as_it_was_written() -> None:
    record = CoolDowns(1.5, 2, 3.5, 4.5, {"key": Refusal(5.5, "code", 6.5)})
    assert RECORDS.decode(RECORDS.encode(record)) == record
    assert RECORDS.decode(RECORDS.encode(CoolDowns())) == CoolDowns()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "junk",
        "[]",
        "{}",
        '{"throttled":[30,1],"busy":0,"blocked":0,"refused":{}}',
        '{"blocked_until":"2099"}',
        '{"blocked_until":4e9,"strikes":1e999}',
        '{"blocked_until":4e9,"refused":[]}',
        '{"blocked_until":4e9,"refused":{"a":[1]}}',
        "[" * 100_000,
    ],
)
async def test_a_record_that_is_not_ours_holds_nothing_against_anybody(
    book: CoolDownBook, store: FaultyStore, text: str
) -> None:
    await store.put(f"cool:{ACCOUNT.label}", text, ttl_s=60)
    assert await book.cooling(ACCOUNT) is None
    await book.busy_elsewhere(ACCOUNT)
    assert await book.cooling(ACCOUNT) is not None


async def test_a_refusal_does_not_concern_a_process_that_knows_a_later_link_of_the_chain(
    store: FaultyStore, clock: Clock
) -> None:
    links = {"newcomer": 0.0, "holder": 5.0, "other": 7.0}

    def book_of(name: str) -> CoolDownBook:
        return CoolDownBook(SharedState(store, now=clock), now=clock, link=lambda _: links[name])

    newcomer, holder, other = (book_of(name) for name in links)
    await newcomer.refused(ACCOUNT, "code")  # The store has lost the chain: it has the given token alone.
    resting = Cooling(clock.time + REFUSED_S, "refused", "code")
    assert await newcomer.cooling(ACCOUNT) == resting
    assert await holder.cooling(ACCOUNT) is None
    await holder.succeeded(ACCOUNT)
    assert await newcomer.cooling(ACCOUNT) is None
    await holder.refused(ACCOUNT, "code")
    assert await holder.cooling(ACCOUNT) == resting, "its own refusal counts"
    assert await newcomer.cooling(ACCOUNT) == resting
    assert await other.cooling(ACCOUNT) is None
    await holder.throttled(ACCOUNT)
    assert await other.cooling(ACCOUNT) == Cooling(clock.time + 30, "throttled")


async def test_a_record_of_an_earlier_release_has_no_links(
    book: CoolDownBook, store: FaultyStore, clock: Clock
) -> None:
    until = clock.time + 60
    await store.put(f"cool:{ACCOUNT.label}", f'{{"refused":{{"{ACCOUNT.key}":[{until},"x"]}}}}', ttl_s=60)
    assert await book.cooling(ACCOUNT) == Cooling(until, "refused", "x")


async def test_a_clock_that_is_set_back_stretches_no_rest(store: FaultyStore, clock: Clock) -> None:
    account = make_account("a")
    book = CoolDownBook(SharedState(store, now=clock), now=clock)
    await book.throttled(account)
    await book.refused(account, "refresh_token_expired")
    await book.busy_elsewhere(account)
    clock.time -= 30.0
    assert await book.cooling(account), "clocks may be some seconds apart"
    clock.time -= 86400.0
    assert await book.cooling(account) is None
