from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from lib.errors import (
    AccountRefused,
    NoAccountAvailable,
    UpstreamNotReached,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from lib.store import Change, Outcome, Store
from lib.store.circuit import REST_S
from lib.store.seal import Place
from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.chatglm.accounts.refresh_turn import LOCK_TTL_S, MAX_WAIT_S
from lib.upstreams.chatglm.accounts.tokens import MAY_STILL_COME_S, AccessTokens, Grant
from tests.unit.upstreams.chatglm.accounts.fakes import (
    EPOCH,
    Clock,
    FaultyStore,
    make_account,
    make_jwt,
    shared,
)

pytestmark = pytest.mark.anyio

ACCOUNT = make_account("a")
KEY = f"token:{ACCOUNT.key}"
LOCK = f"refresh:{ACCOUNT.key}"
NOTE = f"rotating:{ACCOUNT.key}"


class Upstream:
    """Rotates: with each refresh the token that it was made with stops working, unless it is lax."""

    def __init__(self, clock: Clock, *, is_lax: bool = False) -> None:
        self.clock = clock
        self.is_lax = is_lax
        self.is_guest = False
        self.valid = {ACCOUNT.refresh_token}
        self.asked: list[str] = []
        self.during: Callable[[], Awaitable[None]] | None = None

    async def refresh(self, account: Account, refresh_token: str) -> Grant:
        assert account is ACCOUNT
        self.asked.append(refresh_token)
        if self.during is not None:
            await self.during()
        if refresh_token not in self.valid:
            raise AccountRefused("40102")
        if not self.is_lax:
            self.valid.discard(refresh_token)
        number = len(self.asked)
        new = make_jwt(type="refresh", jti=number, exp=self.clock.time + 180 * 86400)
        self.valid.add(new)
        access = make_jwt(type="access", jti=number, exp=self.clock.time + 86400)
        return Grant(access, new, is_guest=self.is_guest)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> FaultyStore:
    return FaultyStore(now=clock)


@pytest.fixture
def upstream(clock: Clock) -> Upstream:
    return Upstream(clock)


class Sleeper:
    """Passes the fake clock's time in place of sleeping."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.slept: list[float] = []
        self.during: Callable[[], Awaitable[None]] | None = None

    async def __call__(self, delay_s: float) -> None:
        self.slept.append(delay_s)
        self.clock.time += delay_s
        if self.during is not None:
            await self.during()


@pytest.fixture
def sleeper(clock: Clock) -> Sleeper:
    return Sleeper(clock)


@pytest.fixture
def tokens(store: FaultyStore, upstream: Upstream, clock: Clock, sleeper: Sleeper) -> AccessTokens:
    return AccessTokens(shared(store, clock), upstream.refresh, now=clock, sleep=sleeper, chance=lambda: 1.0)


async def stored(store: Store) -> dict[str, object]:
    text = await store.get(KEY)
    assert text is not None
    record = json.loads(text)
    assert isinstance(record, dict)
    return record


async def test_a_token_is_fetched_once_and_then_known_without_asking_anybody(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore
) -> None:
    token = await tokens.get(ACCOUNT)
    store.take_asked()
    assert await tokens.get(ACCOUNT) == token
    assert upstream.asked == [ACCOUNT.refresh_token]
    assert store.asked == []


async def test_the_record_holds_the_new_tokens_for_180_days(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore, clock: Clock
) -> None:
    token = await tokens.get(ACCOUNT)
    assert await stored(store) == {
        "refresh_token": next(iter(upstream.valid)),
        "access_token": token,
        "expires_at": EPOCH + 86400,
        "made_at": EPOCH,
    }
    clock.time += 180 * 86400 - 1
    assert await store.get(KEY) is not None
    clock.time += 1
    assert await store.get(KEY) is None


async def test_a_token_is_replaced_5_minutes_before_its_end_with_the_rotated_refresh_token(
    tokens: AccessTokens, upstream: Upstream, clock: Clock
) -> None:
    first = await tokens.get(ACCOUNT)
    clock.time += 86400 - 301
    assert await tokens.get(ACCOUNT) == first
    (rotated,) = upstream.valid
    clock.time += 1
    assert await tokens.get(ACCOUNT) != first
    assert upstream.asked == [ACCOUNT.refresh_token, rotated]


async def test_another_process_finds_the_token_in_the_store(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore, clock: Clock
) -> None:
    token = await tokens.get(ACCOUNT)
    other = AccessTokens(shared(store, clock), upstream.refresh, now=clock)
    assert await other.get(ACCOUNT) == token
    assert len(upstream.asked) == 1


async def test_the_rotated_token_is_in_the_store_before_anybody_has_the_access_token(
    upstream: Upstream, clock: Clock
) -> None:
    order: list[str] = []

    class Watched(FaultyStore):
        async def alter(self, record: str, change: Change, /) -> Outcome:
            await asyncio.sleep(0)
            outcome = await super().alter(record, change)
            order.extend(f"{name.partition(':')[0]} persisted" for name in change.puts)
            order.extend(f"{name.partition(':')[0]} dropped" for name in change.drops)
            return outcome

    tokens = AccessTokens(shared(Watched(now=clock), clock), upstream.refresh, now=clock)

    async def use() -> None:
        await tokens.get(ACCOUNT)
        order.append("used")

    await asyncio.gather(use(), use())
    assert order == [
        *("refresh persisted", "rotating persisted"),
        *("token persisted", "refresh dropped", "rotating dropped"),
        *("used", "used"),
    ]


async def test_many_who_ask_at_once_cost_one_refresh(tokens: AccessTokens, upstream: Upstream) -> None:
    got = await asyncio.gather(*(tokens.get(ACCOUNT) for _ in range(20)))
    assert len(set(got)) == 1
    assert len(upstream.asked) == 1


async def test_a_failing_refresh_is_an_exception_for_all_who_wait_and_the_next_may_succeed(
    tokens: AccessTokens, upstream: Upstream
) -> None:
    async def fail() -> None:
        raise UpstreamUnreachable("no route")

    upstream.during = fail
    got = await asyncio.gather(*(tokens.get(ACCOUNT) for _ in range(5)), return_exceptions=True)
    assert [type(error) for error in got] == [UpstreamUnreachable] * 5
    assert len(upstream.asked) == 1
    upstream.during = None
    assert await tokens.get(ACCOUNT)


async def test_the_lock_is_given_back_after_success_and_failure(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore
) -> None:
    seen = []

    async def look() -> None:
        seen.append(await store.get(LOCK))

    upstream.during = look
    await tokens.get(ACCOUNT)
    assert seen[0] is not None
    assert await store.get(LOCK) is None
    upstream.valid.clear()
    with pytest.raises(AccountRefused):
        await tokens.renew(ACCOUNT, await tokens.get(ACCOUNT))
    assert await store.get(LOCK) is None


async def test_a_first_caller_who_is_cancelled_cancels_nobody_else_and_loses_no_rotation(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore
) -> None:
    answer = asyncio.Event()

    async def wait() -> None:
        await answer.wait()

    upstream.during = wait
    first = asyncio.create_task(tokens.get(ACCOUNT))
    await asyncio.sleep(0)
    second = asyncio.create_task(tokens.get(ACCOUNT))
    await asyncio.sleep(0.001)
    first.cancel()
    await asyncio.sleep(0.001)
    first.cancel()
    await asyncio.sleep(0.001)
    assert not first.done(), "its request would end, and a host may freeze the process then"
    answer.set()
    with pytest.raises(asyncio.CancelledError):
        await first
    token = await second
    assert (await stored(store))["access_token"] == token
    assert len(upstream.asked) == 1


@pytest.mark.parametrize("fails", [False, True])
async def test_where_all_callers_are_gone_the_rotation_is_kept_and_a_failure_disturbs_nobody(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore, fails: bool
) -> None:
    answer = asyncio.Event()

    async def wait() -> None:
        await answer.wait()
        if fails:
            raise UpstreamUnreachable("no route")

    before = asyncio.all_tasks()
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    upstream.during = wait
    caller = asyncio.create_task(tokens.get(ACCOUNT))
    await asyncio.sleep(0.001)
    caller.cancel()
    await asyncio.sleep(0.001)
    answer.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await asyncio.sleep(0.001)
    assert asyncio.all_tasks() == before
    assert (await store.get(KEY) is None) is fails
    upstream.during = None
    await tokens.get(ACCOUNT)
    assert len(upstream.asked) == (2 if fails else 1)
    assert complaints == []


async def test_a_flight_that_is_cancelled_with_its_loop_leaves_room_for_the_next(
    tokens: AccessTokens, upstream: Upstream
) -> None:
    before = asyncio.all_tasks()
    caller = asyncio.create_task(tokens.get(ACCOUNT))
    await asyncio.sleep(0)
    (flight,) = asyncio.all_tasks() - before - {caller}
    flight.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert await tokens.get(ACCOUNT)


async def test_a_refused_token_costs_one_refresh_whoever_had_it(
    tokens: AccessTokens, upstream: Upstream
) -> None:
    old = await tokens.get(ACCOUNT)
    renewed = await asyncio.gather(*(tokens.renew(ACCOUNT, old) for _ in range(5)))
    assert set(renewed) != {old}
    assert len(set(renewed)) == 1
    assert await tokens.renew(ACCOUNT, old) == renewed[0]
    assert len(upstream.asked) == 2


async def test_a_refused_token_that_another_process_has_replaced_costs_no_refresh(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore, clock: Clock
) -> None:
    old = await tokens.get(ACCOUNT)
    other = AccessTokens(shared(store, clock), upstream.refresh, now=clock)
    new = await other.renew(ACCOUNT, old)
    assert await tokens.renew(ACCOUNT, old) == new
    assert len(upstream.asked) == 2


async def test_who_renews_does_not_accept_the_refused_token_from_a_look_up_under_way(
    upstream: Upstream, store: FaultyStore, clock: Clock
) -> None:
    old = await AccessTokens(shared(store, clock), upstream.refresh, now=clock).get(ACCOUNT)
    tokens = AccessTokens(shared(store, clock), upstream.refresh, now=clock)  # knows nothing yet
    got, renewed = await asyncio.gather(tokens.get(ACCOUNT), tokens.renew(ACCOUNT, old))
    assert got == old
    assert renewed != old


async def test_a_refresh_that_gives_the_refused_token_again_ends_all_the_same(
    store: FaultyStore, clock: Clock
) -> None:
    async def refresh(account: Account, refresh_token: str) -> Grant:
        return Grant("opaque", "next")

    tokens = AccessTokens(shared(store, clock), refresh, now=clock)
    assert await tokens.get(ACCOUNT) == "opaque"
    assert await tokens.renew(ACCOUNT, "opaque") == "opaque"


async def test_a_refresh_that_was_cut_off_is_told_to_who_is_refused_afterwards(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore, clock: Clock
) -> None:
    async def be_killed() -> None:
        upstream.valid.clear()  # rotated, but nobody hears of the new one
        raise asyncio.CancelledError

    upstream.during = be_killed
    with pytest.raises(asyncio.CancelledError):
        await tokens.get(ACCOUNT)
    upstream.during = None
    clock.time += LOCK_TTL_S
    other = AccessTokens(shared(store, clock), upstream.refresh, now=clock)
    with pytest.raises(NoAccountAvailable, match="was cut off"):
        await other.get(ACCOUNT)  # so soon afterwards somebody who was held up may still bring it
    clock.time += MAY_STILL_COME_S
    for _ in range(2):
        with pytest.raises(AccountRefused, match=r"begun at 2026-09-21 14:13:20 UTC was cut off"):
            await other.get(ACCOUNT)


async def test_a_refusal_without_one_says_nothing_of_it_and_a_success_forgets_it(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore
) -> None:
    async def fail() -> None:
        raise UpstreamUnreachable("reset")

    upstream.during = fail
    with pytest.raises(UpstreamUnreachable):
        await tokens.get(ACCOUNT)
    assert await store.get(NOTE) is not None  # it may have been rotated, for all we know
    upstream.during = None
    token = await tokens.get(ACCOUNT)
    assert await store.get(NOTE) is None
    upstream.valid.clear()
    with pytest.raises(AccountRefused) as caught:
        await tokens.renew(ACCOUNT, token)
    assert caught.value.message == "40102"
    assert await store.get(NOTE) is None


async def test_who_was_held_up_before_asking_asks_with_what_another_process_has_left(
    upstream: Upstream, store: FaultyStore, clock: Clock
) -> None:
    held_up: list[bool] = []

    class Pausing(FaultyStore):
        """Between its look at the chain and its refresh it is stopped for longer than its lock lives."""

        async def alter(self, record: str, change: Change, /) -> Outcome:
            outcome = await store.alter(record, change)
            if NOTE in change.puts and not held_up:
                held_up.append(True)
                clock.time += LOCK_TTL_S
                await AccessTokens(shared(store, clock), upstream.refresh, now=clock).get(ACCOUNT)
            return outcome

    tokens = AccessTokens(shared(Pausing(now=clock), clock), upstream.refresh, now=clock)
    token = await tokens.get(ACCOUNT)
    assert upstream.asked == [ACCOUNT.refresh_token]  # the other's; the old one was not used again
    assert token == (await stored(store))["access_token"]
    assert await store.get(LOCK) is None


async def test_who_is_held_up_again_and_again_gives_up(
    upstream: Upstream, store: FaultyStore, clock: Clock
) -> None:
    class Slow(FaultyStore):
        async def alter(self, record: str, change: Change, /) -> Outcome:
            outcome = await super().alter(record, change)
            clock.time += LOCK_TTL_S
            return outcome

    tokens = AccessTokens(shared(Slow(now=clock), clock), upstream.refresh, now=clock)
    with pytest.raises(UpstreamTimeout, match="held up"):
        await tokens.get(ACCOUNT)
    assert upstream.asked == []


async def test_with_a_store_that_fails_a_token_is_used_to_its_end_before_it_is_replaced(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore, clock: Clock
) -> None:
    token = await tokens.get(ACCOUNT)
    store.is_lost = True
    clock.time += 86400 - 299
    assert await tokens.get(ACCOUNT) == token
    clock.time += 299 - 29
    assert await tokens.get(ACCOUNT) != token
    assert len(upstream.asked) == 2


async def test_a_token_that_is_refused_while_the_store_fails_is_not_called_dead(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore, clock: Clock
) -> None:
    token = await tokens.get(ACCOUNT)
    other = AccessTokens(shared(store, clock), upstream.refresh, now=clock)
    assert await other.renew(ACCOUNT, token) != token
    store.is_lost = True
    with pytest.raises(NoAccountAvailable, match="store") as caught:
        await tokens.renew(ACCOUNT, token)
    assert (caught.value.retry, caught.value.retry_after_s) == ("elsewhere", REST_S)
    store.is_lost = False
    clock.time += REST_S
    assert await tokens.renew(ACCOUNT, token) == await other.get(ACCOUNT)


async def test_a_token_that_was_found_is_told_from_one_that_was_made_since(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore, clock: Clock
) -> None:
    first = await tokens.get(ACCOUNT)
    clock.time += 60
    other = AccessTokens(shared(store, clock), upstream.refresh, now=clock)
    assert await other.get(ACCOUNT) == first
    assert other.is_from(ACCOUNT, first, since=clock.time) is False
    second = await other.renew(ACCOUNT, first)
    assert other.is_from(ACCOUNT, second, since=clock.time) is True
    assert other.is_from(ACCOUNT, first, since=clock.time) is False


async def test_a_chain_that_appears_while_its_beginning_is_refused_is_gone_on_with(
    upstream: Upstream, store: FaultyStore, clock: Clock
) -> None:
    """As where the store could not be read at first."""
    await AccessTokens(shared(store, clock), upstream.refresh, now=clock).get(ACCOUNT)
    clock.time += 86400
    chain = await store.get(KEY)
    assert chain is not None
    await store.remove(KEY, chain)

    async def appear() -> None:
        upstream.during = None
        await store.put(KEY, chain, ttl_s=600)

    upstream.during = appear
    assert await AccessTokens(shared(store, clock), upstream.refresh, now=clock).get(ACCOUNT)
    assert len(upstream.asked) == 3


async def test_a_refresh_that_never_left_leaves_no_note(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore
) -> None:
    async def fail() -> None:
        raise UpstreamNotReached("no connection")

    upstream.during = fail
    with pytest.raises(UpstreamNotReached):
        await tokens.get(ACCOUNT)
    assert await store.get(NOTE) is None


async def test_a_token_is_known_once_the_upstream_has_taken_it(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore, clock: Clock
) -> None:
    assert await tokens.is_known(ACCOUNT) is False
    await tokens.get(ACCOUNT)
    assert await tokens.is_known(ACCOUNT) is True
    other = AccessTokens(shared(store, clock), upstream.refresh, now=clock)
    store.take_asked()
    assert await other.is_known(ACCOUNT) is True
    assert await other.is_known(ACCOUNT) is True
    assert store.take_asked() == ["read token"]


async def test_a_token_without_a_date_lives_an_hour_and_a_grant_without_rotation_keeps_the_chain(
    store: FaultyStore, clock: Clock
) -> None:
    asked = []

    async def refresh(account: Account, refresh_token: str) -> Grant:
        asked.append(refresh_token)
        return Grant(f"opaque {len(asked)}", "")

    tokens = AccessTokens(shared(store, clock), refresh, now=clock)
    assert await tokens.get(ACCOUNT) == "opaque 1"
    clock.time += 3600 - 301
    assert await tokens.get(ACCOUNT) == "opaque 1"
    clock.time += 1
    assert await tokens.get(ACCOUNT) == "opaque 2"
    assert asked == [ACCOUNT.refresh_token] * 2


async def test_a_rotated_token_that_is_refused_gives_the_given_one_a_last_chance(
    tokens: AccessTokens, upstream: Upstream
) -> None:
    old = await tokens.get(ACCOUNT)
    (rotated,) = upstream.valid
    upstream.valid = {ACCOUNT.refresh_token}
    assert await tokens.renew(ACCOUNT, old) != old
    assert upstream.asked == [ACCOUNT.refresh_token, rotated, ACCOUNT.refresh_token]


async def test_where_the_given_one_is_refused_too_the_account_is(
    tokens: AccessTokens, upstream: Upstream
) -> None:
    old = await tokens.get(ACCOUNT)
    upstream.valid.clear()
    with pytest.raises(AccountRefused):
        await tokens.renew(ACCOUNT, old)
    assert len(upstream.asked) == 3


async def test_a_given_token_that_is_refused_is_tried_once(tokens: AccessTokens, upstream: Upstream) -> None:
    upstream.valid.clear()
    with pytest.raises(AccountRefused):
        await tokens.get(ACCOUNT)
    assert upstream.asked == [ACCOUNT.refresh_token]


async def test_who_was_overtaken_in_the_middle_of_a_refresh_uses_the_other_process_token(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore, clock: Clock
) -> None:
    other = AccessTokens(shared(store, clock), upstream.refresh, now=clock)
    new = []

    async def pause() -> None:
        upstream.during = None
        clock.time += 31  # longer than the lock lives
        new.append(await other.get(ACCOUNT))

    upstream.during = pause
    assert await tokens.get(ACCOUNT) == new[0]
    assert len(upstream.asked) == 2


async def test_a_guest_is_refused_and_its_rotated_token_kept_all_the_same(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore
) -> None:
    upstream.is_guest = True
    for _ in range(2):
        with pytest.raises(AccountRefused, match="log in at chatglm") as caught:
            await tokens.get(ACCOUNT)
        assert caught.value.code == "guest_account"
        record = await stored(store)
        assert {record["refresh_token"]} == upstream.valid
        assert record["access_token"] == ""
    with pytest.raises(AccountRefused):
        await tokens.renew(ACCOUNT, "a token of before")
    assert len(upstream.asked) == 3


async def test_who_finds_another_process_refreshing_waits_for_its_token(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore, clock: Clock, sleeper: Sleeper
) -> None:
    other = AccessTokens(shared(store, clock), upstream.refresh, now=clock)
    await store.add(LOCK, "other", ttl_s=30)

    async def finish() -> None:
        if len(sleeper.slept) == 3:
            await store.remove(LOCK, "other")
            await other.get(ACCOUNT)
            await store.add(LOCK, "other", ttl_s=30)

    sleeper.during = finish
    token = await tokens.get(ACCOUNT)
    assert token == await other.get(ACCOUNT)
    assert len(upstream.asked) == 1
    assert sleeper.slept == [0.05, 0.1, 0.2]
    assert await store.get(LOCK) == "other"


async def test_polling_is_jittered_and_bounded(
    store: FaultyStore, upstream: Upstream, clock: Clock, sleeper: Sleeper
) -> None:
    tokens = AccessTokens(
        shared(store, clock), upstream.refresh, now=clock, sleep=sleeper, chance=lambda: 0.0
    )

    async def hold() -> None:
        await store.put(LOCK, "other", ttl_s=30)

    await hold()
    sleeper.during = hold
    store.take_asked()
    with pytest.raises(NoAccountAvailable, match=ACCOUNT.label) as caught:
        await tokens.get(ACCOUNT)
    assert (caught.value.retry, caught.value.retry_after_s) == ("elsewhere", REST_S)
    assert sleeper.slept[:2] == [0.025, 0.05]
    assert max(sleeper.slept) == 0.5
    assert MAX_WAIT_S <= sum(sleeper.slept) < MAX_WAIT_S + 1
    polls = [asked for asked in store.take_asked() if not asked.endswith("put refresh")]
    assert len(polls) == len(sleeper.slept) + 1  # a poll is one operation
    assert upstream.asked == []


async def test_a_lock_of_a_crashed_process_is_taken_over_when_it_expires(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore, clock: Clock, sleeper: Sleeper
) -> None:
    await store.add(LOCK, "crashed", ttl_s=30)
    with pytest.raises(NoAccountAvailable, match="has not finished"):
        await tokens.get(ACCOUNT)
    sleeper.slept.clear()
    clock.time += 30 - MAX_WAIT_S - 3
    assert await tokens.get(ACCOUNT)
    assert 0 < sum(sleeper.slept) <= 4


async def test_a_refresh_costs_two_trips_and_needs_no_look_before_it(
    tokens: AccessTokens, store: FaultyStore
) -> None:
    token = await tokens.get(ACCOUNT)
    assert store.take_asked() == ["put refresh rotating", "put token refresh rotating"]
    await tokens.renew(ACCOUNT, token)
    assert store.take_asked() == ["put refresh rotating", "put token refresh rotating"]


async def test_a_chain_that_another_process_has_made_costs_one_trip_and_no_lock(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore, clock: Clock
) -> None:
    other = AccessTokens(shared(store, clock), upstream.refresh, now=clock)
    first = await tokens.get(ACCOUNT)
    assert await other.get(ACCOUNT) == first
    second = await tokens.renew(ACCOUNT, first)
    store.take_asked()
    assert await other.renew(ACCOUNT, first) == second
    assert len(store.take_asked()) == 1
    assert await store.get(LOCK) is None
    assert await store.get(NOTE) is None
    assert len(upstream.asked) == 2


@pytest.mark.parametrize("left_s", [1800.5, 1799.5])
async def test_a_token_with_little_life_left_is_replaced_while_no_request_waits(
    tokens: AccessTokens, upstream: Upstream, clock: Clock, left_s: float
) -> None:
    token = await tokens.get(ACCOUNT)
    clock.time += 86400 - left_s
    await tokens.renew_ahead(ACCOUNT)
    assert len(upstream.asked) == (2 if left_s < 1800 else 1)
    assert (await tokens.get(ACCOUNT) == token) is (left_s > 1800)


async def test_a_token_is_not_replaced_ahead_if_its_successor_could_not_be_kept(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore, clock: Clock
) -> None:
    await tokens.get(ACCOUNT)
    clock.time += 86400 - 60
    store.is_lost = True
    await tokens.state.recall(Place("other"))
    await tokens.renew_ahead(ACCOUNT)
    assert len(upstream.asked) == 1


async def test_who_gets_the_lock_looks_once_more_whether_the_work_is_done(
    upstream: Upstream, store: FaultyStore, clock: Clock
) -> None:
    done: list[str] = []

    class Late(FaultyStore):
        async def alter(self, record: str, change: Change, /) -> Outcome:
            if not done:
                other = AccessTokens(shared(store, clock), upstream.refresh, now=clock)
                done.append(await other.get(ACCOUNT))
                text = await store.get(KEY)
                assert text is not None
                await self.put(KEY, text, ttl_s=60)
            return await super().alter(record, change)

    tokens = AccessTokens(shared(Late(now=clock), clock), upstream.refresh, now=clock)
    assert await tokens.get(ACCOUNT) == done[0]
    assert len(upstream.asked) == 1


async def test_two_processes_at_once_refresh_once(
    store: FaultyStore, upstream: Upstream, clock: Clock, sleeper: Sleeper
) -> None:
    async def yield_() -> None:
        await asyncio.sleep(0)

    upstream.during = sleeper.during = yield_
    processes = [
        AccessTokens(shared(store, clock), upstream.refresh, now=clock, sleep=sleeper) for _ in range(5)
    ]
    got = await asyncio.gather(*(tokens.get(ACCOUNT) for tokens in processes))
    assert len(set(got)) == 1
    assert len(upstream.asked) == 1


async def test_a_lost_store_loses_no_rotated_token(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore, clock: Clock
) -> None:
    store.is_lost = True
    first = await tokens.get(ACCOUNT)
    assert await tokens.get(ACCOUNT) == first
    second = await tokens.renew(ACCOUNT, first)
    clock.time += 86400
    third = await tokens.get(ACCOUNT)
    assert len({first, second, third}) == 3
    assert len(upstream.asked) == 3  # each with the token of the one before, else it had been refused


async def test_a_token_that_the_store_could_not_take_is_given_to_it_when_it_is_back(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore, clock: Clock
) -> None:
    store.is_lost = True
    token = await tokens.get(ACCOUNT)
    store.is_lost = False
    clock.time += 31
    assert await tokens.get(ACCOUNT) == token
    assert (await stored(store))["access_token"] == token
    assert len(upstream.asked) == 1


async def test_a_store_that_forgot_is_told_again_and_the_chain_goes_on(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore, clock: Clock
) -> None:
    await tokens.get(ACCOUNT)
    text = await store.get(KEY)
    assert text is not None
    await store.remove(KEY, text)
    clock.time += 86400
    assert await tokens.get(ACCOUNT)
    assert len(upstream.asked) == 2


@pytest.mark.parametrize(
    "text", ["", "junk", "[]", "{}", '{"refresh_token":"","access_token":"","expires_at":{}}']
)
async def test_a_record_that_is_not_ours_is_none(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore, text: str
) -> None:
    await store.put(KEY, text, ttl_s=60)
    assert await tokens.get(ACCOUNT)
    assert upstream.asked == [ACCOUNT.refresh_token]


async def test_peek_tells_the_end_of_the_chains_current_refresh_token_and_asks_nobody(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore, clock: Clock
) -> None:
    clock.time += 1000
    assert await tokens.peek(ACCOUNT) == ACCOUNT.expires_at == EPOCH + 180 * 86400
    await tokens.get(ACCOUNT)
    assert await tokens.peek(ACCOUNT) == EPOCH + 1000 + 180 * 86400
    assert len(upstream.asked) == 1


def test_a_grant_hides_its_tokens() -> None:
    assert repr(Grant("secret", "secret")) == "Grant(is_guest=False)"


async def leave_while_another_process_refreshes(tokens: AccessTokens, store: FaultyStore) -> None:
    await store.add(LOCK, "another process", ttl_s=30)
    caller = asyncio.create_task(tokens.get(ACCOUNT))
    await asyncio.sleep(0.001)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await store.remove(LOCK, "another process")


async def test_a_rotation_does_not_begin_where_nobody_waits_any_more(
    clock: Clock, upstream: Upstream, store: FaultyStore
) -> None:
    tokens = AccessTokens(shared(store, clock), upstream.refresh, now=clock)
    await leave_while_another_process_refreshes(tokens, store)
    await tokens.settle()
    assert upstream.asked == []
    assert await store.get(LOCK) is None
    assert await tokens.get(ACCOUNT)


async def test_who_comes_as_a_refresh_gives_up_begins_another(
    clock: Clock, upstream: Upstream, store: FaultyStore
) -> None:
    tokens = AccessTokens(shared(store, clock), upstream.refresh, now=clock)
    await leave_while_another_process_refreshes(tokens, store)
    (flight,) = tokens._flights.values()
    await asyncio.wait({flight.task})
    tokens._flights[ACCOUNT.key] = flight  # as it is in the moment before it has landed
    assert await tokens.get(ACCOUNT)
    newer = tokens._flights[ACCOUNT.key] = type(flight)("")
    tokens._land(ACCOUNT.key, flight)
    assert tokens._flights[ACCOUNT.key] is newer, "who lands late makes room for himself only"


async def test_a_server_that_ends_waits_for_the_rotation(tokens: AccessTokens, upstream: Upstream) -> None:
    answer = asyncio.Event()

    async def wait() -> None:
        await answer.wait()

    upstream.during = wait
    caller = asyncio.create_task(tokens.get(ACCOUNT))
    await asyncio.sleep(0.001)
    ending = asyncio.create_task(tokens.settle())
    await asyncio.sleep(0.001)
    assert not ending.done()
    answer.set()
    await ending
    assert await caller


@pytest.mark.parametrize(("is_taken", "life_s"), [(False, 3600), (True, 180 * 86400)])
async def test_the_note_of_a_token_that_was_never_taken_lives_an_hour(
    upstream: Upstream, store: FaultyStore, clock: Clock, is_taken: bool, life_s: float
) -> None:
    async def fail() -> None:
        raise UpstreamUnreachable("reset")

    tokens = AccessTokens(shared(store, clock), upstream.refresh, now=clock)
    token = await tokens.get(ACCOUNT) if is_taken else ""
    upstream.during = fail
    with pytest.raises(UpstreamUnreachable):
        await tokens.renew(ACCOUNT, token)
    clock.time += life_s - 1
    assert await store.get(NOTE) is not None
    clock.time += 1
    assert await store.get(NOTE) is None


async def test_a_note_that_is_not_ours_is_none(
    tokens: AccessTokens, upstream: Upstream, store: FaultyStore
) -> None:
    await store.put(NOTE, "junk", ttl_s=60)
    upstream.valid.clear()
    with pytest.raises(AccountRefused) as caught:
        await tokens.get(ACCOUNT)
    assert "cut off" not in caught.value.message


async def test_no_first_refresh_is_made_for_a_store_that_has_never_worked(
    store: FaultyStore, clock: Clock, upstream: Upstream
) -> None:
    tokens = AccessTokens(shared(store, clock), upstream.refresh, now=clock, must_be_kept=lambda _: True)
    store.is_lost = True
    with pytest.raises(NoAccountAvailable, match="See STORE_URL") as caught:
        await tokens.get(ACCOUNT)
    assert (caught.value.code, caught.value.retry_after_s) == ("store_unavailable", REST_S)
    assert upstream.asked == []
    store.is_lost = False
    clock.time += REST_S
    assert await tokens.get(ACCOUNT)
    assert upstream.asked == [ACCOUNT.refresh_token]


async def test_the_note_of_a_first_refresh_lives_an_hour(
    store: FaultyStore, clock: Clock, upstream: Upstream
) -> None:
    tokens = AccessTokens(shared(store, clock), upstream.refresh, now=clock)

    async def broken() -> None:
        raise UpstreamUnreachable("It broke.")

    upstream.during = broken
    with pytest.raises(UpstreamUnreachable):
        await tokens.get(ACCOUNT)
    assert await store.get(NOTE)
    clock.time += 3601
    assert await store.get(NOTE) is None
