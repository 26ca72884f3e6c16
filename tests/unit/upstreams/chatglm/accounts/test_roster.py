"""Which accounts the owner has, when the list is read, and what a request learns on its way; time jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from lib.chat.caller import Caller
from lib.errors import AccountBusy, AccountRefused, NoAccountAvailable
from lib.settings import Settings
from lib.store.memory import MemoryStore
from lib.store.settings import SqliteSettings
from lib.upstreams.chatglm.accounts.account import Account, parse_account
from lib.upstreams.chatglm.accounts.pool import Pool
from lib.upstreams.chatglm.accounts.roster import EVERY_S, PATIENCE_S, News, Roster
from lib.upstreams.chatglm.accounts.rotation import Rotation
from lib.upstreams.chatglm.accounts.stored import PLACE, StoredAccounts
from lib.upstreams.chatglm.accounts.tokens import AccessTokens, Grant
from lib.upstreams.chatglm.wire.client import ChatGLM
from tests.unit.upstreams.chatglm.accounts.fakes import (
    EPOCH,
    FaultyStore,
    JumpingLoop,
    loop_time,
    make_account,
    make_jwt,
    shared,
)

pytestmark = pytest.mark.anyio

OWNER = Caller((), is_owner=True, key="sk")
SETTINGS = Settings(api_keys=("sk",), store=SqliteSettings("unused"))
A, A_AGAIN, B = make_account("a"), make_account("a", login=2), make_account("b")
DEAD = AccountRefused("The upstream refuses it.")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": JumpingLoop}


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore()


def make_roster(store: FaultyStore, *own: Account | str) -> Roster:
    """Make the roster of one process."""
    tokens = tuple(one if isinstance(one, str) else one.refresh_token for one in own)
    stored = StoredAccounts(shared(store, loop_time), SETTINGS, now=loop_time)
    return Roster(tokens, stored, now=loop_time)


def own(roster: Roster) -> tuple[str, ...]:
    return roster._tokens


async def known(roster: Roster) -> tuple[Account, ...]:
    return await roster.known(own(roster))


async def latest(roster: Roster) -> tuple[Account, ...]:
    await roster.read()
    return roster.of(own(roster))


async def pass_time(seconds: float) -> None:
    await asyncio.sleep(seconds)


# When the list is read


async def test_a_new_process_without_an_account_reads_the_list_first(store: FaultyStore) -> None:
    await make_roster(store).add(A)
    store.take_asked()
    assert await known(make_roster(store)) == (A,)
    assert store.take_asked() == ["get accounts"]


async def test_a_new_process_with_an_account_reads_the_list_beside_the_request(store: FaultyStore) -> None:
    await make_roster(store).add(B)
    store.delay = lambda: 1.0
    roster = make_roster(store, A)
    store.take_asked()
    rotation = await Way(store, roster).begin()
    leased = await rotation.lease()
    assert "get accounts" not in store.take_asked(), "it asks for the account first"
    assert roster.is_reading
    assert not roster.has_read, "it did not wait"
    await leased.lease.release()
    await roster.settle()
    assert roster.of(own(roster)) == (A, B)


async def test_a_warm_process_reads_the_list_every_30_s_at_most(store: FaultyStore) -> None:
    here, there = make_roster(store, A), make_roster(store)
    await latest(here)
    await there.add(B)
    store.take_asked()
    await pass_time(EVERY_S - 1)
    for _ in range(3):
        assert await known(here) == (A,)
        await here.settle()
    assert store.take_asked() == []
    await pass_time(1)
    await known(here)
    await here.settle()
    assert await known(here) == (A, B)
    assert store.take_asked() == ["get accounts"]


async def test_a_warm_process_without_an_account_looks_again_before_it_refuses(store: FaultyStore) -> None:
    here, there = make_roster(store), make_roster(store)
    assert await here.needed(()) == ()
    assert store.take_asked() == ["get accounts"], "a new process reads the list once"
    await there.add(A)
    store.take_asked()
    assert await here.needed(()) == (A,)
    assert store.take_asked() == ["get accounts"]
    assert await here.needed(()) == (A,)
    assert store.take_asked() == [], "with an account it reads nothing more"


async def test_requests_at_once_read_the_list_once(store: FaultyStore) -> None:
    await make_roster(store).add(A)
    store.take_asked()
    roster = make_roster(store)
    assert await asyncio.gather(*(known(roster) for _ in range(5))) == [(A,)] * 5
    assert store.take_asked() == ["get accounts"]


async def test_a_process_knows_its_own_change_at_once(store: FaultyStore) -> None:
    roster = make_roster(store)
    assert await known(roster) == ()
    await roster.add(A)
    assert await known(roster) == (A,)
    await roster.remove(A.label)
    assert await known(roster) == ()


class Late(FaultyStore):
    """A store whose first answer is on its way for two seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._slow = iter((2.0,))

    async def get(self, key: str) -> str | None:
        value = await super().get(key)
        await asyncio.sleep(next(self._slow, 0.0))
        return value


async def test_a_change_counts_although_an_older_reading_ends_after_it() -> None:
    roster = make_roster(Late(), B)
    roster.refresh()
    await asyncio.sleep(0)  # The reading is under way, and has found no list.
    await roster.add(A)
    assert roster.is_reading
    await roster.settle()
    assert roster.of(own(roster)) == (B, A)


async def test_without_a_store_that_lasts_nothing_is_read() -> None:
    roster = Roster((A.refresh_token,), None, now=loop_time)
    assert await known(roster) == await latest(roster) == roster.of(own(roster)) == (A,)
    assert roster.has_read
    assert not roster.is_reading


# A store that fails


async def test_a_store_that_fails_takes_no_account_away(store: FaultyStore) -> None:
    roster = make_roster(store)
    await roster.add(A)
    store.is_lost = True
    await pass_time(EVERY_S)
    assert await known(roster) == (A,)
    await roster.settle()
    assert await known(roster) == (A,)


async def test_a_new_process_whose_store_fails_says_that_and_looks_again(store: FaultyStore) -> None:
    await make_roster(store).add(A)
    roster = make_roster(store)
    store.is_lost = True
    assert await known(roster) == ()
    assert (roster.none().code, roster.none().retry_after_s) == ("store_unavailable", 10.0)
    store.is_lost = False
    await pass_time(10.0)
    assert await known(roster) == (A,)


async def test_a_store_that_was_emptied_gets_the_list_back(store: FaultyStore) -> None:
    roster = make_roster(store)
    await roster.add(A)
    written = await store.get(PLACE.name)
    assert written is not None
    await store.remove(PLACE.name, written)
    assert await latest(roster) == (A,)
    assert await known(make_roster(store)) == (A,)


async def test_a_list_that_was_emptied_stays_empty(store: FaultyStore) -> None:
    here, there = make_roster(store), make_roster(store)
    await here.add(A)
    assert await known(there) == (A,)
    await here.remove(A.label)
    assert await latest(there) == ()
    assert await known(make_roster(store)) == ()


async def test_without_an_account_it_says_where_to_add_one(store: FaultyStore) -> None:
    roster = make_roster(store)
    await known(roster)
    assert "POST /tokens" in roster.none().message
    forgetful = Roster((), None).none()
    assert "STORE_URL" in forgetful.message
    assert forgetful.code == roster.none().code == "no_account_available"


# Accounts of the settings


async def test_an_account_is_listed_once_and_its_newer_login_is_used(store: FaultyStore) -> None:
    roster = make_roster(store, A, B)
    member, replaced = await roster.add(A_AGAIN)
    assert (member.account, member.source, replaced) == (A_AGAIN, "environment", False)
    assert roster.of(own(roster)) == (A_AGAIN, B)
    assert [member.source for member in roster.members] == ["environment"] * 2
    assert roster.owns(A.refresh_token)
    assert roster.owns(A_AGAIN.refresh_token)
    assert roster.tokens == (A_AGAIN.refresh_token, B.refresh_token)


def login(number: int, *, ends_in_days: float) -> Account:
    return parse_account(make_jwt(type="refresh", uid="a", jti=number, exp=EPOCH + ends_in_days * 86400))


OLDER, MIDDLE, NEWER = login(1, ends_in_days=100), login(2, ends_in_days=110), login(3, ends_in_days=120)


@pytest.mark.parametrize(
    ("before", "added", "after", "used"),
    [
        (OLDER, MIDDLE, OLDER, MIDDLE),
        (NEWER, MIDDLE, NEWER, MIDDLE),  # The owner had a reason to choose the older one.
        (OLDER, MIDDLE, NEWER, NEWER),  # The settings were changed after it was added.
        (NEWER, MIDDLE, OLDER, MIDDLE),
        (None, MIDDLE, NEWER, NEWER),
        (None, MIDDLE, OLDER, MIDDLE),
    ],
)
async def test_which_of_two_logins_is_the_newer_one(
    *, store: FaultyStore, before: Account | None, added: Account, after: Account, used: Account
) -> None:
    await make_roster(store, *filter(None, [before])).add(added)
    assert await latest(make_roster(store, after)) == (used,)


async def test_a_wrong_token_of_the_settings_spoils_nothing(store: FaultyStore) -> None:
    roster = make_roster(store, make_jwt(type="access", uid="x"), B)
    await roster.add(A)
    assert roster.of(own(roster)) == (B, A)
    assert len(roster.tokens) == 3


# On the way of a request


class Way:
    """One request of the owner's, over a pool of its process."""

    def __init__(self, store: FaultyStore, roster: Roster, *, label: str = "") -> None:
        async def refresh(account: Account, refresh_token: str) -> Grant:
            raise NotImplementedError

        self.pool = Pool(shared(store, loop_time), now=loop_time, chance=lambda: 1.0)
        self._make: Callable[..., Rotation] = lambda known, until: Rotation(
            known,
            OWNER,
            self.pool,
            AccessTokens(shared(MemoryStore(now=loop_time), loop_time), refresh),
            cast(ChatGLM, None),
            until=until,
            news=News(roster, own(roster), label),
        )
        self._roster = roster

    async def begin(self, wait_s: float = 30.0) -> Rotation:
        return self._make(await known(self._roster), asyncio.get_running_loop().time() + wait_s)


async def asked(rotation: Rotation, refusal: AccountRefused = DEAD) -> list[Account]:
    """Refuse every account; return those that were asked."""
    found: list[Account] = []
    while True:
        try:
            leased = await rotation.lease()
            found.append(leased.account)
            await leased.note(refusal)
            await leased.lease.release()
            await rotation.go_on(leased.account, refusal)
        except NoAccountAvailable:
            return found


async def test_a_refused_account_sends_the_request_to_the_list(store: FaultyStore) -> None:
    """Another instance has got a newer login a second ago."""
    roster = make_roster(store, A)
    await latest(roster)
    await make_roster(store, A).add(A_AGAIN)
    way = Way(store, roster)
    assert await asked(await way.begin()) == [A, A_AGAIN]
    assert await asked(await way.begin()) == [], "both are known to be refused"


async def test_a_request_that_all_accounts_refuse_reads_the_list_once(store: FaultyStore) -> None:
    roster = make_roster(store, A, B)
    await latest(roster)
    store.take_asked()
    assert len(await asked(await Way(store, roster).begin())) == 2
    assert store.take_asked().count("get accounts") == 1


async def test_a_new_process_whose_account_is_busy_takes_one_of_the_list(store: FaultyStore) -> None:
    await make_roster(store).add(B)
    elsewhere = await Way(store, make_roster(store, A)).begin()
    assert (await elsewhere.lease()).account in (A, B)
    elsewhere_too = await Way(store, make_roster(store, A)).begin()
    assert (await elsewhere_too.lease()).account in (A, B)
    store.delay = lambda: 0.1
    with pytest.raises(AccountBusy):
        await (await Way(store, make_roster(store, A)).begin(wait_s=1.0)).lease()


async def test_a_busy_account_of_the_settings_makes_no_request_wait_while_another_is_free(
    store: FaultyStore,
) -> None:
    await make_roster(store).add(B)
    other = Way(store, make_roster(store))
    held = await other.pool.acquire((A,), wait_s=0.0)
    store.delay = lambda: 0.1
    began_at = asyncio.get_running_loop().time()
    leased = await (await Way(store, make_roster(store, A)).begin()).lease()
    assert leased.account == B
    assert asyncio.get_running_loop().time() - began_at < 1.5
    await held.release()


async def test_a_removed_account_answers_no_request_that_begins_30_s_later(store: FaultyStore) -> None:
    here, there = make_roster(store, A), make_roster(store, A)
    await there.add(B)
    assert await latest(here) == (A, B)
    way = Way(store, here)
    kept = await way.pool.acquire((A,), wait_s=0.0)
    await there.remove(B.label)
    await pass_time(EVERY_S)
    with pytest.raises(AccountBusy):
        await (await way.begin(wait_s=1.0)).lease()
    await kept.release()


async def test_a_request_does_not_ask_with_a_token_that_was_replaced_30_s_ago(store: FaultyStore) -> None:
    here, there = make_roster(store, A), make_roster(store, A)
    assert await latest(here) == (A,)
    await there.add(A_AGAIN)
    await pass_time(EVERY_S)
    store.delay = lambda: 0.1
    rotation = await Way(store, here).begin()
    leased = await rotation.lease()
    assert leased.account == A_AGAIN
    await leased.lease.release()


async def test_a_list_that_comes_late_does_not_hold_up_a_request(store: FaultyStore) -> None:
    roster = make_roster(store, A)
    await latest(roster)
    await pass_time(EVERY_S)
    slow = iter((60.0,))  # Of the list alone; the store is asked for a lease after that.
    store.delay = lambda: next(slow, 0.0)
    rotation = await Way(store, roster).begin()
    await asyncio.sleep(0)
    began_at = asyncio.get_running_loop().time()
    assert (await rotation.lease()).account == A
    assert asyncio.get_running_loop().time() - began_at <= PATIENCE_S + 0.1


async def test_a_request_of_one_conversation_takes_no_other_account(store: FaultyStore) -> None:
    roster = make_roster(store, A)
    await make_roster(store, A).add(B)
    assert await asked(await Way(store, roster, label=A.label).begin()) == [A]


async def test_a_request_finds_no_account_if_the_last_one_is_removed_on_its_way(store: FaultyStore) -> None:
    here, there = make_roster(store), make_roster(store)
    await there.add(A)
    await latest(here)
    rotation = await Way(store, here).begin()
    await there.remove(A.label)
    await pass_time(EVERY_S)
    await latest(here)
    with pytest.raises(NoAccountAvailable, match="POST /tokens"):
        await rotation.lease()
