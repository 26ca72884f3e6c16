"""A login outlives a store that is emptied, deleted or replaced while a process holds the account's chain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import time

import pytest

from lib.errors import NoAccountAvailable
from lib.store.settings import SqliteSettings
from lib.store.shared import OFFER_EVERY_S, SharedState
from lib.upstreams.chatglm.accounts.account import parse_account
from lib.upstreams.choose import close_services
from tests.conftest import SimulatedAccount, Upstream
from tests.unit.conftest import Flow
from tests.unit.upstreams.chatglm.accounts.fakes import FaultyStore


def delete(path: Path) -> None:
    path.unlink()


def overwrite(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"")
    other.replace(path)


@pytest.mark.parametrize("fate", [delete, overwrite, replace])
async def test_an_orderly_end_saves_the_login_in_whatever_file_there_is(
    flow: Flow, account: SimulatedAccount, upstream: Upstream, tmp_path: Path, fate: Callable[[Path], None]
) -> None:
    path = tmp_path / "store.db"
    flow.configure(store=SqliteSettings(str(path)))
    await flow.ask([account])
    fate(path)
    await close_services()
    upstream.sim.expire_access_tokens(account.uid)
    assert (await flow.ask([account])).reason == "stop"
    assert upstream.count("user/refresh") == 2


@pytest.mark.parametrize(
    ("is_owner", "has_file"),
    [(True, True), (False, True), (True, False)],
    ids=["owner", "pass-through", "memory"],
)
async def test_only_a_login_of_the_owner_waits_for_a_store_that_never_worked(
    flow: Flow, upstream: Upstream, tmp_path: Path, is_owner: bool, has_file: bool
) -> None:
    account = upstream.add_account()
    flow.configure(refresh_tokens=(account.token,) if is_owner else ("x.eyJ0eXBlIjoiYWNjZXNzIn0.y",))
    if has_file:
        flow.configure(store=SqliteSettings(str(tmp_path)))  # A folder.
    if not is_owner or not has_file:
        assert (await flow.ask([account], is_owner=is_owner)).reason == "stop"
        return
    with pytest.raises(NoAccountAvailable) as caught:
        await flow.ask([account], is_owner=is_owner)
    assert caught.value.code == "store_unavailable"
    assert upstream.count("user/refresh") == 0


class Gone(FaultyStore):
    """Forgets everything, as a Redis does at FLUSHDB."""

    def forget(self) -> None:
        self._entries.clear()


async def test_a_request_saves_the_login_again_after_its_last_word_and_not_before_its_first(
    flow: Flow, account: SimulatedAccount
) -> None:
    now = time()
    store = Gone(now=lambda: now)
    vars(flow.gateway.memory).update(vars(SharedState(store, now=lambda: now)))
    await flow.ask([account])
    usual = store.take_asked()
    async with flow.open([account]) as reply:
        at_first_word = store.take_asked()
        assert [event async for batch in reply for event in batch]
    assert set(at_first_word) <= set(usual)
    assert len(store.take_asked()) == 1  # The lease is given back.

    store.forget()
    now += OFFER_EVERY_S
    async with flow.open([account]) as reply:
        assert store.take_asked() == at_first_word, "no round trip more before the first content"
        assert [event async for batch in reply for event in batch]
    assert store.take_asked()[1:] == ["read token", "put token"]
    assert await store.get(f"token:{parse_account(account.token).key}") is not None


async def test_an_instance_without_the_chain_does_not_shut_out_the_one_that_has_it(
    flow: Flow, account: SimulatedAccount, upstream: Upstream, tmp_path: Path
) -> None:
    path = tmp_path / "store.db"
    flow.configure(store=SqliteSettings(str(path)))
    await flow.ask([account], is_owner=True)
    delete(path)
    holder = flow.settings
    flow.configure(heartbeat_s=1.0)  # Another instance.
    with pytest.raises(NoAccountAvailable):
        await flow.ask([account], is_owner=True)
    [violation] = upstream.sim.violations
    assert "rotated refresh token" in violation  # The given token is all that the newcomer has.
    upstream.sim.violations.clear()
    newcomer, flow.settings = flow.settings, holder
    assert (await flow.ask([account], is_owner=True)).reason == "stop"
    flow.settings = newcomer  # The holder has given the chain to the store again.
    assert (await flow.ask([account], is_owner=True)).reason == "stop"
    assert upstream.count("user/refresh") == 2
