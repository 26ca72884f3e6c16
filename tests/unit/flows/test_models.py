from __future__ import annotations

import asyncio
import time

import pytest

from lib.chat.caller import Caller
from lib.errors import NotFound
from lib.flows.models import find_model, list_models
from lib.store.shared import SharedState
from lib.upstreams.chatglm.accounts.account import parse_account
from lib.upstreams.chatglm.catalogue import LISTS, MODELS_TTL_S, ModelLists, _List, models_place
from lib.upstreams.chatglm.wire.models import offered_names
from tests.conftest import SimulatedAccount, Upstream
from tests.unit.conftest import Flow

BUILT_IN = offered_names(("glm-5.3", "glm-5.3-flash"))
NEWER = {"status": 0, "result": {"models": [{"selected_model": "glm-6"}]}}


def caller(*accounts: SimulatedAccount) -> Caller:
    return Caller(tuple(account.token for account in accounts), is_owner=True)


async def test_the_list_is_the_accounts_and_is_asked_for_once(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    upstream.sim.fail("operation/detail", status=200, body=NEWER)
    for _ in range(3):
        assert await list_models(flow.calling(caller(account))) == offered_names(("glm-6",))
    assert upstream.count("operation/detail") == 1


async def test_whoever_asks_meanwhile_takes_what_is_known(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    upstream.sim.fail("operation/detail", status=200, body=NEWER, delay_s=0.1)
    first = asyncio.ensure_future(list_models(flow.calling(caller(account))))
    await asyncio.sleep(0)
    assert await list_models(flow.calling(caller(account))) == BUILT_IN
    assert await first == offered_names(("glm-6",))


@pytest.mark.parametrize("body", [b"<html>", b'{"status":0,"result":{"models":[]}}', b'{"status":500}'])
async def test_where_the_upstream_cannot_say_the_built_in_list_serves(
    flow: Flow, account: SimulatedAccount, upstream: Upstream, body: bytes
) -> None:
    upstream.sim.fail("operation/detail", status=200, body=body, times=5)
    for _ in range(2):
        assert await list_models(flow.calling(caller(account))) == BUILT_IN
    assert upstream.count("operation/detail") == 1, "a failure is not repeated at once"


async def test_without_an_account_the_built_in_list_serves(flow: Flow, upstream: Upstream) -> None:
    assert await list_models(flow.calling(caller())) == BUILT_IN
    assert upstream.sim.calls == []


@pytest.mark.parametrize(
    "name", ["glm-5.3", "glm-5.3-think", "6" * 24, "gpt-4o", "web/gpt-4o", "a/b:c", "x" * 256]
)
async def test_every_name_that_a_chat_takes_is_found(flow: Flow, name: str) -> None:
    assert await find_model(name, flow.calling(caller())) == name


@pytest.mark.parametrize("name", ["api/glm-5.3", " API/x", "x" * 257])
async def test_a_name_of_the_official_api_is_not_found_without_it_nor_one_that_is_too_long(
    flow: Flow, name: str
) -> None:
    with pytest.raises(NotFound) as caught:
        await find_model(name, flow.calling(caller()))
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


async def test_a_chat_that_names_a_newer_model_looks_for_it_first(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    upstream.sim.fail("operation/detail", status=200, body=NEWER)
    await flow.ask([account], model="glm-6-search")
    meta = upstream.chats()[0]["meta_data"]
    assert (meta["selected_model"], meta["is_networking"]) == ("glm-6", True)
    upstream.sim.violations.clear()  # the simulator has no such model
    await flow.ask([account], model="gpt-4o")
    assert upstream.chats()[1]["meta_data"]["selected_model"] == "glm-5.3-flash"
    assert upstream.count("operation/detail") == 1


async def test_a_strangers_dead_token_decides_nobody_elses_list(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    stranger = Caller(("a.b.c",), is_owner=False)
    assert await list_models(flow.calling(stranger)) == BUILT_IN
    upstream.sim.fail("operation/detail", body=NEWER, status=200)
    assert await list_models(flow.calling(caller(account))) == offered_names(("glm-6",))


async def test_a_chat_that_names_an_unlisted_model_looks_for_a_newer_list_after_its_last_word(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    await list_models(flow.calling(caller(account)))
    place = models_place(parse_account(account.token))
    old = LISTS.encode(_List(("glm-5.3", "glm-5.3-flash"), time.time() - 2 * MODELS_TTL_S))
    await flow.gateway.memory.keep(place, old, ttl_s=60)
    flow.gateway.models = ModelLists(flow.gateway.client, flow.gateway.memory)
    upstream.sim.fail("operation/detail", status=200, body=NEWER)
    await flow.ask([account], model="glm-6")
    assert upstream.chats()[0]["meta_data"]["selected_model"] == "glm-5.3-flash"
    assert upstream.count("operation/detail") == 2
    await flow.ask([account], model="glm-6")
    assert upstream.chats()[1]["meta_data"]["selected_model"] == "glm-6"
    upstream.sim.violations.clear()  # the simulator has no such model
    assert upstream.count("operation/detail") == 2


async def test_the_list_outlives_the_process(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    await list_models(flow.calling(caller(account)))
    state = SharedState(flow.gateway.memory._store, now=time.time)
    lists = ModelLists(flow.gateway.client, state)
    assert not lists.is_listed((parse_account(account.token),))
    assert await lists.offered((parse_account(account.token),)) == ("glm-5.3", "glm-5.3-flash")
    assert upstream.count("operation/detail") == 1


async def test_the_tries_of_many_callers_are_forgotten_in_time(flow: Flow, account: SimulatedAccount) -> None:
    gateway = flow.gateway
    gateway.models = ModelLists(gateway.client, gateway.memory, max_tries=1)
    await list_models(flow.calling(Caller(("a.b.c",), is_owner=False)))
    await list_models(flow.calling(caller(account)))
    assert list(gateway.models._tried_at) == [parse_account(account.token).key]
