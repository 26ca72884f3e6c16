"""Leases over a loop whose time jumps: minutes pass, nothing sleeps."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lib.errors import AccountBusy, AccountRefused, GatewayError, NoAccountAvailable, Throttled
from lib.store import Change, Outcome
from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.chatglm.accounts.lease import Lease, lease_place
from lib.upstreams.chatglm.accounts.pool import (
    BUSY_RETRY_AFTER_S,
    LEASE_TTL_S,
    MAX_LEFT_BEHIND,
    MAX_WAITING,
    AccountStatus,
    Pool,
)
from tests.unit.upstreams.chatglm.accounts.fakes import (
    FaultyStore,
    JumpingLoop,
    loop_time,
    make_account,
    shared,
)

pytestmark = pytest.mark.anyio

A, B, C = make_account("a"), make_account("b"), make_account("c")
A_AGAIN = make_account("a", login=2)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": JumpingLoop}


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore()


def make_pool(store: FaultyStore) -> Pool:
    return Pool(shared(store, loop_time), now=loop_time, chance=lambda: 1.0)


@pytest.fixture
def pool(store: FaultyStore) -> Pool:
    return make_pool(store)


def clock() -> float:
    return asyncio.get_running_loop().time()


def is_clean(pool: Pool) -> bool:
    return not pool._line._taken and not pool._line._waiters and not pool._tasks._running


async def acquire_soon(pool: Pool, *accounts: Account, wait_s: float = 30.0) -> asyncio.Task[Lease]:
    task = asyncio.create_task(pool.acquire(accounts, wait_s=wait_s))
    await asyncio.sleep(0)
    return task


# --- one account ----------------------------------------------------------------------------------


async def test_an_account_is_leased_to_one_at_a_time(pool: Pool, store: FaultyStore) -> None:
    lease = await pool.acquire([A], wait_s=0)
    assert lease.account is A
    assert await store.get(lease_place(A).name) is not None
    with pytest.raises(AccountBusy) as caught:
        await pool.acquire([A], wait_s=0)
    assert caught.value.retry_after_s == 5
    for advice in (
        "one answer at a time",
        "Lower the client's concurrency",
        "ACCOUNT_WAIT_S",
        "another account",
    ):
        assert advice in caught.value.message
    await lease.release()
    assert await store.get(lease_place(A).name) is None
    await (await pool.acquire([A], wait_s=0)).release()
    assert is_clean(pool)


async def test_another_token_of_the_same_account_is_the_same_account(pool: Pool) -> None:
    lease = await pool.acquire([A], wait_s=0)
    with pytest.raises(AccountBusy):
        await pool.acquire([A_AGAIN], wait_s=0)
    await lease.release()


async def test_an_uncontended_lease_costs_two_round_trips_and_a_busy_answer_none(
    pool: Pool, store: FaultyStore
) -> None:
    lease = await pool.acquire([A, B], wait_s=0)
    with pytest.raises(AccountBusy):
        await pool.acquire([A], wait_s=0)
    await pool.cool_downs.succeeded(A)
    await lease.release()
    assert store.asked == ["put lease", "drop lease"]


async def test_release_may_be_called_again_and_does_nothing_then(pool: Pool, store: FaultyStore) -> None:
    first = await pool.acquire([A], wait_s=0)
    await first.release()
    second = await pool.acquire([A], wait_s=0)
    store.take_asked()
    await first.release()
    with pytest.raises(AccountBusy):
        await pool.acquire([A], wait_s=0)
    assert store.asked == []  # it is this process that knows
    await asyncio.gather(second.release(), second.release())
    assert is_clean(pool)


async def test_a_release_that_is_cancelled_goes_on(store: FaultyStore, pool: Pool) -> None:
    lease = await pool.acquire([A], wait_s=0)
    store.delay = lambda: 1.0
    releasing = asyncio.create_task(lease.release())
    await asyncio.sleep(0.5)
    releasing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await releasing
    await asyncio.sleep(2)
    assert await store.get(lease_place(A).name) is None
    assert is_clean(pool)


async def test_without_any_account_to_try_that_is_said(pool: Pool) -> None:
    with pytest.raises(NoAccountAvailable):
        await pool.acquire([], wait_s=0)
    with pytest.raises(NoAccountAvailable):
        await pool.acquire([A], wait_s=0, excluded={A.label})


# --- choice ---------------------------------------------------------------------------------------


async def use(pool: Pool, *accounts: Account, excluded: frozenset[str] = frozenset()) -> Account:
    lease = await pool.acquire(accounts, wait_s=0, excluded=excluded)
    await lease.release()
    return lease.account


async def test_two_accounts_take_turns_beginning_with_the_first_given(pool: Pool) -> None:
    assert [await use(pool, B, A) for _ in range(4)] == [B, A, B, A]


async def test_the_end_of_a_lease_is_its_last_use(pool: Pool) -> None:
    long = await pool.acquire([A], wait_s=0)
    await use(pool, B)
    await long.release()
    assert await use(pool, A, B) is B


async def test_who_is_free_is_chosen_while_the_other_is_leased(pool: Pool) -> None:
    leases = [await pool.acquire([A, B], wait_s=0) for _ in range(2)]
    assert [lease.account for lease in leases] == [A, B]
    with pytest.raises(AccountBusy):
        await pool.acquire([A, B], wait_s=0)
    for lease in leases:
        await lease.release()


async def test_an_excluded_account_is_not_chosen(pool: Pool) -> None:
    assert await use(pool, A, B, excluded=frozenset({A.label})) is B


async def test_one_that_cools_down_is_not_chosen(pool: Pool) -> None:
    await pool.cool_downs.throttled(A)
    assert [await use(pool, A, B) for _ in range(2)] == [B, B]
    await asyncio.sleep(30)
    assert await use(pool, A, B) is A


# --- waiting --------------------------------------------------------------------------------------


async def test_who_waits_is_served_in_the_order_of_coming(pool: Pool) -> None:
    held = await pool.acquire([A], wait_s=0)
    served = []

    async def wait(number: int) -> None:
        lease = await pool.acquire([A], wait_s=30)
        served.append(number)
        await asyncio.sleep(1)
        await lease.release()

    waiting = []
    for number in range(10):
        waiting.append(asyncio.create_task(wait(number)))
        await asyncio.sleep(0.01)
    await held.release()
    await asyncio.gather(*waiting)
    assert served == list(range(10))
    assert is_clean(pool)


async def test_a_hand_over_takes_no_time(pool: Pool) -> None:
    held = await pool.acquire([A], wait_s=0)
    waiting = await acquire_soon(pool, A)
    await asyncio.sleep(10)
    await held.release()
    released_at = clock()
    await (await waiting).release()
    assert clock() == released_at


async def test_nobody_barges_in_between_a_release_and_who_waits(pool: Pool) -> None:
    held = await pool.acquire([A], wait_s=0)
    waiting = await acquire_soon(pool, A)
    releasing = asyncio.create_task(held.release())
    for _ in range(5):
        await asyncio.sleep(0)
        with pytest.raises(AccountBusy):
            await pool.acquire([A], wait_s=0)
    await releasing
    lease = await waiting
    await lease.release()


async def test_who_can_use_the_freed_account_does_not_wait_behind_who_cannot(pool: Pool) -> None:
    a, b = await pool.acquire([A], wait_s=0), await pool.acquire([B], wait_s=0)
    for_a, for_b = await acquire_soon(pool, A), await acquire_soon(pool, B)
    await b.release()
    lease = await for_b
    assert lease.account is B
    assert not for_a.done()
    await a.release()
    await (await for_a).release()
    await lease.release()


async def test_who_asks_the_store_for_one_does_not_keep_another_from_the_next(
    pool: Pool, store: FaultyStore
) -> None:
    a, b = await pool.acquire([A], wait_s=0), await pool.acquire([B], wait_s=0)
    first = await acquire_soon(pool, A, B)
    second = await acquire_soon(pool, B)
    store.delay = lambda: 1.0
    await a.release()  # at 1 s; from then on the first asks and waits for the answer, until 3 s
    await b.release()  # at 2 s
    await (await second).release()
    assert clock() == pytest.approx(5)  # 2 + 2, and 1 for the release
    await (await first).release()


async def test_the_wait_ends_when_it_is_over(pool: Pool) -> None:
    held = await pool.acquire([A], wait_s=0)
    with pytest.raises(AccountBusy):
        await pool.acquire([A], wait_s=7.5)
    assert clock() == pytest.approx(7.5)
    await held.release()
    assert is_clean(pool)


async def test_a_waiter_that_is_cancelled_leaves_no_trace(pool: Pool, store: FaultyStore) -> None:
    before = asyncio.all_tasks()
    held = await pool.acquire([A], wait_s=0)
    waiting = await acquire_soon(pool, A)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await held.release()
    assert is_clean(pool)
    assert asyncio.all_tasks() == before
    assert len(store) == 0


async def test_a_hand_over_that_meets_a_cancellation_goes_to_the_next(pool: Pool) -> None:
    held = await pool.acquire([A], wait_s=0)
    first, second = await acquire_soon(pool, A), await acquire_soon(pool, A)
    first_waiter = next(iter(pool._line._waiters))
    releasing = asyncio.create_task(held.release())
    for _ in range(10):
        if first_waiter.granted is None:
            await asyncio.sleep(0)
    assert first_waiter.granted is A
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await releasing
    await (await second).release()
    assert is_clean(pool)


async def test_a_hand_over_after_a_cancellation_goes_to_the_next(pool: Pool) -> None:
    pool._line._taken.add(A.label)
    first, second = await acquire_soon(pool, A), await acquire_soon(pool, A)
    first.cancel()  # has not run yet when the account is handed over
    pool._line.hand_on(A.label, loop_time())
    await (await second).release()
    assert first.cancelled()
    assert clock() == 0
    assert is_clean(pool)


async def test_who_is_cancelled_while_the_store_answers_leaves_no_lease(
    pool: Pool, store: FaultyStore
) -> None:
    store.delay = lambda: 1.0
    for after_s in (0.5, 1.5):  # before and after the lease is written
        waiting = await acquire_soon(pool, A)
        await asyncio.sleep(after_s)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(AccountBusy):  # until it is certain that nothing stays behind
            await pool.acquire([A], wait_s=0)
        next_one = await acquire_soon(pool, A)
        await (await next_one).release()
    assert is_clean(pool)
    assert await store.get(lease_place(A).name) is None


# --- cool-downs -----------------------------------------------------------------------------------


async def refusal(pool: Pool, *accounts: Account, wait_s: float = 0.0) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await pool.acquire(accounts, wait_s=wait_s)
    return caught.value


async def test_where_all_are_throttled_the_answer_comes_at_once_with_the_earliest_end(pool: Pool) -> None:
    await pool.cool_downs.throttled(A, 300)
    await pool.cool_downs.throttled(B, 90)
    error = await refusal(pool, A, B, wait_s=30)
    assert type(error) is Throttled
    assert error.retry_after_s == pytest.approx(90)
    assert clock() == 0


async def test_a_throttle_is_said_at_once_even_if_it_ends_within_the_wait(pool: Pool) -> None:
    await pool.cool_downs.throttled(A, 20)
    await pool.cool_downs.refused(B, "guest_account")
    error = await refusal(pool, A, B, wait_s=30)
    assert type(error) is Throttled
    assert error.retry_after_s == pytest.approx(20)
    assert clock() == 0


async def test_an_account_that_is_busy_elsewhere_is_waited_for_also_beside_a_throttled_one(
    pool: Pool,
) -> None:
    await pool.cool_downs.throttled(A, 20)
    await pool.cool_downs.busy_elsewhere(B)
    lease = await pool.acquire([A, B], wait_s=30)
    assert lease.account is B
    assert clock() == pytest.approx(3)
    await lease.release()


async def test_a_throttled_account_is_waited_for_beside_a_leased_one(pool: Pool) -> None:
    held = await pool.acquire([B], wait_s=0)
    await pool.cool_downs.throttled(A, 20)
    lease = await pool.acquire([A, B], wait_s=30)
    assert lease.account is A
    assert clock() == pytest.approx(20)
    await lease.release()
    await held.release()


async def test_one_that_the_holder_reports_throttled_is_not_handed_on_for_nothing(pool: Pool) -> None:
    lease = await pool.acquire([A], wait_s=0)
    waiting = [await acquire_soon(pool, A) for _ in range(3)]
    await asyncio.sleep(1)
    await pool.cool_downs.throttled(A)
    await lease.release()
    got = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in got] == [Throttled] * 3
    assert clock() == 1
    assert is_clean(pool)


@pytest.mark.parametrize("code", ["refresh_token_expired", "guest_account"])
async def test_where_all_are_refused_that_is_said_with_its_reason(pool: Pool, code: str) -> None:
    await pool.cool_downs.refused(A, code)
    await pool.cool_downs.blocked(B)
    error = await refusal(pool, A, B, wait_s=30)
    assert type(error) is AccountRefused
    assert error.code == code
    assert A.label in error.message
    assert "refused" in error.message


async def test_where_all_are_blocked_that_is_said(pool: Pool) -> None:
    await pool.cool_downs.blocked(A)
    error = await refusal(pool, A, wait_s=30)
    assert type(error) is AccountRefused
    assert error.code == "account_blocked"
    assert "blocked" in error.message
    await pool.cool_downs.cleared(A)
    assert await use(pool, A) is A


async def test_what_passes_by_itself_is_said_before_what_does_not(pool: Pool) -> None:
    await pool.cool_downs.refused(A, "guest_account")
    await pool.cool_downs.throttled(B)
    assert type(await refusal(pool, A, B)) is Throttled
    await pool.cool_downs.busy_elsewhere(C)
    error = await refusal(pool, A, B, C)
    assert type(error) is AccountBusy
    assert error.retry_after_s == pytest.approx(3)


async def test_one_leased_and_one_throttled_are_busy_until_the_earlier_end(pool: Pool) -> None:
    lease = await pool.acquire([A], wait_s=0)
    await pool.cool_downs.throttled(B, 2)
    error = await refusal(pool, A, B)
    assert type(error) is AccountBusy
    assert error.retry_after_s == pytest.approx(2)
    await pool.cool_downs.throttled(B, 90)
    assert (await refusal(pool, A, B)).retry_after_s == 5
    await lease.release()


async def test_a_generation_elsewhere_is_waited_for(pool: Pool) -> None:
    await pool.cool_downs.busy_elsewhere(A)
    lease = await pool.acquire([A], wait_s=30)
    assert clock() == pytest.approx(3)
    await lease.release()


async def test_a_leased_account_is_waited_for_although_the_others_cool_down(pool: Pool) -> None:
    await pool.cool_downs.blocked(B)
    held = await pool.acquire([A], wait_s=0)
    waiting = await acquire_soon(pool, B, A)
    await asyncio.sleep(10)
    await held.release()
    await (await waiting).release()


async def test_a_new_token_of_a_refused_account_is_tried_even_behind_the_old_one(pool: Pool) -> None:
    await pool.cool_downs.refused(A, "refresh_token_expired")
    assert type(await refusal(pool, A)) is AccountRefused
    held = await pool.acquire([A_AGAIN], wait_s=0)
    old, new = await acquire_soon(pool, A), await acquire_soon(pool, A_AGAIN)
    await held.release()
    with pytest.raises(AccountRefused):
        await old
    await (await new).release()


async def test_a_success_ends_the_doubling(pool: Pool) -> None:
    for _ in range(3):
        await pool.cool_downs.throttled(A)
    await pool.cool_downs.succeeded(A)
    await pool.cool_downs.throttled(A)
    assert (await refusal(pool, A)).retry_after_s == pytest.approx(30)


# --- among processes ------------------------------------------------------------------------------


async def test_what_another_process_holds_is_busy_and_polled_politely(pool: Pool, store: FaultyStore) -> None:
    other = make_pool(store)
    held = await other.acquire([A], wait_s=0)
    store.take_asked()
    waiting = await acquire_soon(pool, A)
    later = await acquire_soon(pool, A)
    await asyncio.sleep(9.9)
    # Only the first in the line asks: at 0, then after 0.1, 0.2, 0.4, 0.8 and 1 s each.
    assert store.take_asked().count("put lease") == 5 + 8
    await held.release()
    await asyncio.sleep(1)
    lease = await waiting
    assert not later.done()
    await lease.release()
    await (await later).release()
    assert is_clean(pool)
    assert is_clean(other)


async def test_jitter_shortens_the_polls_down_to_a_tenth_of_a_second(store: FaultyStore) -> None:
    pool = Pool(shared(store, loop_time), now=loop_time, chance=lambda: 0.0)
    held = await make_pool(store).acquire([A], wait_s=0)
    store.take_asked()
    await refusal(pool, A, wait_s=2.05)
    assert store.asked.count("put lease") == 22
    await held.release()


async def test_where_the_first_in_line_leaves_the_next_takes_over_the_polling(
    pool: Pool, store: FaultyStore
) -> None:
    held = await make_pool(store).acquire([A], wait_s=0)
    first, second = await acquire_soon(pool, A, wait_s=3), await acquire_soon(pool, A)
    with pytest.raises(AccountBusy):
        await first
    await held.release()
    await (await second).release()
    assert clock() < 5


async def test_another_free_account_is_taken_where_the_first_is_held_by_another_process(
    pool: Pool, store: FaultyStore
) -> None:
    held = await make_pool(store).acquire([A], wait_s=0)
    lease = await pool.acquire([A, B], wait_s=0)
    assert lease.account is B
    await lease.release()
    await held.release()


async def test_a_lease_is_renewed_as_long_as_it_is_held(pool: Pool, store: FaultyStore) -> None:
    before = asyncio.all_tasks()
    other = make_pool(store)
    lease = await pool.acquire([A], wait_s=0)
    for _ in range(19):
        await asyncio.sleep(15)
        assert type(await refusal(other, A)) is AccountBusy
    assert store.asked.count("put lease") == 1 + 19 + 19  # every 15 s in 285, and by the other
    await lease.release()
    await asyncio.sleep(100)
    assert store.asked.count("put lease") == 1 + 19 + 19
    assert asyncio.all_tasks() == before
    assert is_clean(pool)


async def test_a_crashed_process_lease_is_taken_over_when_it_expires(pool: Pool, store: FaultyStore) -> None:
    await store.add(lease_place(A).name, "of a crashed process", ttl_s=20)
    lease = await pool.acquire([A], wait_s=30)
    assert 20 <= clock() <= 21
    await lease.release()


async def test_who_lost_its_lease_in_a_pause_cannot_release_another_and_says_so(
    pool: Pool, store: FaultyStore, caplog: pytest.LogCaptureFixture
) -> None:
    lost = await pool.acquire([A], wait_s=0)
    mark = await store.get(lease_place(A).name)
    assert mark is not None
    await store.remove(lease_place(A).name, mark)
    other = make_pool(store)
    taken = await other.acquire([A], wait_s=0)
    with caplog.at_level(logging.WARNING):
        await asyncio.sleep(50)
    assert [A.label in record.getMessage() for record in caplog.records] == [True]  # and no renewal after it
    await lost.release()
    assert type(await refusal(pool, A)) is AccountBusy
    await taken.release()


async def test_a_lease_is_confirmed_without_the_store_while_it_is_renewed(
    pool: Pool, store: FaultyStore
) -> None:
    lease = await pool.acquire([A], wait_s=0)
    await asyncio.sleep(100)
    store.take_asked()
    assert await lease.confirm() is True
    assert store.asked == []
    await lease.release()


@pytest.mark.parametrize("taker", ["nobody", "another", "another, done"])
async def test_who_was_held_up_for_longer_than_its_lease_lives_learns_it_before_it_asks(
    store: FaultyStore, taker: str
) -> None:
    """A stopped process runs no timers: the wall clock jumps, and the loop's time does not."""
    jump = 0.0
    held_up = Pool(shared(store, lambda: loop_time() + jump), now=lambda: loop_time() + jump)
    lease = await held_up.acquire([A], wait_s=0)
    mark = await store.get(lease_place(A).name)
    assert mark is not None
    jump = LEASE_TTL_S + 1
    await store.remove(lease_place(A).name, mark)  # what the store's own clock does meanwhile
    other = make_pool(store)
    taken = None if taker == "nobody" else await other.acquire([A], wait_s=0)
    if taken is not None and taker == "another, done":
        await taken.release()
    assert await lease.confirm() is (taker != "another")
    await lease.release()
    assert (await store.get(lease_place(A).name) is not None) is (taker == "another")
    if taken is not None:
        await taken.release()


async def test_a_clock_that_is_put_back_proves_no_lease(store: FaultyStore) -> None:
    jump = 0.0
    pool = Pool(shared(store, lambda: loop_time() + jump), now=lambda: loop_time() + jump)
    lease = await pool.acquire([A], wait_s=0)
    jump = -3600.0
    store.take_asked()
    assert await lease.confirm() is True
    assert store.take_asked() == ["put lease"]
    await lease.release()


async def test_beyond_a_number_that_can_be_served_nobody_is_kept_waiting(pool: Pool) -> None:
    lease = await pool.acquire([A], wait_s=0)
    waiting = [await acquire_soon(pool, A, wait_s=5) for _ in range(MAX_WAITING)]
    began_at = clock()
    refused = await refusal(pool, A, wait_s=5)
    assert (type(refused), refused.retry_after_s, clock()) == (AccountBusy, BUSY_RETRY_AFTER_S, began_at)
    assert "Lower the client's concurrency" in refused.message
    # An account that nobody waits for is not refused, nor are two of which one is free of waiting.
    await (await pool.acquire([B], wait_s=0)).release()
    await (await pool.acquire([A, B], wait_s=0)).release()
    assert {type(result) for result in await asyncio.gather(*waiting, return_exceptions=True)} == {
        AccountBusy
    }
    assert pool._line._load == {}
    await lease.release()
    await (await pool.acquire([A], wait_s=0)).release()


async def test_who_can_have_several_accounts_counts_in_part_for_each(pool: Pool) -> None:
    leases = [await pool.acquire([account], wait_s=0) for account in (A, B)]
    waiting = [await acquire_soon(pool, A, B, wait_s=5) for _ in range(2 * MAX_WAITING)]
    assert type(await refusal(pool, A, B, wait_s=5)) is AccountBusy
    for task in waiting[:2]:
        task.cancel()
    await asyncio.wait(waiting[:2])
    one_more = await acquire_soon(pool, A, wait_s=5)
    await asyncio.gather(*waiting, one_more, return_exceptions=True)
    assert clock() == pytest.approx(5)  # it waited like the others
    for lease in leases:
        await lease.release()


async def test_a_lease_that_expired_unnoticed_is_taken_again(pool: Pool, store: FaultyStore) -> None:
    lease = await pool.acquire([A], wait_s=0)
    mark = await store.get(lease_place(A).name)
    assert mark is not None
    await store.remove(lease_place(A).name, mark)
    await asyncio.sleep(25)
    assert await store.get(lease_place(A).name) == mark
    await lease.release()
    assert await store.get(lease_place(A).name) is None


async def test_a_release_in_the_middle_of_a_renewal_leaves_nothing_behind(
    pool: Pool, store: FaultyStore
) -> None:
    into_s = 15.5
    lease = await pool.acquire([A], wait_s=0)
    store.delay = lambda: 1.0  # the renewal writes from 15 s on
    await asyncio.sleep(into_s)
    await lease.release()
    assert clock() == pytest.approx(into_s + 1)  # the renewal's end was not waited for
    await asyncio.sleep(30)
    assert await store.get(lease_place(A).name) is None
    assert is_clean(pool)


async def test_a_renewal_that_still_writes_when_cancelled_leaves_nothing_behind() -> None:
    class Stubborn(FaultyStore):
        async def alter(self, record: str, change: Change, /) -> Outcome:
            try:
                await asyncio.sleep(1 if self.asked else 0)
            finally:
                await asyncio.sleep(0.5 if change.puts and self.asked else 0)
                outcome = await super().alter(record, change)
            return outcome

    store = Stubborn()
    pool = make_pool(store)
    lease = await pool.acquire([A], wait_s=0)
    await asyncio.sleep(20.5)
    await lease.release()
    await asyncio.sleep(2)
    assert await store.get(lease_place(A).name) is None
    assert is_clean(pool)


async def test_a_renewal_that_is_due_in_the_moment_of_the_release_does_not_begin(pool: Pool) -> None:
    lease = await pool.acquire([A], wait_s=0)
    giving_back = lease.give_back()
    lease._start_renewal()
    assert lease._renewal is None
    await giving_back
    assert is_clean(pool)


async def test_a_renewal_that_ends_in_the_moment_of_the_release_is_the_last() -> None:
    class Releasing(FaultyStore):
        async def alter(self, record: str, change: Change, /) -> Outcome:
            outcome = await super().alter(record, change)
            if self.asked.count("put lease") == 2:
                lease.give_back()
            return outcome

    store = Releasing()
    pool = make_pool(store)
    lease = await pool.acquire([A], wait_s=0)
    await asyncio.sleep(10 * LEASE_TTL_S)
    assert store.asked.count("put lease") == 2
    assert await store.get(lease_place(A).name) is None
    assert is_clean(pool)


async def test_a_release_after_a_renewal_stops_the_next(pool: Pool, store: FaultyStore) -> None:
    lease = await pool.acquire([A], wait_s=0)
    await asyncio.sleep(25)
    await lease.release()
    store.take_asked()
    await asyncio.sleep(100)
    assert store.asked == []


# --- without the store ----------------------------------------------------------------------------


async def test_without_the_store_this_process_still_excludes_and_cools_down(
    pool: Pool, store: FaultyStore
) -> None:
    store.is_lost = True
    lease = await pool.acquire([A, B], wait_s=0)
    assert type(await refusal(pool, A)) is AccountBusy
    waiting = await acquire_soon(pool, A)
    await asyncio.sleep(25)  # over a renewal
    await lease.release()
    await (await waiting).release()
    await pool.cool_downs.throttled(A)
    assert type(await refusal(pool, A)) is Throttled
    assert await use(pool, A, B) is B
    assert is_clean(pool)


async def test_a_lease_that_a_failing_store_could_not_remove_does_not_lock_its_own_process_out(
    pool: Pool, store: FaultyStore
) -> None:
    for wait_s in (1, 61):  # while it is still there, and when it has expired
        lease = await pool.acquire([A], wait_s=0)
        store.is_lost = True
        await lease.release()
        store.is_lost = False
        assert await store.get(lease_place(A).name) is not None
        await asyncio.sleep(wait_s)
        lease = await pool.acquire([A], wait_s=0)
        assert type(await refusal(make_pool(store), A)) is AccountBusy
        await asyncio.sleep(50)
        assert type(await refusal(make_pool(store), A)) is AccountBusy
        await lease.release()
        assert await store.get(lease_place(A).name) is None


async def test_a_lease_left_behind_that_another_process_has_meanwhile_is_not_ours(
    pool: Pool, store: FaultyStore
) -> None:
    lease = await pool.acquire([A], wait_s=0)
    store.is_lost = True
    await lease.release()
    store.is_lost = False
    await asyncio.sleep(61)
    other = await make_pool(store).acquire([A], wait_s=0)
    for _ in range(2):
        assert type(await refusal(pool, A)) is AccountBusy
    await other.release()
    assert await use(pool, A) is A
    assert pool._left_behind == {}


async def test_a_lease_left_behind_is_not_forgotten_over_a_cool_down(pool: Pool, store: FaultyStore) -> None:
    lease = await pool.acquire([A], wait_s=0)
    store.is_lost = True
    await lease.release()
    store.is_lost = False
    await pool.cool_downs.busy_elsewhere(A)
    assert type(await refusal(pool, A)) is AccountBusy
    await asyncio.sleep(3)
    assert await use(pool, A) is A


async def test_what_is_left_behind_is_remembered_within_bounds(pool: Pool, store: FaultyStore) -> None:
    store.is_lost = True
    accounts = [make_account(str(number)) for number in range(MAX_LEFT_BEHIND + 5)]
    for account in accounts:
        await use(pool, account)
    assert list(pool._left_behind) == [account.label for account in accounts[5:]]


# --- status ---------------------------------------------------------------------------------------


async def test_status_tells_what_keeps_an_account(pool: Pool, store: FaultyStore) -> None:
    assert await pool.status(A) == AccountStatus("free")
    lease = await pool.acquire([A], wait_s=0)
    assert await pool.status(A) == AccountStatus("leased")
    assert await make_pool(store).status(A) == AccountStatus("leased")
    await pool.cool_downs.throttled(A)
    assert await pool.status(A) == AccountStatus("cooling", loop_time() + 30, "throttled")
    store.is_lost = True
    await pool.cool_downs.succeeded(A)
    assert await pool.status(A) == AccountStatus("leased")
    await lease.release()


# --- all at once ----------------------------------------------------------------------------------


async def crowd(
    pools: list[Pool], chance: random.Random, holding: Callable[[Account], Awaitable[None]]
) -> None:
    """Many who come, wait, hold, report, are cancelled in any of it, and leave."""

    async def come() -> None:
        pool = chance.choice(pools)
        await asyncio.sleep(chance.random() * 20)
        accounts = chance.sample([A, B, C], chance.randint(1, 3))
        try:
            lease = await pool.acquire(accounts, wait_s=chance.choice([0.0, 1.0, 30.0]))
        except GatewayError:
            return
        try:
            await holding(lease.account)
            if chance.random() < 0.1:
                await pool.cool_downs.busy_elsewhere(lease.account)
            if chance.random() < 0.1:
                await pool.cool_downs.throttled(lease.account, 1)
            else:
                await pool.cool_downs.succeeded(lease.account)
        finally:
            await lease.release()

    async def come_and_perhaps_leave() -> None:
        task = asyncio.create_task(come())
        if chance.random() < 0.5:
            await asyncio.sleep(chance.random() * 30)
            task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()

    await asyncio.gather(*(come_and_perhaps_leave() for _ in range(60)))


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("fails", [False, True])
async def test_in_any_crowd_no_account_is_shared_and_nothing_stays_behind(seed: int, fails: bool) -> None:
    """Over a slow store two processes exclude each other; where it comes and goes, one does so by itself."""
    chance = random.Random(seed)
    before = asyncio.all_tasks()
    store = FaultyStore(delay=lambda: chance.random() * 0.05)
    pools = [
        Pool(shared(store, loop_time), now=loop_time, chance=chance.random) for _ in range(1 if fails else 2)
    ]
    held: set[str] = set()
    served = 0

    async def holding(account: Account) -> None:
        nonlocal served
        assert account.label not in held
        held.add(account.label)
        served += 1
        try:
            store.is_lost = fails and chance.random() < 0.5
            await asyncio.sleep(chance.random() * 2)
        finally:
            held.discard(account.label)

    await crowd(pools, chance, holding)
    await asyncio.sleep(1)  # what was cancelled is undone in the background
    assert served > 10
    assert all(is_clean(pool) for pool in pools)
    assert asyncio.all_tasks() == before
    store.is_lost = False
    if not fails:
        assert [await store.get(lease_place(account).name) for account in (A, B, C)] == [None] * 3
