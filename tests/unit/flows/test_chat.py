"""The flow of a chat, over upstreams that are ten lines long: choice, fallback, endings, a second turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import asynccontextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from lib.chat.caller import Caller
from lib.chat.events import (
    Citation,
    Failed,
    Finished,
    ReasoningDelta,
    ReplyEvent,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from lib.chat.request import ChatRequest, ImagePart, Message, TextPart, ToolCall
from lib.errors import (
    AccountBusy,
    AccountRefused,
    ConversationNotFound,
    GatewayError,
    InvalidRequest,
    NoAccountAvailable,
    ShuttingDown,
    Throttled,
    UpstreamError,
    UpstreamTimeout,
)
from lib.flows.chat import MAX_REPLY_CHARS, OTHER_EVENT_CHARS, open_reply
from lib.flows.plan import Planned
from lib.settings import Settings
from lib.tasks import beside
from lib.trace import Trace
from lib.upstreams.interface import Abilities, Batch, Call, Candidate

STARTED = Started("id", "glm", "label")
HELLO: list[Batch] = [[STARTED, TextDelta("Hello")], [TextDelta("!"), Finished("stop")]]
CHAT = ChatRequest(model="glm", messages=(Message("user", (TextPart("Hi"),)),))


class FakeUpstream:
    """Plays turns: each is a list of batches, or an error in place of one. It notes what is asked of it."""

    def __init__(self, *turns: Sequence[Batch | GatewayError], serves: bool = True, **able: Any) -> None:
        self.name = "fake"
        self.turns = list(turns)
        self.asked: list[str] = []
        self.proof: GatewayError | None = None
        self._abilities = Abilities(**able) if serves else None

    async def abilities(self, _chat: ChatRequest, _call: Call) -> Abilities | None:
        return self._abilities

    async def prove(self, _call: Call) -> None:
        if self.proof is not None:
            raise self.proof

    @asynccontextmanager
    async def open(
        self, chat: ChatRequest, _call: Call, *, patience_s: float | None
    ) -> AsyncIterator[FakeReply]:
        self.asked.append(chat.messages[-1].text)
        first = self.turns[0][0] if self.turns[0] else None
        if isinstance(first, GatewayError) and patience_s is None:
            self.turns.pop(0)
            raise first
        yield FakeReply(self)
        self.asked.append("closed")

    async def models(self, _call: Call) -> tuple[str, ...]:
        return ()


class FakeReply:
    def __init__(self, upstream: FakeUpstream) -> None:
        self._upstream = upstream
        self.started = STARTED
        self.events = self._play()

    async def again(self, words: str) -> AsyncIterator[Batch]:
        self._upstream.asked.append(words)
        return self._play()

    async def _play(self) -> AsyncIterator[Batch]:
        for batch in self._upstream.turns.pop(0):
            if isinstance(batch, GatewayError):
                raise batch
            yield batch


def call(*upstreams: FakeUpstream, fallback: FakeUpstream | None = None) -> Call:
    async def candidates(chat: ChatRequest, _caller: Caller) -> list[Candidate]:
        served: list[Any] = list(upstreams)
        other: Any = fallback
        spare = [] if fallback is None else [Candidate(other, chat, is_fallback=True)]
        return [*[Candidate(upstream, chat) for upstream in served], *spare]

    services: Any = SimpleNamespace(settings=Settings(), candidates=candidates)
    return Call(services=services, caller=Caller((), is_owner=True), trace=Trace())


async def ask(
    *upstreams: FakeUpstream, chat: ChatRequest = CHAT, patience_s: float | None = None
) -> list[ReplyEvent]:
    async with open_reply(chat, call(*upstreams), patience_s=patience_s) as reply:
        return [event async for batch in reply for event in batch]


def text(events: Sequence[ReplyEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_the_first_upstream_that_serves_the_chat_answers() -> None:
    foreign, serving, spare = FakeUpstream(serves=False), FakeUpstream(HELLO), FakeUpstream(HELLO)
    events = await ask(foreign, serving, spare)
    assert (events[0], text(events)) == (STARTED, "Hello!")
    assert (foreign.asked, serving.asked, spare.asked) == ([], ["Hi", "closed"], [])


async def test_a_missing_ability_is_made_up_for_and_a_present_one_is_left_alone() -> None:
    limited = ChatRequest(model="glm", messages=CHAT.messages, stop=("lo",), max_tokens=9)
    events = await ask(FakeUpstream(HELLO), chat=limited)
    assert (text(events), events[-1]) == ("Hel", Finished("stop", Usage(5, 1), "lo"))
    counted = Finished("stop", Usage(100, 20))
    able = FakeUpstream([HELLO[0], [TextDelta("!"), counted]], stop=4, max_tokens=True, usage=True)
    assert await ask(able, chat=limited) == [*HELLO[0], TextDelta("!"), counted]


@pytest.mark.parametrize("patience_s", [None, 0.01], ids=["refused at once", "refused after it began"])
async def test_a_refusal_before_the_content_goes_on_to_the_next_upstream(patience_s: float | None) -> None:
    refusing, serving = FakeUpstream([Throttled("too much")]), FakeUpstream(HELLO)
    assert text(await ask(refusing, serving, patience_s=patience_s)) == "Hello!"
    assert refusing.asked == (["Hi"] if patience_s is None else ["Hi", "closed"])


@pytest.mark.parametrize("patience_s", [None, 0.01])
async def test_a_refusal_that_no_other_upstream_can_mend_is_final(patience_s: float | None) -> None:
    spare = FakeUpstream(HELLO)
    with pytest.raises(InvalidRequest, match="no such agent"):
        await ask(FakeUpstream([InvalidRequest("no such agent")]), spare, patience_s=patience_s)
    assert spare.asked == []


async def test_the_last_refusal_is_raised_if_no_upstream_is_left() -> None:
    with pytest.raises(Throttled, match="second"):
        await ask(FakeUpstream([Throttled("first")]), FakeUpstream([Throttled("second")]))
    with pytest.raises(NoAccountAvailable, match="No upstream"):
        await ask(FakeUpstream(serves=False))


@pytest.mark.parametrize("patience_s", [None, 0.01])
@pytest.mark.parametrize(
    "refusal",
    [Throttled("x"), AccountBusy("x"), AccountRefused("x"), UpstreamTimeout("x"), UpstreamError("x")],
)
async def test_the_fallback_answers_if_the_upstream_cannot(
    refusal: GatewayError, patience_s: float | None
) -> None:
    asked = call(FakeUpstream([refusal]), fallback=FakeUpstream(HELLO))
    async with open_reply(CHAT, asked, patience_s=patience_s) as reply:
        assert text([event async for batch in reply for event in batch]) == "Hello!"
        assert reply.fallback == refusal.code == asked.trace.fallback


@pytest.mark.parametrize("refusal", [InvalidRequest("x"), ConversationNotFound("x"), ShuttingDown("x")])
async def test_the_fallback_does_not_answer_for_another_reason(refusal: GatewayError) -> None:
    spare = FakeUpstream(HELLO)
    with pytest.raises(type(refusal)):
        async with open_reply(CHAT, call(FakeUpstream([refusal]), fallback=spare)):
            pass
    assert spare.asked == []


@pytest.mark.parametrize(("able", "answers"), [({}, False), ({"images": True}, True)])
async def test_the_fallback_must_take_the_images_of_the_chat(able: dict[str, Any], *, answers: bool) -> None:
    seen = ChatRequest(model="glm", messages=(Message("user", (ImagePart("data:,x"),)),))
    spare = FakeUpstream(HELLO, **able)
    asked = call(FakeUpstream([Throttled("x")]), fallback=spare)
    with nullcontext() if answers else pytest.raises(Throttled):
        async with open_reply(seen, asked):
            pass
    assert bool(spare.asked) is answers


async def test_the_first_refusal_is_raised_if_the_fallback_refuses_too() -> None:
    asked = call(FakeUpstream([Throttled("first")]), fallback=FakeUpstream([AccountRefused("second")]))
    with pytest.raises(Throttled, match="first"):
        async with open_reply(CHAT, asked):
            pass


async def test_nothing_is_tried_again_after_the_first_content() -> None:
    spare = FakeUpstream(HELLO)
    with pytest.raises(Throttled):
        await ask(FakeUpstream([[STARTED, TextDelta("Hel")], Throttled("now?")]), spare, patience_s=0.01)
    assert spare.asked == []


async def test_a_failure_is_an_ending_and_nothing_follows_it() -> None:
    failed = Failed(UpstreamTimeout("Silence."))
    events = await ask(FakeUpstream([[STARTED, TextDelta("Hel"), failed], [TextDelta("lo")]]))
    assert events == [STARTED, TextDelta("Hel"), failed]


@pytest.mark.parametrize("kind", [TextDelta, ReasoningDelta])
async def test_an_answer_without_an_end_is_ended(kind: type[TextDelta] | type[ReasoningDelta]) -> None:
    piece = kind("a" * (MAX_REPLY_CHARS // 4))
    upstream = FakeUpstream([[STARTED], *[[piece]] * 4, [piece], [Finished("stop")]])
    *events, last = await ask(upstream)
    assert events == [STARTED, *[piece] * 4]
    assert isinstance(last, Failed)
    assert last.error.status == 502
    assert upstream.asked == ["Hi", "closed"]


@pytest.mark.parametrize(
    "event",
    [ToolCallDelta(0, "", id="c"), ToolCallDelta(0, "a" * OTHER_EVENT_CHARS), Citation(1, "http://a/", "t")],
)
async def test_calls_and_sources_without_an_end_are_ended(event: ReplyEvent) -> None:
    most = [event] * (MAX_REPLY_CHARS // OTHER_EVENT_CHARS)
    *_, last = await ask(FakeUpstream([[STARTED], most, [Finished("stop")]]))
    assert isinstance(last, Finished)
    *_, last = await ask(FakeUpstream([[STARTED], most, [event], [Finished("stop")]]))
    assert isinstance(last, Failed)


def at_once_planned(planned: Planned) -> Generator[int, None, Planned]:
    yield from ()
    return planned


class AsksOnce:
    """A stage that turns the first ending into words for one more turn."""

    is_done = False

    def __init__(self) -> None:
        self.repair: str | None = None
        self._has_asked = False

    def feed(self, events: Sequence[ReplyEvent]) -> list[ReplyEvent]:
        self.repair = None
        if isinstance(events[-1], Finished) and not self._has_asked:
            self._has_asked, self.repair = True, "Write it again."
            return list(events[:-1])
        return list(events)


async def test_a_stage_gets_one_more_turn_on_the_same_reply() -> None:
    twice = FakeUpstream(HELLO, [[TextDelta(" Again."), Finished("stop")]])
    opened = open_reply(CHAT, call(twice), planner=lambda chat, _: at_once_planned(Planned(chat, AsksOnce())))
    async with opened as reply:
        events = [event async for batch in reply for event in batch]
    assert text(events) == "Hello! Again."
    assert [type(event) for event in events].count(Finished) == 1
    assert twice.asked == ["Hi", "Write it again.", "closed"]


async def test_leaving_early_closes_the_reply() -> None:
    upstream = FakeUpstream(HELLO)
    async with open_reply(CHAT, call(upstream)) as reply:
        assert (await anext(reply))[0] == STARTED
    assert upstream.asked == ["Hi", "closed"]


LONG = ChatRequest(model="glm", messages=(Message("user", (TextPart("Hello, world. " * 50_000),)),))


async def test_a_long_prompt_is_counted_while_the_loop_turns() -> None:
    turns = 0

    async def heart() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with beside(heart()):
        events = await ask(FakeUpstream(HELLO), chat=LONG)
    assert isinstance(events[-1], Finished)
    assert events[-1].usage == Usage(4 + 4 * 50_000 + 1, 2)
    assert turns > 40  # 700,000 characters are 43 windows.


async def test_a_prompt_that_no_model_takes_is_refused_before_any_upstream_is_asked() -> None:
    upstream = FakeUpstream(HELLO)
    too_long = ChatRequest(model="glm", messages=(Message("user", (TextPart("a" * 4_000_001),)),))
    with pytest.raises(InvalidRequest) as caught:
        await ask(upstream, chat=too_long)
    assert caught.value.code == "context_length_exceeded"
    assert upstream.asked == []


async def test_a_prompt_that_grows_too_long_in_the_plan_is_refused_before_the_upstream_works() -> None:
    upstream = FakeUpstream(HELLO)
    longer = ChatRequest(model="glm", messages=(Message("user", (TextPart("a" * 4_000_001),)),))
    opened = open_reply(CHAT, call(upstream), planner=lambda *_: at_once_planned(Planned(longer, AsksOnce())))
    with pytest.raises(InvalidRequest) as caught:
        async with opened:
            pass
    assert caught.value.code == "context_length_exceeded"
    assert upstream.asked == []


CALLED = Message("assistant", tool_calls=(ToolCall("a", "now", '{"text":"' + "x" * 9_000 + '"}'),))
REPLAYED = ChatRequest(model="glm", messages=(*CHAT.messages, *[CALLED] * 200))


async def test_a_long_history_of_calls_is_planned_while_the_loop_turns() -> None:
    turns = 0
    seen: list[int] = []

    async def heart() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    class Opened(FakeUpstream):
        async def prove(self, _call: Call) -> None:
            seen.append(turns)

        @asynccontextmanager
        async def open(self, *asked: Any, **more: Any) -> AsyncIterator[FakeReply]:
            seen.append(turns)
            async with super().open(*asked, **more) as reply:
                yield reply

    async with beside(heart()):
        assert text(await ask(Opened(HELLO), chat=REPLAYED)) == "Hello!"
    proven, opened = seen
    assert opened - proven > 100  # 1,800,000 characters are 110 steps.


async def test_a_stranger_is_proven_before_the_history_is_written_and_a_short_chat_is_not_kept_waiting() -> (
    None
):
    planned: list[ChatRequest] = []

    def planner(chat: ChatRequest, _abilities: Abilities) -> Generator[int, None, Planned]:
        planned.append(chat)
        return at_once_planned(Planned(chat, AsksOnce()))

    stranger = FakeUpstream(HELLO)
    stranger.proof = AccountRefused("Who are you?")
    with pytest.raises(AccountRefused, match="Who are you"):
        async with open_reply(REPLAYED, call(stranger), planner=planner):
            pass
    assert (planned, stranger.asked) == ([], [])
    async with open_reply(CHAT, call(stranger), planner=planner):
        assert planned == [CHAT]
