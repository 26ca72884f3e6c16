from __future__ import annotations

import asyncio
import base64
import gc
import threading
from pathlib import Path

import msgspec
import pytest

from lib.chat.caller import Caller
from lib.errors import AccessTokenRefused, AccountRefused, Throttled, UpstreamNotReached
from lib.store.seal import AesSivSeal, Seal, Unsealed
from lib.store.settings import SqliteSettings
from lib.upstreams.chatglm.accounts.account import Account, parse_account
from lib.upstreams.chatglm.accounts.callers import accounts_of
from lib.upstreams.chatglm.accounts.proofs import Proofs, StrangerLimits
from lib.upstreams.chatglm.accounts.tokens import AccessTokens, Grant
from lib.upstreams.chatglm.check import check_tokens
from lib.upstreams.chatglm.gateway import Gateway
from lib.upstreams.chatglm.wire.client import ChatGLM, Session
from lib.upstreams.choose import close_services, services_of
from tests.conftest import SimulatedAccount, Upstream
from tests.support.remembering import caches_of, texts_of
from tests.unit.conftest import Flow
from tests.unit.upstreams.chatglm.accounts.fakes import make_jwt


async def test_the_same_settings_in_one_loop_share_one_gateway(flow: Flow) -> None:
    first = flow.gateway
    assert services_of(flow.settings).gateway is first
    flow.configure(heartbeat_s=1.0)
    assert flow.gateway is not first


async def test_another_loop_has_another_gateway_and_closes_its_own(flow: Flow) -> None:
    found: list[Gateway] = []

    async def elsewhere() -> None:
        found.append(services_of(flow.settings).gateway)
        await close_services()

    thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
    thread.start()
    await asyncio.to_thread(thread.join)
    assert found[0] is not flow.gateway
    assert found[0].upstream._http.is_closed
    assert not flow.gateway.upstream._http.is_closed


async def test_a_gateway_is_closed_once_and_made_anew_when_it_is_needed_again(
    flow: Flow, account: SimulatedAccount
) -> None:
    await flow.ask([account])
    await close_services()
    await close_services()


def empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


async def test_an_orderly_end_gives_an_emptied_store_the_added_accounts_and_their_chains(
    flow: Flow, account: SimulatedAccount, tmp_path: Path
) -> None:
    flow.configure(store=SqliteSettings(f"{tmp_path}/store.db"), api_keys=("k" * 40,), refresh_tokens=())
    added = parse_account(account.token)
    await flow.gateway.roster.read()
    await flow.gateway.roster.add(added)
    await flow.gateway.client(added).call(ChatGLM.user_info)
    empty(tmp_path)
    await close_services()
    await flow.gateway.roster.read()
    assert [member.account for member in flow.gateway.roster.members] == [added]
    assert await flow.gateway.tokens.is_known(added)


async def test_many_requests_at_a_cold_start_refresh_once(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    accounts = accounts_of(_caller(account))

    async def info() -> None:
        await flow.gateway.client(accounts[0]).call(ChatGLM.user_info)

    await asyncio.gather(*(info() for _ in range(10)))
    assert upstream.count("user/refresh") == 1


async def test_a_dead_token_of_another_instance_is_not_the_last_one_tried(
    flow: Flow, account: SimulatedAccount, upstream: Upstream, tmp_path: Path
) -> None:
    flow.configure(store=SqliteSettings(f"{tmp_path}/store.db"))
    (own,) = accounts_of(_caller(account))
    await flow.ask([account])
    upstream.sim.expire_access_tokens(account.uid)
    here = flow.gateway
    flow.configure(heartbeat_s=1.0)  # another instance
    await flow.gateway.client(own).call(ChatGLM.user_info)
    upstream.sim.expire_access_tokens(account.uid)
    # What is known here is dead, and so is what the other has left.
    await here.client(own).call(ChatGLM.user_info)
    assert upstream.count("user/refresh") == 3


async def test_an_account_whose_fresh_token_is_refused_is_refused(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    (own,) = accounts_of(_caller(account))

    async def refused(_: ChatGLM, __: Session) -> None:
        raise AccessTokenRefused("40102")

    with pytest.raises(AccountRefused, match="fresh access token"):
        await flow.gateway.client(own).call(refused)
    assert upstream.count("user/refresh") == 2


async def test_a_refused_refresh_is_told_to_all_who_wait(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    upstream.sim.revoke(account.uid)
    accounts = accounts_of(_caller(account))
    got = await asyncio.gather(
        *(flow.gateway.tokens.get(accounts[0]) for _ in range(5)), return_exceptions=True
    )
    assert all(isinstance(error, AccountRefused) for error in got), "an error is never taken for a token"
    assert upstream.count("user/refresh") == 1


def _forged(victim: SimulatedAccount) -> SimulatedAccount:
    """A token that says it is the victim's; the upstream has never heard of it."""
    token = make_jwt(type="refresh", uid=victim.uid, jti="forged", exp=9e9)
    assert parse_account(token).label == victim.label
    return SimulatedAccount(token, victim.uid, victim.label)


async def test_a_token_that_only_says_whose_it_is_touches_nothing_of_the_account(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    async with flow.open([account], "[scene:slow first=0 gap=0.01 count=50]"):
        with pytest.raises(AccountRefused):
            await flow.ask([_forged(account)])  # at once: it does not wait for the account, which is leased
    for _ in range(3):
        with pytest.raises(AccountRefused):
            await flow.ask([_forged(account)])
    assert upstream.count("user/refresh") == 2  # the account's own, and one for what is refused since
    (own,) = accounts_of(_caller(account))
    assert (await flow.gateway.pool.status(own)).state == "free"
    await flow.ask([account])


async def test_one_refused_token_of_several_does_not_keep_the_others_from_serving(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    answer = await flow.ask([_forged(upstream.add_account()), account])
    assert answer.account_label == account.label


async def test_a_token_is_proven_once_and_known_to_the_next_instance(
    flow: Flow, account: SimulatedAccount, upstream: Upstream, tmp_path: Path
) -> None:
    flow.configure(store=SqliteSettings(f"{tmp_path}/store.db"))
    await flow.ask([account])
    await close_services()
    await flow.ask([account])
    await flow.ask([account])
    assert upstream.count("user/refresh") == 1


async def test_of_the_proven_only_the_latest_are_remembered(flow: Flow, upstream: Upstream) -> None:
    gateway = flow.gateway
    gateway.proofs = Proofs(gateway.tokens, gateway.pool.cool_downs, max_proven=1)
    for account in (upstream.add_account(), upstream.add_account()):
        await flow.ask([account])
    assert len(gateway.proofs) == 1


def _caller(*accounts: SimulatedAccount) -> Caller:
    return Caller(tuple(account.token for account in accounts), is_owner=False)


def signed_like(payload: object) -> str:
    packed = base64.urlsafe_b64encode(msgspec.json.encode(payload)).decode().rstrip("=")
    return f"eyJh.{packed}.x"


NO_TOKENS = {
    "two parts": "a.b",
    "no JSON": "a.b.c",
    "another type": signed_like({"type": "other", "exp": 9e9}),
    "no type": signed_like({"exp": 9e9}),
    "no end": signed_like({"type": "refresh"}),
    "over": signed_like({"type": "refresh", "exp": 1}),
    "too long": signed_like({"type": "refresh", "exp": 9e9, "x": "x" * 4096}),
}


@pytest.mark.parametrize("name", NO_TOKENS)
async def test_a_text_that_is_no_living_refresh_token_asks_nobody(
    flow: Flow, upstream: Upstream, name: str
) -> None:
    stranger = parse_account(NO_TOKENS[name])
    with pytest.raises(AccountRefused):
        await flow.gateway.proofs.proven((stranger,), Caller((), is_owner=False))
    assert (await check_tokens((NO_TOKENS[name],), flow.gateway))[0].live is False
    assert upstream.sim.calls == []


@pytest.mark.parametrize("seal", [AesSivSeal(), Unsealed()], ids=["sealed", "clear"])
@pytest.mark.parametrize("is_taken", [True, False], ids=["taken", "refused"])
async def test_of_a_strangers_token_only_a_derived_key_is_remembered(
    flow: Flow, upstream: Upstream, seal: Seal, is_taken: bool
) -> None:
    stranger = upstream.add_account()
    flow.gateway.memory._seal = seal
    if is_taken:
        await flow.ask([stranger])
        await check_tokens((stranger.token,), flow.gateway)
    else:
        upstream.sim.revoke(stranger.uid)
        with pytest.raises(AccountRefused):
            await flow.ask([stranger])
        assert (await check_tokens((stranger.token,), flow.gateway))[0].live is False
    gc.collect()
    remembered = texts_of(flow.gateway, *caches_of("lib."))
    assert any(parse_account(stranger.token).key in text for text in remembered), "the search finds the key"
    assert [text[:40] for text in remembered if stranger.token in text] == []


async def test_an_upstream_that_cannot_be_reached_is_not_asked_about_each_token(
    flow: Flow, upstream: Upstream
) -> None:
    gateway = flow.gateway
    strangers = tuple(parse_account(upstream.add_account().token) for _ in range(4))
    caller = Caller((), is_owner=False)
    await gateway.proofs.proven(strangers[:1], caller)
    asked: list[str] = []

    async def refresh(account: Account, _: str) -> Grant:
        asked.append(account.label)
        raise UpstreamNotReached("It is down.")

    cut_off = Proofs(AccessTokens(gateway.memory, refresh), gateway.pool.cool_downs)
    with pytest.raises(UpstreamNotReached):
        await cut_off.proven(strangers[1:], caller)
    assert len(asked) == 1
    assert await cut_off.proven(strangers, caller) == strangers[:1], "a proven one can be tried"


async def test_tokens_that_are_not_known_have_a_budget_and_known_ones_need_none(
    flow: Flow, upstream: Upstream
) -> None:
    now = 1000.0
    limits = StrangerLimits(at_once=2, every_s=5.0)
    gateway = flow.gateway
    gateway.proofs = Proofs(gateway.tokens, gateway.pool.cool_downs, limits=limits, now=lambda: now)
    known, second, third = (parse_account(upstream.add_account().token) for _ in range(3))
    caller = Caller((), is_owner=False)
    await gateway.proofs.proven((known,), caller)
    await gateway.proofs.proven((second,), caller)
    with pytest.raises(Throttled) as caught:
        await gateway.proofs.proven((third,), caller)
    assert (caught.value.code, caught.value.retry_after_s) == ("too_many_attempts", 5.0)
    with pytest.raises(Throttled):
        await check_tokens((third.refresh_token,), gateway)
    owners = parse_account(upstream.add_account().token)
    [check] = await check_tokens((owners.refresh_token,), gateway, is_owners=True)
    assert check.live, "strangers do not use up the owner's checks"
    await gateway.proofs.proven((known,), caller)
    assert upstream.count("user/refresh") == 3
    now += 5.0
    await gateway.proofs.proven((third,), caller)
    now -= 3600.0  # A clock that is set back does not close the door for an hour.
    with pytest.raises(Throttled) as caught:
        await gateway.proofs.proven((parse_account(upstream.add_account().token),), caller)
    assert caught.value.retry_after_s == 5.0
