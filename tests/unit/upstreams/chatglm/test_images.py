"""Rounds of the drawing agent: endings that a client over HTTP cannot bring about, or not at will."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lib.chat.caller import Caller
from lib.chat.events import ImageMade
from lib.chat.media import ImageRequest
from lib.errors import GatewayError, UpstreamRejected, UpstreamTimeout
from lib.upstreams.chatglm.images import open_files, open_images
from lib.upstreams.chatglm.wire.drawing import Drawing
from simulator.steps import Abort, Cue, Pause, Script, text_item
from tests.conftest import SimulatedAccount, Upstream
from tests.unit.conftest import Flow


def image_event(script: Script, number: int) -> Any:
    url = f"https://sfile.chatglm.cn/testpath/{script.cue.history_id}_{number}_0.jpg"
    return script.event(script.part("i", {"type": "image", "image": [{"image_url": url}]}), increase=None)


def caller_of(account: SimulatedAccount) -> Caller:
    return Caller((account.token,), is_owner=False)


async def make(
    flow: Flow, account: SimulatedAccount, *, left_s: float | None = None, **fields: Any
) -> list[str]:
    request = ImageRequest(**{"prompt": "a cat"} | fields)
    call = flow.calling(caller_of(account), left_s=left_s)
    async with open_images(flow.gateway, request, call) as made:
        return [image.url.rsplit("_", 2)[1] for image in made.images]


async def test_a_round_that_the_deadline_cuts_is_the_last(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    def play(cue: Cue) -> Any:
        script = Script(cue)
        yield script.opening()
        yield image_event(script, 2)
        yield image_event(script, 1)
        yield Pause(30)

    upstream.sim.play(play)
    assert await make(flow, account, left_s=1.0, n=4) == ["1", "2"]
    assert len(upstream.chats()) == 1


async def test_a_round_that_breaks_leaves_what_it_had_made(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    def play(cue: Cue) -> Any:
        script = Script(cue)
        yield script.opening()
        yield image_event(script, 0)
        yield Abort()

    upstream.sim.play(play)
    assert await make(flow, account, n=4) == ["0"]
    assert len(upstream.chats()) == 1


async def test_a_round_that_makes_the_same_image_again_is_the_last(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    def play(cue: Cue) -> Any:
        script = Script(cue)
        yield script.opening()
        url = "https://sfile.chatglm.cn/testpath/same_0_0.jpg"
        yield script.event(script.part("i", {"type": "image", "image": [{"image_url": url}]}), increase=None)
        yield script.finish()

    upstream.sim.play(play, times=5)
    assert await make(flow, account, n=4) == ["0"]
    assert len(upstream.chats()) == 2


async def test_words_before_a_break_are_no_image(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    upstream.sim.play("error_10025_late")
    with pytest.raises(UpstreamRejected):
        await make(flow, account)


async def test_a_rewritten_refusal_is_told_as_it_stands(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    upstream.sim.play("rewritten")
    with pytest.raises(GatewayError, match="The answer is 42, to be exact"):
        await make(flow, account)


async def test_a_drawing_may_be_silent_as_long_as_an_answer_in_its_middle(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    def play(cue: Cue) -> Any:
        script = Script(cue)
        yield script.event(script.part("i", text_item("")), increase=None)
        yield Pause(0.4)
        yield image_event(script, 0)
        yield script.finish()

    flow.configure(first_content_timeout_s=0.1, idle_timeout_s=5.0)
    upstream.sim.play(play)
    assert await make(flow, account) == ["0"]
    flow.configure(first_content_timeout_s=0.1, idle_timeout_s=0.2)
    upstream.sim.play(play)
    with pytest.raises(UpstreamTimeout):
        await make(flow, upstream.add_account())


async def test_styles_are_fetched_once_an_hour(
    flow: Flow, account: SimulatedAccount, upstream: Upstream
) -> None:
    for _ in range(3):
        await make(flow, account, style="水彩")
    assert upstream.count("drawing/config") == 1
    styles = [body["meta_data"]["cogview"]["style"] for body in upstream.chats()]
    assert styles == ["watercolor"] * 3
    assert Drawing().style == "none"


class SlowFetcher:
    """Fetches an address after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.under_way = self.most = 0

    @asynccontextmanager
    async def fetch(self, url: str, *, max_bytes: int) -> AsyncIterator[str]:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(self.seconds)
        self.under_way -= 1
        yield url

    async def aclose(self) -> None: ...


IMAGES = tuple(ImageMade(f"https://a/{number}.png") for number in range(5))


async def test_a_few_files_are_fetched_at_once_and_keep_their_order(flow: Flow) -> None:
    slow: Any = SlowFetcher(0.01)
    flow.gateway._fetcher = slow
    async with open_files(flow.gateway, IMAGES) as files:
        got: list[Any] = list(files)
        assert got == [image.url for image in IMAGES]
    assert slow.most == 3


async def test_files_that_do_not_come_in_the_hosts_time_are_told(flow: Flow) -> None:
    slow: Any = SlowFetcher(9.0)
    flow.gateway._fetcher = slow
    with pytest.raises(UpstreamTimeout, match="fetched in time"):
        async with open_files(flow.gateway, IMAGES, deadline_at=asyncio.get_running_loop().time() + 0.1):
            pass
