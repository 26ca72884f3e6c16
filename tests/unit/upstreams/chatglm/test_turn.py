"""What a turn owes at its end, and a token that is refused inside the stream."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lib.chat.events import Failed
from lib.errors import AccessTokenRefused, AccountRefused, UpstreamTimeout
from lib.patience import LAST_LOOK_S
from lib.upstreams.chatglm.accounts import rotation
from lib.upstreams.chatglm.accounts.account import parse_account
from lib.upstreams.chatglm.clean_up import CleanUpLimits
from lib.upstreams.chatglm.wire.client import DELETION_TIMEOUT_S, ChatGLM
from simulator.app import SceneLike
from simulator.steps import Cue, Pause, Script, Step
from tests.conftest import SimulatedAccount, Upstream
from tests.support.log import logged
from tests.unit.conftest import Flow

STREAM, REFRESH = "assistant/stream", "user/refresh"
REFUSED = (40102, "unauthorized user(40102)")


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "RETRY_PAUSE_S", (0.0, 0.01))


def refused_at_once(cue: Cue) -> Iterator[Step]:
    yield Script(cue).error(*REFUSED)


def refused_after_the_opening(cue: Cue) -> Iterator[Step]:
    yield Script(cue).opening()
    yield Pause(0.05)
    yield Script(cue).error(*REFUSED)


def refused_after_a_word(cue: Cue) -> Iterator[Step]:
    script = Script(cue)
    yield script.opening()
    yield from script.increments("text", ["Half an"], logic_id="t")
    yield script.error(*REFUSED)


@pytest.mark.parametrize("scene", [refused_at_once, refused_after_the_opening])
async def test_a_token_refused_inside_the_stream_costs_one_refresh_and_one_repetition(
    flow: Flow, account: SimulatedAccount, upstream: Upstream, scene: SceneLike
) -> None:
    upstream.sim.play(scene)
    answer = await flow.ask([account], "[scene:text chars=40]")
    assert answer.reason == "stop"
    assert (upstream.count(REFRESH), upstream.count(STREAM)) == (2, 2)
    assert upstream.sim.live_conversations() == []


@pytest.mark.parametrize("scene", [refused_at_once, refused_after_the_opening])
async def test_a_fresh_token_that_is_refused_there_as_well_refuses_the_account(
    flow: Flow, account: SimulatedAccount, upstream: Upstream, scene: SceneLike
) -> None:
    upstream.sim.play(scene, times=2)
    with pytest.raises(AccountRefused) as caught:
        await flow.ask([account])
    assert caught.value.number == 40102
    assert (upstream.count(REFRESH), upstream.count(STREAM)) == (2, 2)
    with pytest.raises(AccountRefused):
        await flow.ask([account])
    assert upstream.count(STREAM) == 2, "it is left alone for a while"


async def test_where_no_fresh_token_can_be_had_that_is_said(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    await flow.ask([account])
    upstream.sim.revoke(account.uid)
    upstream.sim.play(refused_at_once)
    with pytest.raises(AccountRefused, match="Log in"):
        await flow.ask([account])


async def test_after_content_it_ends_the_answer(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    upstream.sim.play(refused_after_a_word)
    answer = await flow.ask([account])
    assert isinstance(answer.ending, Failed)
    assert isinstance(answer.ending.error, AccessTokenRefused)
    assert (upstream.count(REFRESH), upstream.count(STREAM)) == (1, 1)


async def test_a_stop_that_nobody_answers_holds_up_neither_lease_nor_deletion(
    flow: Flow, account: SimulatedAccount, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.limit(stop_s=0.2)
    flow.limit(drain_s=60.0)  # what goes on up there is not waited for
    flow.limit(whole_s=5.0)
    upstream.sim.linger_s = 0.0
    upstream.sim.fail("stop_stream", delay_s=30)
    with logged() as lines:
        answer = await flow.ask([account], "[scene:slow first=0 gap=0.02 count=900]", stop=("word 3",))
    assert answer.reason == "stop"
    assert upstream.sim.live_conversations() == []
    assert [line["message"] for line in lines if line["level"] == "WARNING"] == ["generation not stopped"]


def test_a_clean_up_has_time_for_two_deletions_that_nobody_answers() -> None:
    both_s = 2 * (DELETION_TIMEOUT_S + LAST_LOOK_S) + CleanUpLimits().delete_again_after_s
    assert both_s < CleanUpLimits().whole_s


async def test_a_stream_that_has_ended_and_is_not_closed_is_closed_by_us(
    flow: Flow, account: SimulatedAccount, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.limit(drain_s=0.1)
    flow.limit(whole_s=5.0)
    upstream.sim.linger_s = 0.0
    upstream.sim.close_delay_s = 60.0
    assert (await flow.ask([account], "[scene:text chars=9]")).reason == "stop"
    assert flow.leases() == set()
    assert upstream.sim.live_conversations() == []


async def test_a_clean_up_that_takes_too_long_names_the_conversation_that_it_leaves(
    flow: Flow, account: SimulatedAccount, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.limit(whole_s=0.5)
    upstream.sim.fail("bulk_delete", delay_s=30)
    with logged() as lines:
        await flow.ask([account])
    (line,) = [line for line in lines if line["message"] == "clean-up timed out"]
    assert [line["conversation_id"]] == upstream.sim.live_conversations()
    assert not flow.leases()


async def test_one_that_is_kept_is_not_reported_as_left(
    flow: Flow, account: SimulatedAccount, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.limit(whole_s=0.5)
    upstream.sim.linger_s = 0.0
    upstream.sim.fail("stop_stream", delay_s=30)
    with logged() as lines:
        prompt = "[scene:slow first=0 gap=0.02 count=900]"
        await flow.ask([account], prompt, stop=("word 3",), store=True)
    (line,) = [line for line in lines if line["message"] == "clean-up timed out"]
    assert "conversation_id" not in line


async def test_the_longest_silence_is_the_longest_of_a_small_call_too(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    flow.configure(idle_timeout_s=0.3)
    upstream.sim.fail("user/info", delay_s=30)
    gateway = flow.gateway
    with pytest.raises(UpstreamTimeout, match=r"within 0\.3 s"):
        await gateway.client(parse_account(account.token)).call(ChatGLM.user_info)
