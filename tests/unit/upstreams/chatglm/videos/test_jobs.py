"""Videos below HTTP: seals, hand-outs, sound, and what is remembered where."""

from __future__ import annotations

import asyncio
from io import BytesIO
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lib.chat.caller import Caller
from lib.chat.media import Attempt, VideoRequest, VideoState
from lib.errors import (
    GatewayError,
    InvalidRequest,
    NoAccountAvailable,
    NotFound,
    ShuttingDown,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamRejected,
    UpstreamTimeout,
)
from lib.flows.videos import after_sending, failure_of
from lib.store.seal import Place
from lib.store.settings import SqliteSettings
from lib.upstreams.chatglm.accounts.account import Account, parse_account
from lib.upstreams.chatglm.accounts.callers import accounts_of
from lib.upstreams.chatglm.videos import orders as video_orders
from lib.upstreams.chatglm.videos.ids import VideoJob, seal, unseal
from lib.upstreams.chatglm.videos.jobs import (
    Pace,
    Videos,
    look_at_video,
    make_video,
    note_handed_out,
    remove_video,
)
from lib.upstreams.choose import close_services
from lib.web.ending import cut_short, told_as_error, under_way
from lib.web.media import attempt_of
from simulator.app import Simulator
from simulator.videos import Video
from tests.conftest import SimulatedAccount, Upstream
from tests.support.waiting import eventually
from tests.unit.conftest import Flow

AUDIO = ("epic", "669b809d3915c1ddbb3d6705")
JOB = VideoJob("a" * 24, "b" * 24, "", 7, "cogvideox", AUDIO)


@pytest.fixture
def sim(upstream: Upstream) -> Simulator:
    upstream.sim.video_poll_s = 0.0
    return upstream.sim


def caller_of(*accounts: SimulatedAccount, key: str = "") -> Caller:
    return Caller(tuple(account.token for account in accounts), is_owner=bool(key), key=key)


def only_video(sim: Simulator) -> Video:
    (video,) = sim.videos.values()
    return video


async def make(flow: Flow, caller: Caller, prompt: str = "[scene:video] a cat", **fields: Any) -> VideoState:
    request = VideoRequest(**{"prompt": prompt, "model": "cogvideox"} | fields)
    return await make_video(flow.gateway, request, flow.calling(caller), pace=Pace(poll_every_s=0.01))


class Eager:
    """A caller's videos, asked for as often as anybody looks."""

    def __init__(self, flow: Flow, caller: Caller) -> None:
        self.videos = Videos(flow.gateway, flow.calling(caller), accounts_of(caller), poll_every_s=0.0)

    async def look(self, video_id: str) -> VideoState:
        return await self.videos.look(*self.videos.find(video_id))

    async def hand_out(self, video_id: str) -> None:
        await self.videos.count_hand_out(*self.videos.find(video_id))


# Ids


def test_a_seal_opens_for_its_caller_alone(upstream: Upstream) -> None:
    mine, other = upstream.add_account(), upstream.add_account()
    account = parse_account(mine.token)
    job = msgspec.structs.replace(JOB, account_label=account.label)
    owner = caller_of(mine, key="sk-1")
    video_id = seal(job, owner, account)
    both = (parse_account(other.token), account)
    assert unseal(video_id, owner, both) == (job, account)
    assert unseal(video_id, caller_of(mine, key="sk-2"), both) is None
    assert unseal(video_id, caller_of(mine), both) is None
    assert unseal(video_id, owner, both[:1]) is None


def test_a_seal_does_not_open_for_a_token_that_names_the_same_account(upstream: Upstream) -> None:
    """Anybody can write a token with another's uid: nothing verifies it before the upstream does."""
    mine = upstream.add_account()
    again = upstream.sim.log_in(mine.uid)
    account, forged = parse_account(mine.token), parse_account(again)
    assert account.label == forged.label
    video_id = seal(msgspec.structs.replace(JOB, account_label=account.label), caller_of(mine), account)
    assert unseal(video_id, caller_of(mine), (forged,)) is None


def test_no_change_of_any_character_opens_it(upstream: Upstream) -> None:
    mine = upstream.add_account()
    account, caller = parse_account(mine.token), caller_of(mine)
    video_id = seal(msgspec.structs.replace(JOB, account_label=account.label), caller, account)
    for position in range(len("video_"), len(video_id) - 1):  # the last one may hold bits that say nothing
        changed = "A" if video_id[position] != "A" else "B"
        assert unseal(video_id[:position] + changed + video_id[position + 1 :], caller, (account,)) is None
        assert unseal(video_id[:position], caller, (account,)) is None


def test_an_id_is_short_and_fit_for_a_path(upstream: Upstream) -> None:
    mine = upstream.add_account()
    job = msgspec.structs.replace(JOB, account_label=mine.label, model="模" * 64)
    video_id = seal(job, caller_of(mine), parse_account(mine.token))
    assert len(video_id) < 500
    assert set(video_id) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


IDS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=64)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=64)
JOBS = st.builds(
    VideoJob,
    IDS,
    IDS | st.just(""),
    st.just("01234567"),
    st.integers(0, 2**40),
    TEXTS.filter(lambda model: len(model.encode()) <= 64),
    st.none() | st.tuples(TEXTS.map(lambda key: key[:40]), IDS),
)
LONGEST = VideoJob("a" * 64, "b" * 64, "01234567", 2**40, "m" * 64, ("\U0001f3b5" * 40, "c" * 64))


@given(JOBS | st.just(LONGEST))
def test_every_id_that_is_given_opens(job: VideoJob) -> None:
    account = Account("token", "01234567", "key", "device")
    caller = Caller(("token",), is_owner=False, key="")
    assert unseal(seal(job, caller, account), caller, (account,)) == (job, account)


@pytest.mark.parametrize("conversation_id", ["../x", "b" * 65, "会话", "a b"])
async def test_a_conversation_that_cannot_be_is_refused_before_the_order(
    flow: Flow, account: SimulatedAccount, sim: Simulator, conversation_id: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await make(flow, caller_of(account), conversation_id=conversation_id)
    assert caught.value.param == "conversation_id"
    assert sim.videos == {}


# Waiting


async def test_waiting_ends_with_the_video(flow: Flow, account: SimulatedAccount, sim: Simulator) -> None:
    made = await make(flow, caller_of(account), "[scene:video queue=1 work=2] a cat")
    assert (made.status, made.progress) == ("completed", 100)
    assert only_video(sim).polls == 4
    assert sim.account(account.uid).max_overlap == 0


async def test_a_job_goes_from_queued_to_completed(
    flow: Flow, account: SimulatedAccount, sim: Simulator
) -> None:
    caller = caller_of(account)
    made = await make(flow, caller, "[scene:video queue=1 work=1] a cat", wait_s=0)
    states = [await Eager(flow, caller).look(made.id) for _ in range(4)]
    assert [state.status for state in states] == ["queued", "in_progress", "completed", "completed"]
    assert [state.progress for state in states] == [0, 50, 100, 100]
    assert [state.completed_at is None for state in states] == [True, True, False, False]
    assert {state.id for state in states} == {made.id}


async def test_who_waits_does_not_notice_a_poll_that_fails(
    flow: Flow, account: SimulatedAccount, sim: Simulator
) -> None:
    sim.fail("status/{chat_id}", status=500, body={"status": 500, "message": "internal server error"})
    sim.fail("status/{chat_id}", disconnect=True)
    assert (await make(flow, caller_of(account))).status == "completed"
    assert only_video(sim).polls == 1


async def test_an_upstream_that_fails_to_take_an_order_has_refused_it(
    flow: Flow, account: SimulatedAccount, sim: Simulator
) -> None:
    sim.fail("video-api/v1/chat", status=200, body={"status": 10099, "message": "次数已用完"})
    with pytest.raises(UpstreamRejected, match="次数已用完"):
        await make(flow, caller_of(account))
    assert sim.videos == {}


async def test_the_account_is_free_while_the_video_is_made(
    flow: Flow, account: SimulatedAccount, sim: Simulator
) -> None:
    await make(flow, caller_of(account), "[scene:video queue=99]", wait_s=0)
    assert flow.leases() == set()
    assert (await flow.ask([account])).text


async def test_polls_that_are_refused_end_the_waiting_with_what_is_known(
    flow: Flow, account: SimulatedAccount, sim: Simulator
) -> None:
    async def revoke() -> None:
        await eventually(lambda: sim.videos)
        sim.revoke(account.uid)
        sim.expire_access_tokens(account.uid)

    revoking = asyncio.ensure_future(revoke())
    made = await make(flow, caller_of(account, key="sk"), "[scene:video queue=9999] a cat")
    await revoking
    assert made.status == "queued"
    await asyncio.sleep(0.02)  # the last poll's turn is over by then
    with pytest.raises(NoAccountAvailable):
        await Eager(flow, caller_of(account, key="sk")).look(made.id)


async def test_one_poll_serves_all_who_ask_at_once(
    flow: Flow, account: SimulatedAccount, sim: Simulator
) -> None:
    caller = caller_of(account)
    made = await make(flow, caller, "[scene:video queue=5] a cat", wait_s=0)
    states = await asyncio.gather(
        *(look_at_video(flow.gateway, made.id, flow.calling(caller)) for _ in range(20))
    )
    assert {state.status for state in states} == {"queued"}
    assert only_video(sim).polls == 1


async def test_another_instance_takes_what_the_first_has_just_heard(
    flow: Flow, account: SimulatedAccount, sim: Simulator, tmp_path: Any
) -> None:
    flow.configure(store=SqliteSettings(f"{tmp_path}/state.db"))
    caller = caller_of(account)
    made = await make(flow, caller, "[scene:video work=5] a cat", wait_s=0)
    first = await look_at_video(flow.gateway, made.id, flow.calling(caller))
    await close_services()
    second = await look_at_video(flow.gateway, made.id, flow.calling(caller))
    assert first == second
    assert first.status == "in_progress"
    assert only_video(sim).polls == 1


async def test_an_instance_that_knows_nothing_asks(
    flow: Flow, account: SimulatedAccount, sim: Simulator
) -> None:
    caller = caller_of(account)
    made = await make(flow, caller, wait_s=0)
    place = Place(f"video:{account.label}:{only_video(sim).id}", account.token)
    await flow.gateway.memory.keep(place, "junk", ttl_s=60)
    assert (await look_at_video(flow.gateway, made.id, flow.calling(caller))).status == "completed"


# Ends


async def test_two_completed_answers_delete_the_record_and_no_fewer(
    flow: Flow, account: SimulatedAccount, sim: Simulator
) -> None:
    caller = caller_of(account)
    made = await make(flow, caller)
    for handed_out in (1, 2, 3):
        await note_handed_out(flow.gateway, made.id, flow.calling(caller))
        assert only_video(sim).deleted is (handed_out >= 2)
    assert (await look_at_video(flow.gateway, made.id, flow.calling(caller))).status == "completed"


async def test_a_deletion_that_fails_is_tried_again_and_spoils_nothing(
    flow: Flow, account: SimulatedAccount, sim: Simulator
) -> None:
    caller = caller_of(account)
    made = await make(flow, caller)
    sim.fail("v1/chat/{chat_id}", status=500, body={"status": 500, "message": "internal"})
    eager = Eager(flow, caller)
    for _ in range(2):
        await eager.hand_out(made.id)
    assert not only_video(sim).deleted
    await eager.hand_out(made.id)
    assert only_video(sim).deleted


async def test_what_nobody_remembers_is_not_counted(
    flow: Flow, account: SimulatedAccount, sim: Simulator
) -> None:
    caller = caller_of(account)
    made = await make(flow, caller, wait_s=0)
    for _ in range(3):
        await Eager(flow, caller).hand_out(made.id)
    assert not only_video(sim).deleted


async def test_only_a_completed_answer_counts(flow: Flow) -> None:
    state = VideoState(id="x", model="m", created_at=1, conversation_id="", status="in_progress")
    assert after_sending(state, flow.call_of(())) is None
    assert failure_of(state) is None


async def test_what_the_upstream_has_lost_can_be_deleted(
    flow: Flow, account: SimulatedAccount, sim: Simulator
) -> None:
    caller = caller_of(account)
    made = await make(flow, caller, wait_s=0)
    sim.fail("v1/chat/{chat_id}", status=200, body={"status": 404, "message": "chat not found"})
    await remove_video(flow.gateway, made.id, flow.calling(caller))
    with pytest.raises(NotFound):
        await look_at_video(flow.gateway, made.id, flow.calling(caller))


async def test_a_deletion_that_did_not_arrive_is_told(
    flow: Flow, account: SimulatedAccount, sim: Simulator
) -> None:
    caller = caller_of(account)
    made = await make(flow, caller, wait_s=0)
    sim.fail("v1/chat/{chat_id}", disconnect=True)
    with pytest.raises(UpstreamError):
        await remove_video(flow.gateway, made.id, flow.calling(caller))
    await remove_video(flow.gateway, made.id, flow.calling(caller))
    assert only_video(sim).deleted


async def test_a_sound_that_never_comes_ends_with_the_silent_videos_address(
    flow: Flow, account: SimulatedAccount, sim: Simulator
) -> None:
    caller = caller_of(account)
    sim.fail("composite_video", status=200, body={"status": 0, "result": {}}, times=3)
    made = await make(flow, caller, audio=AUDIO)
    assert (made.status, made.error_code) == ("failed", "sound_not_added")
    assert f"/testpath/{only_video(sim).id}.mp4" in made.error_message
    assert failure_of(made) is not None
    assert only_video(sim).sounds == []


# Repetitions


def test_how_a_client_says_that_it_repeats() -> None:
    assert attempt_of({}) == attempt_of({"x-stainless-retry-count": "0"}) == Attempt()
    assert attempt_of({"x-stainless-retry-count": "2"}).is_repeated
    assert attempt_of({"idempotency-key": "k"}) == Attempt(idempotency_key="k")


async def test_a_repetition_waits_for_the_first_one(
    flow: Flow, account: SimulatedAccount, sim: Simulator
) -> None:
    sim.fail("video-api/v1/chat", delay_s=0.3)
    request = VideoRequest(prompt="[scene:video] a cat", model="cogvideox", wait_s=0)
    caller = caller_of(account)
    first = asyncio.ensure_future(make_video(flow.gateway, request, flow.calling(caller)))
    await eventually(lambda: sim.calls_to("video-api/v1/chat"))
    second = await make_video(flow.gateway, request, flow.calling(caller), attempt=Attempt(is_repeated=True))
    assert (await first).id == second.id
    assert len(sim.videos) == 1


async def test_a_repetition_of_what_never_ends_is_refused_in_the_end(
    flow: Flow, account: SimulatedAccount, sim: Simulator
) -> None:
    sim.fail("video-api/v1/chat", delay_s=0.5)
    request = VideoRequest(prompt="[scene:video] a cat", model="cogvideox", wait_s=0)
    caller = caller_of(account)
    first = asyncio.ensure_future(make_video(flow.gateway, request, flow.calling(caller)))
    await eventually(lambda: sim.calls_to("video-api/v1/chat"))
    with pytest.raises(GatewayError, match="not ordered again"):
        await make_video(
            flow.gateway,
            request,
            flow.calling(caller),
            attempt=Attempt(is_repeated=True),
            pace=Pace(repeated_wait_s=0.05),
        )
    await first
    assert len(sim.videos) == 1


async def test_a_repetition_of_what_was_never_heard_of_orders(
    flow: Flow, account: SimulatedAccount, sim: Simulator
) -> None:
    request = VideoRequest(prompt="[scene:video] a cat", model="cogvideox", wait_s=0)
    await make_video(
        flow.gateway, request, flow.calling(caller_of(account)), attempt=Attempt(is_repeated=True)
    )
    assert len(sim.videos) == 1


async def test_another_callers_same_wish_is_another_video(
    flow: Flow, upstream: Upstream, sim: Simulator
) -> None:
    for account in (upstream.add_account(), upstream.add_account()):
        request = VideoRequest(prompt="[scene:video] a cat", model="cogvideox", wait_s=0)
        attempt = Attempt(idempotency_key="the same")
        await make_video(flow.gateway, request, flow.calling(caller_of(account)), attempt=attempt)
    assert len(sim.videos) == 2


@pytest.mark.parametrize("number", [40102, 40014, 10061, 10099])
async def test_a_breakdown_that_calls_itself_a_refusal_repeats_no_order(
    flow: Flow, account: SimulatedAccount, upstream: Upstream, number: int
) -> None:
    body = {"status": number, "message": "请求过于频繁"}
    upstream.sim.fail("video-api/v1/chat", status=502, body=body, times=9)
    with pytest.raises(UpstreamError, match="not known whether") as caught:
        await make(flow, caller_of(account, upstream.add_account()))
    assert (caught.value.number, caught.value.http_status) == (number, 502)
    assert upstream.count("video-api/v1/chat") == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, {"status": 500, "message": "internal server error"}),
        (200, {"status": 504, "message": "gateway timeout"}),
        (200, {"status": 10025, "message": "internal server error"}),
    ],
)
async def test_an_order_in_which_the_upstream_broke_down_is_not_repeated(
    flow: Flow, account: SimulatedAccount, sim: Simulator, status: int, body: Any
) -> None:
    sim.fail("video-api/v1/chat", status=status, body=body)
    request = VideoRequest(prompt="[scene:video] a cat", model="cogvideox", wait_s=0)
    attempt, caller = Attempt(idempotency_key="k"), caller_of(account)
    for _ in range(2):
        with pytest.raises(UpstreamError, match="not known whether"):
            await make_video(flow.gateway, request, flow.calling(caller), attempt=attempt)
    assert len(sim.calls_to("video-api/v1/chat")) == 1


async def test_a_token_that_cannot_be_fetched_is_no_lost_order(
    flow: Flow, account: SimulatedAccount, sim: Simulator
) -> None:
    sim.fail("user/refresh", disconnect=True, times=9)
    request = VideoRequest(prompt="[scene:video] a cat", model="cogvideox", wait_s=0)
    attempt, caller = Attempt(idempotency_key="k"), caller_of(account)
    with pytest.raises(UpstreamError) as caught:
        await make_video(flow.gateway, request, flow.calling(caller), attempt=attempt)
    assert "not known whether" not in caught.value.message
    sim.faults.clear()
    assert (await make_video(flow.gateway, request, flow.calling(caller), attempt=attempt)).status == "queued"


async def test_two_requests_of_one_key_at_once_are_one_video(
    flow: Flow, account: SimulatedAccount, sim: Simulator
) -> None:
    request = VideoRequest(prompt="[scene:video] a cat", model="cogvideox", wait_s=0)
    attempt = Attempt(idempotency_key="k")
    caller = caller_of(account)
    both = (make_video(flow.gateway, request, flow.calling(caller), attempt=attempt) for _ in range(2))
    first, second = await asyncio.gather(*both)
    assert first.id == second.id
    assert len(sim.videos) == 1


async def test_a_second_wish_that_is_refused_does_not_hide_the_first(
    flow: Flow, account: SimulatedAccount, sim: Simulator
) -> None:
    request = VideoRequest(prompt="[scene:video] a cat", model="cogvideox", wait_s=0)
    caller = caller_of(account)
    first = await make_video(flow.gateway, request, flow.calling(caller))
    sim.fail("video-api/v1/chat", status=200, body={"status": 10099, "message": "次数已用完"})
    with pytest.raises(UpstreamRejected):
        await make_video(flow.gateway, request, flow.calling(caller))
    again = await make_video(flow.gateway, request, flow.calling(caller), attempt=Attempt(is_repeated=True))
    assert again.id == first.id
    assert len(sim.videos) == 1


# Accounts


async def test_no_account_that_can_be_used_is_told_as_such(
    flow: Flow, upstream: Upstream, sim: Simulator
) -> None:
    guest = upstream.add_account(guest=True)
    with pytest.raises(NoAccountAvailable):
        await make(flow, caller_of(guest, key="sk"))
    with pytest.raises(NoAccountAvailable):  # it is remembered, and not even asked again
        await make(flow, caller_of(guest, key="sk"))


async def test_a_busy_account_leaves_the_order_to_another(
    flow: Flow, upstream: Upstream, sim: Simulator
) -> None:
    first, second = upstream.add_account(), upstream.add_account()
    busy = {"status": 10061, "message": "请等待其他对话生成完毕"}
    sim.fail("video-api/v1/chat", status=429, body=busy)
    made = await make(flow, caller_of(first, second), wait_s=0)
    assert made.conversation_id.partition("-")[2] in (first.label, second.label)
    assert len(sim.videos) == 1


# The host's time


async def test_what_takes_too_long_before_the_order_leaves_it_out(
    flow: Flow, account: SimulatedAccount, sim: Simulator
) -> None:
    sim.fail("static/upload", delay_s=2.0)
    picture = BytesIO()
    Image.new("RGB", (30, 20)).save(picture, "PNG")
    picture.seek(0)
    request = VideoRequest(prompt="[scene:video] a cat", model="cogvideox", wait_s=0)
    caller = caller_of(account)
    with pytest.raises(UpstreamTimeout, match="No video was ordered"):
        await make_video(flow.gateway, request, flow.calling(caller, left_s=1.0), frame=picture)
    assert not sim.calls_to("video-api/v1/chat")
    assert flow.leases() == set()


async def test_a_first_frame_that_takes_too_long_leaves_the_order_out(
    flow: Flow, account: SimulatedAccount, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: Any) -> None:
        await asyncio.sleep(9)

    monkeypatch.setattr(video_orders.Order, "_first_frame", never)
    request = VideoRequest(prompt="[scene:video] a cat", model="cogvideox", wait_s=0)
    call = flow.calling(caller_of(account), left_s=0.3)
    with pytest.raises(UpstreamTimeout, match="No video was ordered"):
        await make_video(flow.gateway, request, call)


# The server's end


async def cut_when(making: asyncio.Future[VideoState], is_time: Any) -> VideoState:
    await eventually(is_time)
    cut_short()
    return await making


def cut(flow: Flow, caller: Caller, **fields: Any) -> asyncio.Future[VideoState]:
    """Make a video as an endpoint does, in a request that may be cut short."""

    async def make_it() -> VideoState:
        with under_way(lambda: False):
            request = VideoRequest(**{"prompt": "[scene:video queue=9999]", "model": "cogvideox"} | fields)
            pace = Pace(poll_every_s=0.01)
            return await make_video(
                flow.gateway, request, flow.calling(caller, ending=told_as_error), pace=pace
            )

    return asyncio.ensure_future(make_it())


async def test_who_waits_when_the_server_ends_is_told_the_id(
    flow: Flow, account: SimulatedAccount, sim: Simulator
) -> None:
    caller = caller_of(account)
    made = await cut_when(cut(flow, caller), lambda: sim.videos and only_video(sim).polls > 1)
    assert made.status == "queued"
    assert (
        Videos(flow.gateway, flow.calling(caller), accounts_of(caller)).find(made.id)[0].chat_id
        == only_video(sim).id
    )


async def test_who_orders_when_the_server_ends_is_told_the_id(
    flow: Flow, account: SimulatedAccount, sim: Simulator
) -> None:
    sim.fail("video-api/v1/chat", delay_s=0.3)
    caller = caller_of(account)
    made = await cut_when(cut(flow, caller), lambda: sim.calls_to("video-api/v1/chat"))
    assert (
        Videos(flow.gateway, flow.calling(caller), accounts_of(caller)).find(made.id)[0].chat_id
        == only_video(sim).id
    )


async def test_who_has_ordered_nothing_when_the_server_ends_is_told_so(
    flow: Flow, account: SimulatedAccount, sim: Simulator
) -> None:
    sim.fail("user/refresh", delay_s=0.3)
    with pytest.raises(ShuttingDown):
        await cut_when(cut(flow, caller_of(account)), lambda: sim.calls_to("user/refresh"))
    assert sim.videos == {}


# Several instances


async def test_a_sound_is_added_by_one_instance(
    flow: Flow, account: SimulatedAccount, sim: Simulator, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.configure(store=SqliteSettings(f"{tmp_path}/state.db"))
    caller = caller_of(account)
    made = await make(flow, caller, audio=AUDIO, wait_s=0)
    sim.fail("composite_video", delay_s=0.3)
    monkeypatch.setattr(Videos, "_lock", lambda *_: asyncio.Lock())  # as if they were two
    first = asyncio.ensure_future(Eager(flow, caller).look(made.id))
    await eventually(lambda: sim.calls_to("composite_video"))
    second = await Eager(flow, caller).look(made.id)
    assert (second.status, second.progress, second.completed_at) == ("in_progress", 99, None)
    assert (await first).status == "completed"
    assert await Eager(flow, caller).look(made.id) == await first
    assert len(only_video(sim).sounds) == 1


async def test_a_sound_that_is_being_added_is_remembered_though_nobody_waits(
    flow: Flow, account: SimulatedAccount, sim: Simulator
) -> None:
    caller = caller_of(account)
    made = await make(flow, caller, audio=AUDIO, wait_s=0)
    sim.fail("composite_video", delay_s=0.3)
    first = asyncio.ensure_future(Eager(flow, caller).look(made.id))
    await eventually(lambda: sim.calls_to("composite_video"))
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await Eager(flow, caller).look(made.id)).status == "completed"
    assert len(only_video(sim).sounds) == 1


async def test_a_poll_that_says_nothing_is_not_remembered(
    flow: Flow, account: SimulatedAccount, sim: Simulator
) -> None:
    caller = caller_of(account)
    made = await make(flow, caller, wait_s=0)
    sim.fail("status/{chat_id}", status=200, body={"status": 0, "result": None})
    with pytest.raises(UpstreamProtocolError):
        await Eager(flow, caller).look(made.id)
    assert (await Eager(flow, caller).look(made.id)).status == "completed"
