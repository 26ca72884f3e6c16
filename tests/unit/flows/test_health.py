"""Looking at everything: what is well, what is not, and that nothing of it hangs or fails for the rest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from lib.flows import health as health_module
from lib.flows.health import DeepHealth, look, look_deep
from lib.store.settings import SqliteSettings
from lib.upstreams.chatglm import desk as desk_module
from lib.upstreams.chatglm.accounts.account import parse_account
from tests.conftest import SimulatedAccount, Upstream
from tests.unit.conftest import Flow


class HangingStore:
    """Takes connections, so to speak, and never answers."""

    async def get(self, key: str) -> str | None:
        await asyncio.Future()
        return None

    put = add = remove = get

    async def close(self) -> None: ...


class ForgetfulStore:
    """Says yes to everything and keeps nothing."""

    async def get(self, key: str) -> str | None:
        return None

    async def put(self, *_: Any, **__: Any) -> bool:
        return True

    add = remove = put

    async def close(self) -> None: ...


def give_store(flow: Flow, store: object) -> None:
    memory = flow.gateway.memory
    vars(memory)["_store"] = store


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "PAUSE_S", 0.01)


async def deep(flow: Flow, *accounts: SimulatedAccount | str, **how: Any) -> DeepHealth:
    tokens = tuple(account if isinstance(account, str) else account.token for account in accounts)
    flow.configure(refresh_tokens=tokens, api_keys=("sk-x",), allow_passthrough=False)
    return await look_deep(flow.services, **how)


# The shallow look


async def test_what_is_configured_is_told_without_opening_anything(flow: Flow, upstream: Upstream) -> None:
    flow.configure(refresh_tokens=("a.b.c",), api_keys=("x", "y"), max_duration_s=300.0, web_search=True)
    health = await look(flow.services)
    assert (health.accounts, health.api_keys, health.passthrough) == (1, 2, True)
    assert (health.store, health.store_works, health.max_duration_s) == ("memory", True, 300.0)
    assert (health.default_model, health.web_search_by_default) == ("glm-5.3-flash", True)
    assert health.status == "degraded"
    assert [note for note in health.notes if "memory://" in note]
    assert upstream.sim.calls == []
    assert "gateway" not in vars(flow.services), "nor anything made for it"


async def test_a_store_that_works_is_well(flow: Flow, tmp_path: Path) -> None:
    flow.configure(
        store=SqliteSettings(f"{tmp_path / 'state.db'}"), refresh_tokens=("a.eyJhIjoxfQ.c",), api_keys=("x",)
    )
    health = await look(flow.services)
    assert (health.status, health.store, health.store_works) == ("ok", "sqlite", True)
    [note] = health.notes
    assert "anybody may use this gateway" in note


async def test_a_store_that_fails_is_a_note(flow: Flow, tmp_path: Path) -> None:
    flow.configure(store=SqliteSettings(f"{tmp_path / 'no' / 'such' / 'folder' / 'state.db'}"))
    (tmp_path / "no").touch()
    health = await look(flow.services)
    assert (health.status, health.store_works) == ("degraded", False)
    [note] = [note for note in health.notes if "The store (sqlite)" in note]
    assert "takes no writes" in note
    assert str(tmp_path) not in note


async def test_a_store_that_hangs_keeps_nobody_waiting(
    flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "PROBE_TIMEOUT_S", 0.05)
    flow.configure(store=SqliteSettings(f"{tmp_path / 'state.db'}"))
    give_store(flow, HangingStore())
    probes = set()
    for _ in range(2):
        async with asyncio.timeout(30):
            health = await look(flow.services)
        assert (health.status, health.store_works) == ("degraded", False)
        assert any("does not answer" in note for note in health.notes)
        probes.add(probe_of(flow))
    assert len(probes) == 1, "the second one waits for the same, and does not take its silence for a yes"
    await end_probe(flow)


def probe_of(flow: Flow) -> asyncio.Task[str | None]:
    probe = flow.gateway.memory._probing
    assert probe is not None
    return probe


async def end_probe(flow: Flow) -> None:
    probe = probe_of(flow)
    probe.cancel()
    with suppress(asyncio.CancelledError):
        await probe


async def test_a_probe_that_is_over_is_made_again(flow: Flow, tmp_path: Path) -> None:
    flow.configure(store=SqliteSettings(f"{tmp_path / 'state.db'}"))
    await look(flow.services)
    first = probe_of(flow)
    await look(flow.services)
    assert probe_of(flow) is not first


# The deep one


async def test_an_account_that_lives_is_told_with_its_dates(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    health = await deep(flow, account)
    [found] = health.accounts
    assert (found.token, found.label, found.state, found.problem) == (1, account.label, "alive", None)
    assert (found.use, found.until, found.reason) == ("free", None, None)
    assert found.days_left == pytest.approx(180, abs=0.2)
    assert found.refresh_token_expires is not None
    expires = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 180 * 86400))
    assert found.refresh_token_expires == expires
    assert health.notes == flow.settings.gaps()
    assert 0 <= health.seconds < 20


async def test_nothing_but_the_store_being_memory_is_well_when_all_is(
    flow: Flow, account: SimulatedAccount, tmp_path: Path
) -> None:
    flow.configure(store=SqliteSettings(f"{tmp_path / 'state.db'}"))
    health = await deep(flow, account)
    assert (health.status, health.notes) == ("ok", [])
    assert health.settings.status == "ok"


async def test_each_account_is_told_for_itself(flow: Flow, upstream: Upstream) -> None:
    alive, guest, blocked, dead = (
        upstream.add_account(),
        upstream.add_account(guest=True),
        upstream.add_account(blocked=True),
        upstream.add_account(),
    )
    upstream.sim.revoke(dead.uid)
    access, _ = upstream.sim.book.rotate(upstream.sim.account(upstream.add_account().uid))
    health = await deep(flow, dead, guest, "sk-a-key", access, blocked, alive)
    assert [found.state for found in health.accounts] == [
        "refused",
        "guest",
        "unusable",
        "unusable",
        "blocked",
        "alive",
    ]
    assert [found.token for found in health.accounts] == [1, 2, 3, 4, 5, 6]
    assert [found.label for found in health.accounts][2:4] == [None, None]
    assert health.accounts[4].use == "cooling"
    assert health.accounts[4].reason == "blocked"
    assert health.accounts[4].until is not None
    assert health.accounts[4].until.endswith("Z")
    assert health.status == "degraded"
    notes = "\n".join(health.notes)
    for words in (
        f"Account {dead.label} has a refresh token that the upstream refuses",
        f"Account {guest.label} is a visitor's",
        "Entry 3 of CHATGLM_REFRESH_TOKENS is not a refresh token",
        "Entry 4 of CHATGLM_REFRESH_TOKENS is an access token",
        f"Account {blocked.label} is blocked",
    ):
        assert words in notes
    assert alive.label not in notes
    for secret in (alive.token, dead.token, "sk-a-key", access):
        assert secret not in notes + repr(health)


async def test_one_that_the_upstream_does_not_tell_of_spoils_nothing_of_the_others(
    flow: Flow, accounts: list[SimulatedAccount], upstream: Upstream
) -> None:
    upstream.sim.fail("user/info", status=503, body=b"<html>", uid=accounts[1].uid)
    health = await deep(flow, *accounts)
    assert [found.state for found in health.accounts] == ["alive", "unknown", "alive"]
    assert "HTTP 503" in (health.accounts[1].problem or "")
    assert any(f"Account {accounts[1].label} could not be checked" in note for note in health.notes)


async def test_a_check_is_remembered_unless_it_is_to_be_fresh(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    assert not (await deep(flow, account)).accounts[0].is_remembered
    again = (await deep(flow, account)).accounts[0]
    assert (again.state, again.is_remembered) == ("alive", True)
    assert upstream.count("user/info") == 1
    upstream.sim.block(account.uid)
    fresh = (await deep(flow, account, is_fresh=True)).accounts[0]
    assert (fresh.state, fresh.is_remembered) == ("blocked", False)
    assert upstream.count("user/info") == 2
    assert (await deep(flow, account)).accounts[0].state == "blocked", "what is fresh is remembered, too"


async def test_what_there_is_no_time_for_is_not_checked(
    flow: Flow, accounts: list[SimulatedAccount], upstream: Upstream
) -> None:
    upstream.sim.fail("user/info", delay_s=30.0, uid=accounts[0].uid)
    began_at = time.monotonic()
    health = await deep(flow, *accounts, budget_s=0.5)
    assert time.monotonic() - began_at < 10
    assert [found.state for found in health.accounts] == ["not_checked"] * 3
    assert {found.use for found in health.accounts} == {"free"}
    assert upstream.count("user/info") == 1
    assert not any("Account" in note for note in health.notes), "nothing is known to be wrong"


async def test_the_hosts_end_of_the_request_comes_first(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    deadline_at = asyncio.get_running_loop().time() + 1.0
    health = await deep(flow, account, deadline_at=deadline_at)
    assert health.accounts[0].state == "not_checked"
    assert health.clock.problem == "There was no time left to ask the upstream."
    assert upstream.count("user/info") == 0


async def test_accounts_are_asked_one_after_the_other_with_a_pause(
    flow: Flow, accounts: list[SimulatedAccount], upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "PAUSE_S", 0.1)
    await deep(flow, *accounts)
    asked_at = [call.at for call in upstream.sim.calls_to("user/info")]
    assert all(later - earlier >= 0.1 for earlier, later in pairwise(asked_at))
    monkeypatch.setattr(desk_module, "PAUSE_S", 600.0)
    async with asyncio.timeout(60):
        await deep(flow, *accounts)  # what is remembered needs no pause


async def test_a_lease_and_a_cool_down_are_told(
    flow: Flow, accounts: list[SimulatedAccount], upstream: Upstream
) -> None:
    flow.configure(refresh_tokens=tuple(account.token for account in accounts), api_keys=("sk-x",))
    await flow.gateway.pool.cool_downs.throttled(parse_account(accounts[1].token), 600.0)
    async with flow.open(accounts[:1], "[scene:slow gap=0.02 count=100]", is_owner=True):
        health = await look_deep(flow.services)
    assert [found.use for found in health.accounts] == ["leased", "cooling", "free"]
    assert health.accounts[1].reason == "throttled"
    assert health.accounts[1].state == "alive"


async def test_a_token_that_ends_soon_is_a_note(
    flow: Flow, account: SimulatedAccount, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "EXPIRES_SOON_DAYS", 200.0)
    health = await deep(flow, account)
    [note] = [note for note in health.notes if account.label in note]
    assert "expires in 180 days" in note


async def test_the_store_is_written_and_read(flow: Flow, account: SimulatedAccount, tmp_path: Path) -> None:
    flow.configure(store=SqliteSettings(f"{tmp_path / 'state.db'}"))
    store = (await deep(flow)).store
    assert (store.scheme, store.works, store.problem) == ("sqlite", True, None)
    assert store.round_trip_ms is not None
    assert store.round_trip_ms >= 0


async def test_a_store_that_forgets_does_not_work(flow: Flow, tmp_path: Path) -> None:
    flow.configure(store=SqliteSettings(f"{tmp_path / 'state.db'}"), refresh_tokens=(), api_keys=("sk-x",))
    give_store(flow, ForgetfulStore())
    store = (await look_deep(flow.services)).store
    assert (store.works, store.round_trip_ms) == (False, None)
    assert store.problem == "does not keep what is written"


async def test_a_store_that_fails_is_told_and_the_accounts_too(
    flow: Flow, account: SimulatedAccount, tmp_path: Path
) -> None:
    (tmp_path / "no").touch()
    flow.configure(store=SqliteSettings(f"{tmp_path / 'no' / 'state.db'}"))
    health = await deep(flow, account)
    assert not health.store.works
    assert "takes no writes" in (health.store.problem or "")
    assert not health.settings.store_works
    assert health.accounts[0].state == "unknown"
    assert "The store has never worked" in (health.accounts[0].problem or "")
    assert sum("The store (sqlite)" in note for note in health.notes) == 1


async def test_the_clocks_are_compared(flow: Flow, account: SimulatedAccount, upstream: Upstream) -> None:
    clock = (await deep(flow, account)).clock
    assert clock.problem is None
    assert clock.offset_s == pytest.approx(0.0, abs=2.0)


async def test_a_clock_that_is_wrong_is_a_note(flow: Flow, upstream: Upstream) -> None:
    upstream.sim.fail("cur_ts", status=200, body={"status": 0, "result": {"ts": int(time.time()) + 300}})
    health = await deep(flow)
    assert health.clock.offset_s == pytest.approx(300, abs=5)
    assert any("The upstream's clock is +" in note for note in health.notes)


async def test_a_clock_that_cannot_be_read_is_a_note(flow: Flow, upstream: Upstream) -> None:
    upstream.sim.fail("cur_ts", status=404, body=b"<html>", times=3)
    health = await deep(flow)
    assert health.clock.offset_s is None
    assert any("clock could not be read" in note for note in health.notes)


@pytest.mark.parametrize(
    ("where", "name"), [({"on_vercel": True}, "vercel"), ({"on_lambda": True}, "lambda"), ({}, "other")]
)
async def test_the_platform_is_named(flow: Flow, where: dict[str, Any], name: str) -> None:
    flow.configure(**where)
    health = await deep(flow)
    assert health.versions["platform"] == name
    assert health.versions["python"].startswith("3.")


async def test_how_to_see_streaming_is_told(flow: Flow) -> None:
    assert "?stream=1" in (await deep(flow)).streaming
    assert "--chat" in (await deep(flow, streams=False)).streaming


@pytest.fixture(autouse=True)
async def no_probe_left(flow: Flow) -> AsyncIterator[None]:
    yield
    probe = flow.gateway.memory._probing
    assert probe is None or probe.done()
