"""Videos of the official API: the seal of their ids, waiting, repeated orders, the server's end."""

from __future__ import annotations

import asyncio
from time import time
from typing import Any

import msgspec
import pytest

from lib.chat.media import Attempt, VideoRequest, VideoState
from lib.errors import NotFound, ShuttingDown, UpstreamError
from lib.store.memory import MemoryStore
from lib.store.shared import SharedState
from lib.upstreams.official.videos.ids import VideoJob, seal, unseal
from lib.upstreams.official.videos.jobs import Result, Videos, read_state
from lib.upstreams.official.videos.orders import order_body
from lib.upstreams.official.wire.keys import Key
from lib.web.ending import cut_short, told_as_error, under_way
from simulator.official.errors import error_body
from tests.support.waiting import eventually
from tests.unit.upstreams.official.media.conftest import Stand

JOB = VideoJob("task", "0badcafe", 1_795_299_104, "cogvideox-3", 5, "1280x720")
ONCE = Attempt()


def videos_of(stand: Stand, **more: Any) -> Videos:
    """Give videos that are asked for as often as anybody looks."""
    options = {"poll_every_s": 0.0, "repeated_wait_s": 0.0} | more
    return Videos(stand.gateway, lambda: stand.flow.gateway.memory, **options)


def wish(prompt: str = "[scene:order polls=1] a cat", **fields: Any) -> VideoRequest:
    return VideoRequest(**{"prompt": prompt, "model": "cogvideox-3"} | fields)


def polls(stand: Stand) -> int:
    return sum(call.path.startswith("async-result/") for call in stand.official.calls)


# Ids


async def test_a_seal_opens_for_its_caller_alone(stand: Stand) -> None:
    other = Key(stand.official.add_key())
    mine, key = stand.caller(), stand.key
    job = msgspec.structs.replace(JOB, key_label=key.label)
    video_id = seal(job, mine, key)
    assert unseal(video_id, mine) == (job, key)
    assert unseal(video_id, stand.caller(other.text, key.text)) == (job, key)
    assert unseal(video_id, stand.caller(key="sk-2")) is None
    assert unseal(video_id, stand.caller(other.text)) is None
    same_id = key.text[:33] + "x" * 16
    assert Key(same_id).label == key.label
    assert unseal(video_id, stand.caller(same_id)) is None


@pytest.mark.parametrize(
    "video_id", ["", "video_", "video_%", "video_AAAA", "other_AAAA", "video_" + "A" * 640, "video_é"]
)
async def test_any_other_text_is_no_id(stand: Stand, video_id: str) -> None:
    assert unseal(video_id, stand.caller()) is None


async def test_no_change_of_any_character_opens_an_id(stand: Stand) -> None:
    video_id = seal(msgspec.structs.replace(JOB, key_label=stand.key.label), stand.caller(), stand.key)
    for position in range(len("video_"), len(video_id) - 1):
        changed = "A" if video_id[position] != "A" else "B"
        assert unseal(video_id[:position] + changed + video_id[position + 1 :], stand.caller()) is None


# Waiting


async def test_a_video_is_waited_for(stand: Stand) -> None:
    made = await videos_of(stand).make(wish(), stand.call(), frame=None, attempt=ONCE)
    assert made.status == "completed"
    assert polls(stand) == 2


async def test_a_look_that_fails_changes_nothing(stand: Stand) -> None:
    videos = videos_of(stand)
    order = wish("[scene:order polls=0] a cat", wait_s=0)
    made = await videos.make(order, stand.call(), frame=None, attempt=ONCE)
    [task] = stand.official.orders
    stand.official.fail(task, status=429, body=error_body("1302"), times=3)
    job, key = unseal(made.id, stand.caller()) or pytest.fail("no id")
    until = asyncio.get_running_loop().time() + 5.0
    state = await videos._wait(job, key, stand.call(), until=until)
    assert state.status == "completed"
    assert polls(stand) == 4


async def test_a_key_that_is_refused_ends_the_wait(stand: Stand) -> None:
    videos = videos_of(stand)
    made = await videos.make(wish(wait_s=0), stand.call(), frame=None, attempt=ONCE)
    stand.official.keys[stand.key.text].refused = "1003"
    job, key = unseal(made.id, stand.caller()) or pytest.fail("no id")
    until = asyncio.get_running_loop().time() + 60.0
    state = await videos._wait(job, key, stand.call(), until=until)
    assert state.status == "queued"


async def test_the_process_remembers_a_few_videos_alone(stand: Stand) -> None:
    videos = videos_of(stand, max_recent=2)
    order = wish("[scene:order polls=0] a cat", wait_s=0)
    made = [await videos.make(order, stand.call(), frame=None, attempt=ONCE) for _ in range(3)]
    for video in made:
        assert (await videos.look(video.id, stand.call())).status == "completed"
    for video, asked in ((made[2], 3), (made[0], 4)):
        await videos.look(video.id, stand.call())
        assert polls(stand) == asked


async def test_the_id_is_sealed_for_each_caller_that_asks(stand: Stand) -> None:
    videos = videos_of(stand, poll_every_s=60.0)
    made = await videos.make(wish(wait_s=0), stand.call(), frame=None, attempt=ONCE)
    seen = await videos.look(made.id, stand.call())
    assert seen.id == made.id
    with pytest.raises(NotFound):
        await videos.look(made.id, stand.call(stand.caller(key="sk-2")))


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (Result("PROCESSING"), "in_progress"),
        (Result("FAIL"), "failed"),
        (Result("SUCCESS"), "failed"),
    ],
)
def test_a_state_without_an_address_is_not_complete(result: Result, status: str) -> None:
    ordered = VideoState(id="video_x", model="m", created_at=0, conversation_id="")
    assert read_state(result, ordered, now=1).status == status


# Repeated orders


async def test_an_order_that_was_lost_is_not_repeated_under_its_name(stand: Stand) -> None:
    stand.official.fail("videos/generations", disconnect=True)
    attempt = Attempt(idempotency_key="one")
    for _ in range(2):
        with pytest.raises(UpstreamError, match="not ordered again"):
            await videos_of(stand).make(wish(wait_s=0), stand.call(), frame=None, attempt=attempt)
    assert len(stand.official.calls_to("videos/generations")) == 1


async def test_a_refused_order_may_be_repeated_under_its_name(stand: Stand) -> None:
    stand.official.fail("videos/generations", status=400, body=error_body("1214"))
    attempt = Attempt(idempotency_key="one")
    with pytest.raises(Exception, match="1214"):
        await videos_of(stand).make(wish(wait_s=0), stand.call(), frame=None, attempt=attempt)
    made = await videos_of(stand).make(wish(wait_s=0), stand.call(), frame=None, attempt=attempt)
    assert made.status == "queued"


async def test_an_order_under_way_is_waited_for(stand: Stand) -> None:
    stand.official.fail("videos/generations", delay_s=0.3)
    videos, attempt = videos_of(stand, repeated_wait_s=5.0), Attempt(is_repeated=True)
    both = [
        asyncio.ensure_future(videos.make(wish(wait_s=0), stand.call(), frame=None, attempt=attempt))
        for _ in range(2)
    ]
    first, second = await asyncio.gather(*both)
    assert first.id == second.id


def test_a_frame_alone_needs_no_prompt() -> None:
    request = wish("", image_url="https://a/b.png")
    assert order_body(request, "cogvideox-3", "https://a/b.png") == {
        "model": "cogvideox-3",
        "image_url": "https://a/b.png",
    }


# The server's end


async def cut_when(making: asyncio.Future[VideoState], is_time: Any) -> VideoState:
    await eventually(is_time)
    cut_short()
    return await making


def cut(stand: Stand, videos: Videos) -> asyncio.Future[VideoState]:
    """Make a video as an endpoint does, in a request that may be cut short."""

    async def make_it() -> VideoState:
        with under_way(lambda: False):
            call = stand.call(ending=told_as_error)
            return await videos.make(wish("[scene:order polls=9999] a cat"), call, frame=None, attempt=ONCE)

    return asyncio.ensure_future(make_it())


async def test_who_waits_when_the_server_ends_is_told_the_id(stand: Stand) -> None:
    videos = videos_of(stand, poll_every_s=0.01)
    made = await cut_when(cut(stand, videos), lambda: polls(stand) > 1)
    assert made.status == "in_progress"
    assert videos.knows(made.id, stand.call())


async def test_who_orders_when_the_server_ends_is_told_the_id(stand: Stand) -> None:
    stand.official.fail("videos/generations", delay_s=0.3)
    videos = videos_of(stand)
    made = await cut_when(cut(stand, videos), lambda: stand.official.calls_to("videos/generations"))
    assert made.status == "queued"
    assert videos.knows(made.id, stand.call())


class HangingStore(MemoryStore):
    """A store that does not answer a question."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked = asyncio.Event()

    async def get(self, key: str) -> str | None:
        self.is_asked.set()
        return await asyncio.Future[str | None]()


async def test_who_has_ordered_nothing_when_the_server_ends_is_told_so(stand: Stand) -> None:
    store = HangingStore()
    memory = SharedState(store, now=time)
    videos = Videos(stand.gateway, lambda: memory, poll_every_s=0.0)
    with pytest.raises(ShuttingDown):
        await cut_when(cut(stand, videos), store.is_asked.is_set)
    assert stand.official.orders == {}
