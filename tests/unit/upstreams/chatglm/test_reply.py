"""Answering a chat request on real connections: which account, how often, what is left afterwards."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from lib.chat.events import Failed, Finished
from lib.errors import (
    AccountBusy,
    AccountRefused,
    ConversationNotFound,
    GatewayError,
    InvalidRequest,
    NoAccountAvailable,
    Throttled,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from lib.trace import traced
from lib.transport.pool import Transport
from lib.upstreams import beginning
from lib.upstreams.chatglm.accounts import rotation
from lib.upstreams.chatglm.accounts.callers import accounts_of
from lib.upstreams.chatglm.accounts.cooldowns import FIRST_THROTTLE_S, CoolDownBook
from lib.upstreams.chatglm.decoder.stream import ReplyDecoder
from lib.upstreams.chatglm.reply import Reply
from lib.upstreams.chatglm.turn import Turn
from simulator.scenes import sample_text
from simulator.scenes.refusals import INTERVENE_TEXT
from tests.conftest import SimulatedAccount, Upstream
from tests.support.waiting import eventually
from tests.unit.conftest import Flow

Accounts = list[SimulatedAccount]


@pytest.fixture(autouse=True)
def hurry(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second try come at once, and a stopped or silent upstream be waited for briefly."""
    monkeypatch.setattr(rotation, "RETRY_PAUSE_S", (0.0, 0.01))
    flow.limit(accept_s=0.5)


# An answer


async def test_an_answer_is_what_the_upstream_said(flow: Flow, account: SimulatedAccount) -> None:
    answer = await flow.ask([account], "[scene:text chars=500 think=80]")
    assert answer.text == answer.streamed == sample_text(500)
    assert answer.reasoning == sample_text(80, 2)
    assert answer.reason == "stop"
    assert isinstance(answer.ending, Finished)
    assert answer.ending.usage.prompt_tokens > 0
    assert answer.started.model == "moe_53f"


async def test_the_reply_tells_who_served_and_where_the_time_went(
    flow: Flow, account: SimulatedAccount
) -> None:
    with traced("") as trace:
        async with flow.open([account]) as reply:
            assert reply.started.account == account.label
            assert reply.started.model == "moe_53f"
            assert set(trace.timings) == {"wait", "token", "first"}
            assert len(reply.started.id) == 24


async def test_several_messages_are_merged_and_one_goes_verbatim(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    await flow.ask([account], "just this")
    prompt = upstream.chats()[0]["messages"][0]["content"][0]["text"]
    assert prompt == "just this"


# Which account


@pytest.mark.parametrize(
    "scene",
    [
        "throttled_429",
        "busy_429",
        "risk_40012",
        "error_10025",
        "error_10061_busy",
        "error_10061_throttled",
        "error_10062",
        "error_unknown",
        "error_captured",
        "internal_500",
        "json_error_200",
        "zero_bytes",
        "abort_first",
        "abort_first hard=1",
        "empty_finish",
        "unauthorized_40102",
        "unauthorized_40103",
        "html_403 status=502",
    ],
)
async def test_what_fails_before_its_first_content_is_tried_on_the_next_account(
    flow: Flow, accounts: Accounts, upstream: Upstream, scene: str
) -> None:
    first, second, _ = accounts
    upstream.sim.play(scene, uid=first.uid, times=2)
    answer = await flow.ask([first, second], "[scene:text chars=50]")
    assert answer.text == sample_text(50)
    assert answer.account_label == second.label
    assert answer.id.endswith(f"-{second.label}")
    assert upstream.sim.live_conversations() == []


async def test_a_refused_account_is_passed_over(flow: Flow, accounts: Accounts, upstream: Upstream) -> None:
    first, second, _ = accounts
    upstream.sim.revoke(first.uid)
    for _ in range(3):
        assert (await flow.ask([first, second], "[scene:text chars=9]")).account_label == second.label
    refreshes = [call.uid for call in upstream.sim.calls_to("user/refresh")]
    assert refreshes.count(second.uid) == 1
    assert len(refreshes) == 2, "a refused token is left alone for a while"


ONCE = [
    # A second try on the same account could not succeed, or makes it worse.
    ("throttled_429", Throttled),
    ("risk_40012", Throttled),
    ("error_10061_throttled", Throttled),
    ("error_10062", Throttled),
    ("error_10040", InvalidRequest),
    ("empty_finish", UpstreamRejected),
    ("html_403", UpstreamProtocolError),
    ("html_200", UpstreamProtocolError),
]
TWICE = [
    ("error_10025", UpstreamRejected),
    ("error_10025_internal", UpstreamRejected),
    ("error_unknown", UpstreamRejected),
    ("error_captured", UpstreamRejected),
    ("internal_500", UpstreamRejected),
    ("json_error_200", UpstreamRejected),
    ("zero_bytes", UpstreamProtocolError),
    ("abort_first", UpstreamUnreachable),
    ("html_403 status=503", UpstreamProtocolError),
]


@pytest.mark.parametrize(
    ("scene", "error", "tries"),
    [(*row, 1) for row in ONCE] + [(*row, 2) for row in TWICE],
)
async def test_an_error_is_tried_again_only_where_that_can_help(
    *,
    flow: Flow,
    account: SimulatedAccount,
    upstream: Upstream,
    scene: str,
    error: type[GatewayError],
    tries: int,
) -> None:
    upstream.sim.play(scene, times=5)
    with pytest.raises(error):
        await flow.ask([account])
    assert upstream.count("assistant/stream") == tries
    assert upstream.count("user/refresh") == 1
    assert upstream.sim.live_conversations() == []


async def test_a_passing_error_passes_unnoticed(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    upstream.sim.play("error_10025")
    answer = await flow.ask([account], "[scene:text chars=50]")
    assert (answer.text, answer.reason) == (sample_text(50), "stop")


@pytest.mark.parametrize("scene", ["html_403", "error_10040"])
async def test_what_fails_everywhere_is_not_carried_to_another_account(
    flow: Flow, accounts: Accounts, upstream: Upstream, scene: str
) -> None:
    upstream.sim.play(scene, times=5)
    with pytest.raises(GatewayError):
        await flow.ask(accounts)
    assert upstream.count("assistant/stream") == 1


async def test_each_account_has_one_repetition(flow: Flow, accounts: Accounts, upstream: Upstream) -> None:
    upstream.sim.play("error_10025", times=20)
    with pytest.raises(UpstreamRejected):
        await flow.ask(accounts)
    tried = [call.uid for call in upstream.sim.calls_to("assistant/stream")]
    assert {uid: tried.count(uid) for uid in tried} == {account.uid: 2 for account in accounts}


@pytest.mark.parametrize(
    "scene", ["error_10025_late", "error_10024", "early_close", "abort", "abort hard=1", "stall"]
)
async def test_after_the_first_content_nothing_is_tried_again(
    flow: Flow, accounts: Accounts, upstream: Upstream, scene: str
) -> None:
    flow.configure(idle_timeout_s=0.3)
    answer = await flow.ask(accounts, f"[scene:{scene}]", stream=True)
    assert answer.text
    assert isinstance(answer.ending, Failed)
    assert isinstance(answer.ending.error, UpstreamError)
    assert upstream.count("assistant/stream") == 1
    assert upstream.sim.live_conversations() == []


async def test_a_throttled_account_is_left_alone(flow: Flow, accounts: Accounts, upstream: Upstream) -> None:
    first, second, _ = accounts
    upstream.sim.play("throttled_429", uid=first.uid)
    for _ in range(3):
        await flow.ask([first, second], "[scene:text chars=9]")
    asked = [call.uid for call in upstream.sim.calls_to("assistant/stream")]
    assert asked == [first.uid, second.uid, second.uid, second.uid]


async def test_an_account_throttled_in_mid_answer_is_left_alone_too(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    def throttle_late(cue: Any) -> Any:
        from simulator.steps import Script

        script = Script(cue)
        yield script.opening()
        yield from script.increments("text", ["Half"], logic_id="t")
        yield script.error(10061, "请求过于频繁")

    flow.configure(account_wait_s=0.1)
    upstream.sim.play(throttle_late)
    answer = await flow.ask([account])
    assert isinstance(answer.ending, Failed)
    assert isinstance(answer.ending.error, Throttled)
    with pytest.raises(Throttled) as caught:
        await flow.ask([account])
    assert caught.value.retry_after_s is not None
    assert 20 < caught.value.retry_after_s <= 30
    assert upstream.count("assistant/stream") == 1


async def test_a_success_ends_the_doubling_of_the_cool_down(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    (own,) = accounts_of(_caller(account))
    earlier = CoolDownBook(flow.gateway.memory, now=lambda: time.time() - FIRST_THROTTLE_S - 1)
    await earlier.throttled(own)
    await flow.ask([account])
    await flow.gateway.pool.cool_downs.throttled(own)
    status = await flow.gateway.pool.status(own)
    assert status.until is not None
    assert status.until < time.time() + FIRST_THROTTLE_S + 1


def _caller(*accounts: SimulatedAccount, is_owner: bool = False) -> Any:
    from lib.chat.caller import Caller

    return Caller(tuple(account.token for account in accounts), is_owner=is_owner)


async def test_two_at_once_take_turns_on_one_account(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    answers = await asyncio.gather(*(flow.ask([account], f"[scene:text seed={n}]") for n in range(4)))
    assert [answer.text for answer in answers] == [sample_text(2000, n) for n in range(4)]
    assert upstream.sim.account(account.uid).max_overlap == 1
    assert upstream.count("user/refresh") == 1


async def test_every_account_busy_is_said_after_the_wait(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    flow.configure(account_wait_s=0.05)
    async with flow.open([account], "[scene:slow first=0 gap=0.05 count=100]"):
        with pytest.raises(AccountBusy) as caught:
            await flow.ask([account])
        assert caught.value.retry_after_s
    assert upstream.count("assistant/stream") == 1


async def test_the_wait_for_an_account_ends_with_the_hosts_time(
    flow: Flow, account: SimulatedAccount
) -> None:
    began_at = asyncio.get_running_loop().time()
    async with flow.open([account], "[scene:slow first=0 gap=0.05 count=100]"):
        with pytest.raises(AccountBusy):
            await flow.ask([account], left_s=0.3)
    assert asyncio.get_running_loop().time() - began_at < 3


# Whose fault it is


@pytest.mark.parametrize(("is_owner", "error"), [(False, AccountRefused), (True, NoAccountAvailable)])
async def test_refused_accounts_are_the_callers_fault_only_where_they_are_the_callers(
    flow: Flow, accounts: Accounts, upstream: Upstream, is_owner: bool, error: type[GatewayError]
) -> None:
    for account in accounts:
        upstream.sim.revoke(account.uid)
    for _ in range(2):  # refused, then known to be refused
        with pytest.raises(error):
            await flow.ask(accounts, is_owner=is_owner)
    assert upstream.count("user/refresh") == 3


@pytest.mark.parametrize(("is_owner", "error"), [(False, AccountRefused), (True, NoAccountAvailable)])
async def test_access_tokens_in_place_of_refresh_tokens_are_refused(
    flow: Flow, upstream: Upstream, is_owner: bool, error: type[GatewayError]
) -> None:
    account = upstream.add_account()
    access, _ = upstream.sim.book.rotate(upstream.sim.account(account.uid))
    wrong = SimulatedAccount(access, account.uid, account.label)
    with pytest.raises(error):
        await flow.ask([wrong], is_owner=is_owner)
    fresh = upstream.add_account()
    assert (await flow.ask([wrong, fresh], is_owner=is_owner)).account_label == fresh.label


async def test_a_guest_is_refused_with_a_clear_error(flow: Flow, upstream: Upstream) -> None:
    guest = upstream.add_account(guest=True)
    with pytest.raises(AccountRefused) as caught:
        await flow.ask([guest])
    assert caught.value.code == "guest_account"
    assert upstream.count("assistant/stream") == 0


async def test_no_account_at_all_is_said(flow: Flow) -> None:
    with pytest.raises(NoAccountAvailable, match="CHATGLM_REFRESH_TOKENS"):
        await flow.ask([], is_owner=True)


# Tokens


async def test_a_dead_access_token_costs_one_refresh_and_one_repetition(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    await flow.ask([account])
    upstream.sim.expire_access_tokens()
    assert (await flow.ask([account], "[scene:text chars=9]")).text == sample_text(9)
    assert upstream.count("user/refresh") == 2
    assert upstream.count("assistant/stream") == 3


async def test_an_upstream_that_refuses_fresh_tokens_is_not_refreshed_for_ever(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    upstream.sim.play("unauthorized_40102", times=9)
    with pytest.raises(AccountRefused):
        await flow.ask([account])
    assert upstream.count("assistant/stream") == 2
    assert upstream.count("user/refresh") == 2


@pytest.mark.parametrize("scene", ["risk_40012", "html_403", "internal_500"])
async def test_nothing_but_40102_and_40103_costs_a_refresh(
    flow: Flow, account: SimulatedAccount, upstream: Upstream, scene: str
) -> None:
    upstream.sim.play(scene)
    with suppress(GatewayError):
        await flow.ask([account])
    assert upstream.count("user/refresh") == 1


# Conversations


@pytest.mark.parametrize("fields", [{"conversation_id": ""}, {"conversation_id": "none"}, {"store": True}])
async def test_a_conversation_that_is_meant_to_go_on_is_kept(
    flow: Flow, account: SimulatedAccount, upstream: Upstream, fields: dict[str, Any]
) -> None:
    answer = await flow.ask([account], "My name is Ada.", **fields)
    assert upstream.sim.live_conversations() == [answer.id]
    again = await flow.ask([account], "[scene:text chars=9]", conversation_id=answer.id)
    assert again.id == answer.id
    assert upstream.sim.live_conversations() == [answer.id], "it named the conversation: it is kept"
    assert len(upstream.sim.conversations[answer.id].turns) == 2


async def test_a_label_finds_the_account_again_whatever_the_order(
    flow: Flow, accounts: Accounts, upstream: Upstream
) -> None:
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        answer = await flow.ask([accounts[n] for n in order], "Hello!", conversation_id="")
        for other in ([2, 1, 0], [0, 2, 1]):
            again = await flow.ask([accounts[n] for n in other], "More!", conversation_id=answer.id)
            assert again.id == answer.id
    assert len(upstream.sim.live_conversations()) == 3
    assert {len(chat.turns) for chat in upstream.sim.conversations.values()} == {3}


async def test_a_label_of_a_single_account_is_understood_and_left_out_of_the_answer(
    flow: Flow, accounts: Accounts
) -> None:
    answer = await flow.ask(accounts, conversation_id="")
    owner = next(account for account in accounts if answer.id.endswith(account.label))
    again = await flow.ask([owner], conversation_id=answer.id)
    assert answer.id == f"{again.id}-{owner.label}"


async def test_an_id_without_a_label_is_looked_for_on_every_account(
    flow: Flow, accounts: Accounts, upstream: Upstream
) -> None:
    first, second, _ = accounts
    bare = (await flow.ask([second], conversation_id="")).id
    await flow.ask([first])  # both have been used, `first` last
    answer = await flow.ask([first, second], conversation_id=bare)
    assert answer.id == f"{bare}-{second.label}"


async def test_an_unknown_label_is_an_unknown_conversation(
    flow: Flow, accounts: Accounts, upstream: Upstream
) -> None:
    with pytest.raises(ConversationNotFound):
        await flow.ask(accounts, conversation_id="0123456789abcdef01234567-00000000")
    assert upstream.sim.calls == []


async def test_an_unknown_conversation_is_told_and_no_account_suffers_for_it(
    flow: Flow, accounts: Accounts, upstream: Upstream
) -> None:
    with pytest.raises(ConversationNotFound) as caught:
        await flow.ask(accounts, conversation_id="0" * 24)
    assert caught.value.param == "conversation_id"
    assert upstream.count("assistant/stream") == 3, "each account may have known it"
    await flow.ask(accounts)


async def test_a_conversation_goes_on_with_the_new_messages_alone(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    from lib.chat.request import Message, TextPart

    def message(role: Any, text: str) -> Message:
        return Message(role=role, parts=(TextPart(text),))

    answer = await flow.ask([account], "one", conversation_id="")
    history = (message("user", "one"), message("assistant", "two"), message("user", "three"))
    await flow.ask([account], conversation_id=answer.id, messages=history)
    assert upstream.chats()[1]["messages"][0]["content"][0]["text"] == "three"


async def test_an_answer_deletes_its_conversation(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    async with flow.open([account]) as reply:
        async for _ in reply:
            assert len(upstream.sim.live_conversations()) == 1
    assert upstream.sim.live_conversations() == []
    assert upstream.sim.violations == [], "not deleted while its stream was open"
    assert upstream.count("stop_stream") == 0, "there was nothing to stop"


@pytest.mark.parametrize(("status", "by_the_older_path"), [(500, 0), (403, 0), (200, 0), (404, 1)])
async def test_a_failing_clean_up_never_spoils_an_answer(
    *,
    flow: Flow,
    account: SimulatedAccount,
    upstream: Upstream,
    status: int,
    by_the_older_path: int,
) -> None:
    upstream.sim.fail("bulk_delete", status=status, body=b"<html>no</html>")
    upstream.sim.fail("conversation/delete", status=status, body=b"<html>no</html>")
    answer = await flow.ask([account], "[scene:text chars=9]")
    assert (answer.text, answer.reason) == (sample_text(9), "stop")
    assert upstream.count("conversation/delete") == by_the_older_path


@pytest.mark.parametrize(
    "fault",
    [{"status": 500}, {"disconnect": True}, {"delay_s": 1.2, "status": 500}],
    ids=["500", "broken", "late"],
)
async def test_a_deletion_that_fails_is_tried_once_more(
    flow: Flow, account: SimulatedAccount, upstream: Upstream, fault: dict[str, Any]
) -> None:
    flow.configure(idle_timeout_s=0.3)  # and half a second for a last look
    upstream.sim.fail("bulk_delete", **fault)
    assert (await flow.ask([account], "[scene:text chars=9]")).reason == "stop"
    assert upstream.sim.live_conversations() == []
    assert upstream.count("bulk_delete") == 2


async def test_a_deletion_that_is_refused_is_not_asked_for_again(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    upstream.sim.fail("bulk_delete", status=403, body=b"<html>no</html>", content_type="text/html")
    await flow.ask([account], "[scene:text chars=9]")
    assert upstream.count("bulk_delete") == 1


async def test_a_conversation_of_an_agent_is_deleted_as_the_agents(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    await flow.ask([account], model="65c046a531d3fcb034918abe")
    assert upstream.sim.live_conversations() == []
    assert upstream.sim.violations == []


# Limits of ours


@pytest.mark.parametrize(
    ("limit", "reason"), [({"stop": ("word 3",)}, "stop"), ({"max_tokens": 5}, "length")]
)
async def test_a_limit_of_ours_stops_the_upstream(
    flow: Flow, account: SimulatedAccount, upstream: Upstream, limit: dict[str, Any], reason: str
) -> None:
    answer = await flow.ask([account], "[scene:slow first=0 gap=0.01 count=500]", **limit)
    assert answer.reason == reason
    assert answer.text.startswith("word 0 word ")
    assert len(answer.text) < 40
    assert upstream.count("stop_stream") == 1
    assert upstream.sim.live_conversations() == []


# Time


async def test_silence_before_any_content_is_an_error_in_time(
    flow: Flow, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.limit(accept_s=10.0)  # it has been waited for long enough already
    flow.configure(first_content_timeout_s=0.15)
    for scene in ("silence", "keepalive_only gap=0.02", "silence_after_headers", "silence_before_headers"):
        upstream.sim.linger_s = 0.0
        before = asyncio.get_running_loop().time()
        with pytest.raises(UpstreamTimeout, match=r"said nothing for 0\.15 s"):
            await flow.ask([upstream.add_account()], f"[scene:{scene}]")
        assert asyncio.get_running_loop().time() - before < 1.5
    assert upstream.sim.live_conversations() == []


async def test_a_silence_before_headers_leaves_the_account_alone_for_a_moment(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    flow.configure(first_content_timeout_s=0.1, account_wait_s=0.0)
    with pytest.raises(UpstreamTimeout):
        await flow.ask([account], "[scene:silence_before_headers]")
    with pytest.raises(AccountBusy):
        await flow.ask([account])
    assert upstream.count("assistant/stream") == 1


async def test_silence_in_mid_answer_is_an_error_and_the_upstream_is_stopped(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    flow.configure(idle_timeout_s=0.1)
    answer = await flow.ask([account], "[scene:stall]")
    assert answer.text == "Some text and then"
    assert isinstance(answer.ending, Failed)
    assert isinstance(answer.ending.error, UpstreamTimeout)
    assert upstream.count("stop_stream") == 1
    assert upstream.sim.live_conversations() == []


async def test_a_long_answer_has_no_time_of_its_own(flow: Flow, account: SimulatedAccount) -> None:
    flow.configure(first_content_timeout_s=0.3, idle_timeout_s=0.2)
    answer = await flow.ask([account], "[scene:slow first=0.1 gap=0.05 count=16]")
    assert answer.reason == "stop"
    assert answer.text.endswith("word 15 ")


async def test_thoughts_that_are_kept_silent_are_no_silence(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    from simulator.steps import Pause, Script, text_item

    def think_long(cue: Any) -> Any:
        script = Script(cue)
        yield script.opening()
        for increment in script.increments("think", ["hm "] * 10, logic_id="k"):
            yield increment
            yield Pause(0.06)
        yield script.finish_part("t", text_item("At last."))
        yield script.finish()

    flow.configure(first_content_timeout_s=0.3, idle_timeout_s=0.3)
    upstream.sim.play(think_long)
    answer = await flow.ask([account], model="glm-5.3-flash-think-silent")
    assert (answer.text, answer.reasoning) == ("At last.", "")


async def test_near_the_hosts_deadline_an_answer_ends_with_length_and_can_go_on(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    prompt = "[scene:slow first=0 gap=0.02 count=2000]"
    answer = await flow.ask([account], prompt, left_s=0.6, stream=True)
    assert answer.reason == "length"
    assert answer.text.startswith("word 0 ")
    assert upstream.count("stop_stream") == 1
    assert upstream.sim.live_conversations() == [answer.id], "kept, though nobody asked for that"
    again = await flow.ask([account], "[scene:text chars=9]", conversation_id=answer.id)
    assert again.text == sample_text(9)


async def test_a_deadline_before_any_content_is_an_error(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    with pytest.raises(UpstreamTimeout, match="host"):
        await flow.ask([account], "[scene:silence]", left_s=0.3)
    assert upstream.sim.live_conversations() == []


async def test_a_stream_begins_soon_after_it_was_accepted(flow: Flow, account: SimulatedAccount) -> None:
    flow.configure(heartbeat_s=0.1)
    with traced("") as trace:
        async with flow.open([account], "[scene:slow first=0.6 gap=0 count=2]", stream=True) as reply:
            assert set(trace.timings) == {"wait"}, "it began before its content"
            assert reply.started.id
            events = [event async for batch in reply for event in batch]
    assert isinstance(events[-1], Finished)
    with traced("") as trace:
        async with flow.open([account], "[scene:slow first=0.3 gap=0 count=2]"):
            assert trace.timings["first"] > 0.25, "an answer in one piece waits for it"


async def test_a_stream_that_nothing_accepts_begins_before_a_proxy_gives_up(
    flow: Flow, account: SimulatedAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beginning, "MAX_SILENCE_S", 0.05)
    flow.configure(heartbeat_s=0.05, first_content_timeout_s=0.4)
    async with flow.open([account], "[scene:silence_before_headers]", stream=True) as reply:
        with pytest.raises(UpstreamTimeout):
            await anext(reply)


async def test_a_refusal_after_the_beginning_comes_out_of_the_reply(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    from simulator.steps import Pause, Script

    def refuse_late(cue: Any) -> Any:
        script = Script(cue)
        yield script.opening()
        yield Pause(0.3)
        yield script.error(10062, "请求过于频繁")

    flow.configure(heartbeat_s=0.05)
    upstream.sim.play(refuse_late)
    async with flow.open([account], stream=True) as reply:
        with pytest.raises(Throttled):
            await anext(reply)


# Leaving


async def test_leaving_while_waiting_for_an_account(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    async with flow.open([account], "[scene:slow first=0 gap=0.05 count=100]"):
        waiting = asyncio.ensure_future(flow.ask([account], stream=True))
        await eventually(lambda: len(flow.gateway.pool._line) == 1)
        await _cancel(waiting)
    assert upstream.count("assistant/stream") == 1
    assert (await flow.ask([account])).reason == "stop"


async def test_leaving_while_the_token_is_refreshed_loses_no_rotation(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    upstream.sim.fail("user/refresh", delay_s=0.2)
    asking = asyncio.ensure_future(flow.ask([account]))
    await eventually(lambda: upstream.count("user/refresh") == 1)
    await _cancel(asking)
    assert (await flow.ask([account])).reason == "stop"
    assert upstream.count("user/refresh") == 1, "the refresh went on, and its token was kept"
    assert upstream.sim.live_conversations() == []


STAGES: dict[str, tuple[str, Callable[[Upstream], object]]] = {
    # A short answer could be complete with its headers, and needs no stop then.
    "before the headers": ("[scene:slow first=5]", lambda upstream: upstream.count("assistant/stream")),
    "before the first content": (
        "[scene:slow first=5]",
        lambda upstream: upstream.sim.live_conversations(),
    ),
    "in mid-answer": (
        "[scene:slow first=0 gap=0.01 count=900]",
        lambda upstream: upstream.sim.live_conversations(),
    ),
    "while it is silent": ("[scene:stall]", lambda upstream: upstream.sim.live_conversations()),
}


@pytest.mark.parametrize("is_stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("stage", STAGES)
async def test_leaving_ends_what_runs_and_leaves_nothing(
    flow: Flow, account: SimulatedAccount, upstream: Upstream, stage: str, is_stream: bool
) -> None:
    prompt, is_reached = STAGES[stage]
    if stage == "before the headers":
        upstream.sim.fail("assistant/stream", delay_s=0.2)
    asking = asyncio.ensure_future(flow.ask([account], prompt, stream=is_stream))
    await eventually(lambda: is_reached(upstream))
    await _cancel(asking)
    assert flow.leases() == set(), "given back before the cancellation is over"
    assert upstream.sim.active_generations() == 0
    assert upstream.sim.live_conversations() == []
    assert upstream.count("stop_stream") == 1
    assert upstream.count("bulk_delete") == 1


async def test_leaving_an_upstream_that_never_accepts_leaves_the_account_alone_for_a_moment(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    flow.configure(account_wait_s=0.0)
    asking = asyncio.ensure_future(flow.ask([account], "[scene:silence_before_headers]"))
    await eventually(upstream.sim.active_generations)
    await _cancel(asking)
    with pytest.raises(AccountBusy):
        await flow.ask([account])


async def test_a_clean_up_that_takes_too_long_gives_the_account_back(
    flow: Flow, account: SimulatedAccount, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.limit(whole_s=0.1)
    asking = asyncio.ensure_future(flow.ask([account], "[scene:silence_before_headers]"))
    await eventually(upstream.sim.active_generations)
    await _cancel(asking)
    assert flow.leases() == set()


async def test_a_blocked_account_is_found_out_and_left_alone(
    flow: Flow, accounts: Accounts, upstream: Upstream
) -> None:
    first, second, _ = accounts
    upstream.sim.block(first.uid)
    with pytest.raises(AccountRefused) as caught:
        await flow.ask([first])
    assert caught.value.code == "account_blocked"
    with pytest.raises(NoAccountAvailable):
        await flow.ask([first], is_owner=True)
    assert upstream.count("assistant/stream") == 1
    assert (await flow.ask([first, second])).account_label == second.label


async def test_a_refusal_is_told_as_it_came_where_no_reason_is_to_be_had(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    upstream.sim.fail("user/info", status=500)
    with pytest.raises(UpstreamRejected, match="without an answer"):
        await flow.ask([account], "[scene:empty_finish]")


async def test_leaving_while_a_failure_is_looked_into_gives_the_account_back(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    upstream.sim.fail("user/info", delay_s=0.2)
    asking = asyncio.ensure_future(flow.ask([account], "[scene:empty_finish]"))
    await eventually(lambda: upstream.count("user/info"))
    await _cancel(asking)
    assert flow.leases() == set()
    assert upstream.sim.live_conversations() == []


async def test_leaving_while_it_cleans_up_lets_it_end(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    upstream.sim.fail("bulk_delete", delay_s=0.2)
    asking = asyncio.ensure_future(flow.ask([account], "[scene:text chars=9]"))
    await eventually(lambda: upstream.count("bulk_delete"))
    await _cancel(asking)
    assert upstream.sim.live_conversations() == []
    assert upstream.count("stop_stream") == 0


async def test_leaving_twice_changes_nothing(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    upstream.sim.fail("stop_stream", delay_s=0.1)
    asking = asyncio.ensure_future(flow.ask([account], "[scene:stall]"))
    await eventually(upstream.sim.live_conversations)
    asking.cancel()
    await eventually(lambda: upstream.count("stop_stream"))
    await _cancel(asking)
    assert upstream.sim.live_conversations() == []
    assert flow.leases() == set()


async def test_a_stop_that_fails_is_survived_and_the_account_left_alone_for_a_moment(
    flow: Flow, account: SimulatedAccount, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.limit(drain_s=0.1)
    flow.configure(account_wait_s=0.0)
    upstream.sim.fail("stop_stream", status=500)
    answer = await flow.ask([account], "[scene:slow first=0 gap=0.02 count=200]", stop=("word 2",))
    assert answer.reason == "stop"
    with pytest.raises(AccountBusy):
        await flow.ask([account])


async def test_what_cannot_be_cleaned_up_in_time_is_left(
    flow: Flow, account: SimulatedAccount, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.limit(whole_s=0.1)
    upstream.sim.fail("bulk_delete", delay_s=0.5, status=500)
    answer = await flow.ask([account], "[scene:text chars=9]")
    assert answer.reason == "stop"
    assert flow.leases() == set()


async def test_the_lease_is_held_until_the_stream_has_really_ended(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    upstream.sim.close_delay_s = 0.2  # between the terminal event and the close
    async with flow.open([account], "[scene:text chars=9]") as reply:
        _ = [batch async for batch in reply]
        assert upstream.sim.active_generations() == 1, "it has said all, and still runs"
        next_one = asyncio.ensure_future(flow.ask([account], "[scene:text chars=9]"))
        await eventually(lambda: len(flow.gateway.pool._line) == 1)
        assert upstream.count("assistant/stream") == 1
    assert (await next_one).reason == "stop"
    assert upstream.sim.violations == []
    assert upstream.sim.account(account.uid).max_overlap == 1


@pytest.mark.parametrize(("limit", "needed"), [({}, 1), ({"max_tokens": 5}, 2)])
async def test_a_stream_is_read_to_its_close_and_its_connection_serves_the_next(
    flow: Flow, account: SimulatedAccount, limit: dict[str, Any], needed: int
) -> None:
    opened: set[int] = set()
    for _ in range(3):
        await flow.ask([account], "[scene:slow first=0 gap=0.01 count=30]", **limit)
        transport = flow.gateway.upstream._http._transport
        assert isinstance(transport, Transport)
        assert transport.busy == []
        connections = transport.idle
        opened |= {id(connection) for connection in connections}
    assert len(opened) == needed, "a stop needs one beside the stream"


async def test_moderation_is_an_answer_with_its_reason(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    answer = await flow.ask([account], "[scene:intervene]")
    assert (answer.text, answer.reason) == (INTERVENE_TEXT, "content_filter")
    assert answer.streamed == "This will be withdrawn"
    assert upstream.count("assistant/stream") == 1
    assert upstream.sim.live_conversations() == []


async def _cancel(task: asyncio.Future[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_throttle_that_comes_with_the_first_content_is_not_forgiven(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    error = {"status": "error", "last_error": {"error_code": 10062, "err_msg": "请求过于频繁"}, "parts": []}
    text = {
        "logic_id": "L",
        "role": "assistant",
        "status": "init",
        "content": [{"type": "text", "text": "half"}],
    }
    events: list[dict[str, Any]] = [{"status": "init", "parts": [text]}, error]
    flow.configure(account_wait_s=0.0)
    together = b"".join(b"data: " + msgspec.json.encode({"id": "h", **event}) + b"\n\n" for event in events)
    upstream.sim.play([together], uid=account.uid)
    assert isinstance((await flow.ask([account])).events[-1], Failed)
    with pytest.raises(Throttled):
        await flow.ask([account])


async def test_a_clean_up_is_done_before_the_host_ends_the_request(
    flow: Flow, account: SimulatedAccount, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.limit(min_s=0.05)
    upstream.sim.fail("stop_stream", delay_s=5.0)
    began_at = asyncio.get_running_loop().time()
    answer = await flow.ask([account], "[scene:stall]", left_s=0.5)
    assert asyncio.get_running_loop().time() - began_at < 1.5
    assert isinstance(answer.events[-1], Finished)
    assert flow.leases() == set()


async def test_what_an_answer_took_is_free_at_its_end_and_not_at_the_next_garbage_collection(
    flow: Flow, account: SimulatedAccount
) -> None:
    kinds = (Reply, Turn, ReplyDecoder)
    await flow.ask([account])
    gc.disable()
    try:
        before = [item for item in gc.get_objects() if isinstance(item, kinds)]  # of other tests
        for prompt in ("Hello!", "[scene:text chars=3000]", "[scene:error_10025_late]"):
            with suppress(GatewayError):
                await flow.ask([account], prompt)
        await asyncio.sleep(0)
        after = [item for item in gc.get_objects() if isinstance(item, kinds)]
    finally:
        gc.enable()
    known = {id(item) for item in before}
    left = [type(item).__name__ for item in after if id(item) not in known]
    assert left == []
