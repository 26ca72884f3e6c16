"""A reply's time and endings: silences, the host's deadline, cancellation, a second turn."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lib.chat.events import Failed, Finished, Notice, ReplyEvent, Started, TextDelta
from lib.chat.request import Effort, Tool
from lib.errors import ConversationNotFound, GatewayError, UpstreamTimeout
from lib.upstreams.official.catalogue import ModelLists
from lib.upstreams.official.reply import Reply
from lib.upstreams.official.wire.keys import Key
from simulator.official.app import Official
from tests.support.waiting import eventually
from tests.unit.upstreams.official.conftest import Stand


async def read(reply: Reply) -> list[ReplyEvent]:
    return [event async for batch in reply.events for event in batch]


def text(events: list[ReplyEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_a_reply_begins_with_its_name_and_ends_once(stand: Stand) -> None:
    async with stand.open() as reply:
        events = await read(reply)
    assert isinstance(events[0], Started)
    assert events[0] == reply.started
    assert (events[0].model, events[0].account) == ("glm-4.6", Key(stand.caller.official_keys[0]).label)
    assert sum(isinstance(event, Finished | Failed) for event in events) == 1
    assert (stand.trace.model, stand.trace.attempts) == ("glm-4.6", 1)
    assert set(stand.trace.timings) == {"wait", "first"}


@pytest.mark.parametrize("scene", ["silence", "silence headers=0"])
async def test_silence_before_the_first_word_is_a_timeout(stand: Stand, scene: str) -> None:
    with pytest.raises(UpstreamTimeout, match="said nothing for"):
        async with stand.open(f"[scene:{scene}]"):
            pass


@pytest.mark.parametrize(
    ("model", "effort", "waits_s"),
    [
        ("glm-5.3", None, 0.5),
        ("glm-5.3", "low", 0.3),
        ("glm-5.3", "medium", 0.5),
        ("glm-5.2", "max", 0.5),
        ("glm-5.2", None, 0.5),
        ("glm-5.2", "none", 0.3),
        ("glm-4.6", "max", 0.3),
        ("glm-4-long", None, 0.3),
    ],
)
async def test_a_model_that_thinks_hard_has_more_time(
    stand: Stand, model: str, effort: Effort | None, waits_s: float
) -> None:
    with pytest.raises(UpstreamTimeout, match=f"said nothing for {waits_s} s"):
        async with stand.open("[scene:silence]", model=f"api/{model}", effort=effort):
            pass


async def test_a_stream_begins_soon_after_acceptance(stand: Stand) -> None:
    async with stand.open("[scene:silence]", patience_s=0.01) as reply:
        assert reply.started == Started("", "glm-4.6", Key(stand.caller.official_keys[0]).label)
        with pytest.raises(UpstreamTimeout):
            await read(reply)


async def test_a_reply_that_stalls_fails_in_the_middle(stand: Stand) -> None:
    async with stand.open("[scene:stall]") as reply:
        events = await read(reply)
    assert text(events) == "Some words,"
    assert isinstance(events[-1], Failed)
    assert isinstance(events[-1].error, UpstreamTimeout)


async def test_an_answer_whose_last_line_is_late_is_complete(stand: Stand) -> None:
    async with stand.open("[scene:late_done s=30]") as reply:
        events = await read(reply)
    assert text(events) == "All is said."
    assert isinstance(events[-1], Finished)
    assert events[-1].usage.completion_tokens > 0


async def test_the_hosts_end_cuts_an_answer_short(stand: Stand) -> None:
    async with stand.open("[scene:slow first=0 gap=0.05 count=400]", left_s=0.5) as reply:
        events = await read(reply)
    assert text(events).startswith("word0 word1")
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "length"
    with pytest.raises(UpstreamTimeout, match="The host ends"):
        async with stand.open("[scene:silence]", left_s=0.1):
            pass


async def test_a_reply_that_is_left_early_is_stopped(stand: Stand, official: Official) -> None:
    async with stand.open("[scene:slow first=0 gap=0.05 count=4000]") as reply:
        await anext(reply.events)
        assert official.active() == 1
    assert stand.is_idle()
    await eventually(lambda: official.active() == 0)


@pytest.mark.parametrize("scene", ["silence", "slow first=0 gap=0.05 count=4000"])
async def test_a_reply_that_is_cancelled_gives_its_place_back(
    stand: Stand, official: Official, scene: str
) -> None:
    async def ask() -> None:
        async with stand.open(f"[scene:{scene}]") as reply:
            await read(reply)

    asking = asyncio.create_task(ask())
    await eventually(lambda: official.active() == 1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert stand.is_idle()
    await eventually(lambda: official.active() == 0)


async def test_a_second_turn_has_the_first_answer_behind_it_and_adds_up_the_usage(
    stand: Stand, official: Official
) -> None:
    official.play("text chars=40")
    async with stand.open() as reply:
        first = await read(reply)
        second = [event async for batch in await reply.again("Again, please.") for event in batch]
    assert not any(isinstance(event, Started) for event in second)
    assert text(second).startswith("You said: “Again, please.”")
    messages = official.calls[-1].json["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert messages[1]["content"] == text(first)
    ended, again = first[-1], second[-1]
    assert isinstance(ended, Finished)
    assert isinstance(again, Finished)
    assert again.usage.prompt_tokens > ended.usage.prompt_tokens
    assert again.usage.completion_tokens > ended.usage.completion_tokens


async def test_a_second_turn_may_be_refused(stand: Stand, official: Official) -> None:
    async with stand.open() as reply:
        await read(reply)
        official.play("error code=1301")
        with pytest.raises(GatewayError, match="1301"):
            await reply.again("Again.")


@pytest.mark.parametrize("scene", ["silence", "silence headers=0"])
async def test_a_second_turn_without_a_word_by_the_hosts_end_is_a_timeout(
    stand: Stand, official: Official, scene: str
) -> None:
    async with stand.open(left_s=0.25) as reply:
        await read(reply)
        official.play(scene)
        with pytest.raises(UpstreamTimeout, match="The host ends"):
            await reply.again("Again.")


@pytest.mark.parametrize(("model", "is_hinted"), [("glm-4.6", True), ("glm-4v-flash", False)])
async def test_only_a_schema_that_was_sent_is_suspected(
    stand: Stand, official: Official, model: str, is_hinted: bool
) -> None:
    official.play("error code=1234", times=2)
    with pytest.raises(GatewayError) as caught:
        async with stand.open(model=f"api/{model}", tools=(Tool(name="g"),)):
            pass
    assert ("JSON schema" in caught.value.message) is is_hinted


async def test_a_conversation_cannot_be_continued(stand: Stand, official: Official) -> None:
    with pytest.raises(ConversationNotFound, match="send all messages"):
        async with stand.open(conversation_id="x"):
            pass
    assert official.calls == []


async def test_things_that_were_changed_are_noticed(stand: Stand) -> None:
    union = {"type": "object", "properties": {"a": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}}
    tools = (Tool(name="f", schema=union), Tool(name="g"))
    async with stand.open(tools=tools, web_search=True) as reply:
        events = await read(reply)
    kinds = [event.kind for event in events if isinstance(event, Notice)]
    assert kinds == ["schema_flattened", "search_left_out"]


async def test_a_search_by_a_model_that_takes_no_tools_is_noticed(stand: Stand) -> None:
    async with stand.open(model="api/glm-4v-flash", tools=(Tool(name="g"),), web_search=True) as reply:
        events = await read(reply)
    assert [event.kind for event in events if isinstance(event, Notice)] == ["search_left_out"]


@pytest.mark.parametrize(
    ("fields", "kinds"),
    [
        ({"max_tokens": 16}, ["small_limit"]),
        ({"max_tokens": 16, "effort": "none"}, []),
        ({"max_tokens": 16, "model": "api/glm-5.3", "effort": "none"}, ["small_limit"]),
        ({"max_tokens": 16, "model": "api/glm-4-long"}, []),
        ({"max_tokens": 4096}, []),
        ({}, []),
    ],
)
async def test_a_limit_that_thinking_may_use_up_is_noticed(
    stand: Stand, fields: dict[str, Any], kinds: list[str]
) -> None:
    async with stand.open(**fields) as reply:
        events = await read(reply)
    assert [event.kind for event in events if isinstance(event, Notice)] == kinds


# The list of models


async def test_the_list_is_fetched_once_and_kept(stand: Stand, official: Official) -> None:
    keys = [Key(key) for key in stand.caller.official_keys]
    lists = ModelLists(stand.gateway.api)
    assert "glm-5" in lists.known(keys)
    listed = {"data": [{"id": "GLM-7"}, {"id": "glm-5.4"}, {"id": "x-highspeed"}]}
    official.fail("models", status=200, body=listed)
    offered = await lists.offered(keys)
    assert await lists.offered(keys) == offered
    assert "glm-7" in offered
    assert not {"glm-5.4", "x-highspeed"} & set(offered), "only the plan has these"
    assert "glm-7" in lists.known(keys)
    assert len(official.calls_to("models")) == 1
    assert "glm-5" in lists.known([])


@pytest.mark.parametrize("body", [b"[1]", b'{"error":{"code":"500","message":"x"}}'])
async def test_a_list_that_cannot_be_read_leaves_the_table(
    stand: Stand, official: Official, body: bytes
) -> None:
    official.fail("models", status=200, body=body)
    lists = ModelLists(stand.gateway.api)
    keys = [Key(key) for key in stand.caller.official_keys]
    assert set(await lists.offered(keys)) == lists.known(keys)
