"""A wrong clock, set by the upstream's: over a real socket, against signatures as strict as the real ones."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import IO, Any

import pytest

from lib.errors import GatewayError, UpstreamRejected, UpstreamTimeout
from lib.upstreams.chatglm.wire.client import ChatGLM, Session, UploadedFile
from lib.upstreams.chatglm.wire.clock import ASK_AGAIN_S, TRY_AGAIN_S, UpstreamClock, read_server_time
from lib.upstreams.chatglm.wire.models import Target
from lib.upstreams.chatglm.wire.uploads import Upload, upload_file
from lib.upstreams.chatglm.wire.videos import VideoOrder, begin_video
from tests.conftest import SimulatedAccount, Upstream
from tests.support.chatglm import config
from tests.support.log import logged

CUR_TS = "config/cur_ts"
SKEWS_S = (-86400.0, -600.0, 600.0, 86400.0 * 365)


class Clocks:
    """Ours: both may be turned."""

    def __init__(self, skew_s: float = 600.0) -> None:
        self.skew_s = skew_s
        self.later_s = 0.0

    def now(self) -> float:
        return time.time() + self.skew_s

    def monotonic(self) -> float:
        return time.monotonic() + self.later_s


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def account(upstream: Upstream) -> SimulatedAccount:
    return upstream.add_account(strict_rotation=False)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
async def chatglm(upstream: Upstream, clocks: Clocks) -> AsyncIterator[ChatGLM]:
    client = ChatGLM(config(upstream.base_url), now=clocks.now, monotonic=clocks.monotonic)
    yield client
    await client.aclose()
    assert {
        violation for violation in upstream.sim.violations if "signature is stale" not in violation
    } == set()
    upstream.sim.violations.clear()


@pytest.fixture
def session(upstream: Upstream, account: SimulatedAccount) -> Session:
    """Log the account in from elsewhere, where the clock is right."""
    known = upstream.sim.account(account.uid)
    access_token, _ = upstream.sim.book.rotate(known)
    return Session(access_token, known.device_id)


def refusals(upstream: Upstream) -> int:
    return len(upstream.sim.violations)


# One correction


class Bytes:
    is_in_memory = True

    def __init__(self, data: bytes) -> None:
        self.file: IO[bytes] = io.BytesIO(data)
        self.size = len(data)


async def refresh(chatglm: ChatGLM, session: Session, account: SimulatedAccount) -> None:
    await chatglm.refresh(account.token, session.device_id)


async def chat(chatglm: ChatGLM, session: Session, _: SimulatedAccount) -> None:
    stream = await chatglm.start_chat(session, "Hello!", Target(model="glm-5.3-flash"), "")
    while await stream.read():
        pass
    await stream.aclose()


async def upload(chatglm: ChatGLM, session: Session, _: SimulatedAccount) -> None:
    content = Bytes(b"word " * 100_000)
    what = Upload(content=content, name="a.txt", content_type="text/plain", is_image=False)
    assert (await upload_file(chatglm, session, what, None)).size == content.size


async def video(chatglm: ChatGLM, session: Session, _: SimulatedAccount) -> None:
    await begin_video(chatglm, session, VideoOrder(prompt="a cat"))


async def models(chatglm: ChatGLM, session: Session, _: SimulatedAccount) -> None:
    await chatglm.available_models(session)


Work = Callable[[ChatGLM, Session, SimulatedAccount], Awaitable[None]]
WORK: dict[Work, str] = {
    refresh: "user/refresh",
    chat: "assistant/stream",
    upload: "chat_upload",
    video: "video-api/v1/chat",
    models: "operation/detail",
}


@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
async def test_a_wrong_clock_costs_one_correction_and_one_repetition(
    chatglm: ChatGLM, session: Session, upstream: Upstream, account: SimulatedAccount, work: Work
) -> None:
    await work(chatglm, session, account)
    assert (upstream.count(CUR_TS), upstream.count(WORK[work]), refusals(upstream)) == (1, 2, 1)
    await work(chatglm, session, account)
    assert (upstream.count(CUR_TS), upstream.count(WORK[work]), refusals(upstream)) == (1, 3, 1)
    assert len(upstream.sim.videos) == (2 if work is video else 0)


@pytest.mark.parametrize("skew_s", SKEWS_S)
async def test_it_may_be_wrong_by_anything(
    chatglm: ChatGLM, session: Session, clocks: Clocks, upstream: Upstream, skew_s: float
) -> None:
    clocks.skew_s = skew_s
    with logged() as lines:
        await chatglm.user_info(session)
        await chatglm.user_info(session)
    assert upstream.count(CUR_TS) == 1
    (line,) = [line for line in lines if line["message"] == "clock corrected"]
    assert abs(line["seconds"] + skew_s) < 60


async def test_a_right_clock_asks_nobody(
    chatglm: ChatGLM, session: Session, clocks: Clocks, upstream: Upstream
) -> None:
    clocks.skew_s = 0.0
    await chatglm.user_info(session)
    assert upstream.count(CUR_TS) == 0


async def test_many_calls_at_once_ask_once(chatglm: ChatGLM, session: Session, upstream: Upstream) -> None:
    await asyncio.gather(*(chatglm.user_info(session) for _ in range(20)))
    assert upstream.count(CUR_TS) == 1


async def test_a_clock_that_is_mended_later_is_not_corrected_twice(
    chatglm: ChatGLM, session: Session, clocks: Clocks, upstream: Upstream
) -> None:
    await chatglm.user_info(session)
    clocks.skew_s = 0.0
    await chatglm.user_info(session)
    assert (upstream.count(CUR_TS), refusals(upstream)) == (1, 1)


async def test_a_host_that_stopped_our_monotonic_clock_is_noticed_at_once(
    chatglm: ChatGLM, session: Session, clocks: Clocks, upstream: Upstream
) -> None:
    await chatglm.user_info(session)
    clocks.skew_s += 900  # frozen for a quarter of an hour: only the time of day has gone on
    clocks.later_s -= 900
    await chatglm.user_info(session)
    assert upstream.count(CUR_TS) == 2


# Where it does not help


async def refused(chatglm: ChatGLM, session: Session) -> GatewayError:
    with pytest.raises(UpstreamRejected) as caught:
        await chatglm.user_info(session)
    assert caught.value.number == 40014
    return caught.value


def say_stale(upstream: Upstream, *, status: int = 400, times: int = 10) -> None:
    body = {"status": 40014, "message": "bad request(40014)"}
    upstream.sim.fail("user/info", status=status, body=body, times=times)


@pytest.mark.parametrize(("status", "calls", "asked"), [(400, 2, 1), (200, 2, 1), (500, 1, 0)])
async def test_a_refusal_that_stays_is_told_after_one_repetition(
    chatglm: ChatGLM,
    session: Session,
    clocks: Clocks,
    upstream: Upstream,
    *,
    status: int,
    calls: int,
    asked: int,
) -> None:
    clocks.skew_s = 0.0
    say_stale(upstream, status=status)
    error = await refused(chatglm, session)
    assert (upstream.count("user/info"), upstream.count(CUR_TS)) == (calls, asked)
    assert error.http_status == status


async def test_what_has_not_helped_is_not_tried_again_for_a_minute(
    chatglm: ChatGLM, session: Session, clocks: Clocks, upstream: Upstream
) -> None:
    clocks.skew_s = 0.0
    say_stale(upstream)
    await refused(chatglm, session)
    await refused(chatglm, session)
    assert (upstream.count("user/info"), upstream.count(CUR_TS)) == (3, 1)
    clocks.later_s = ASK_AGAIN_S + 1
    await refused(chatglm, session)
    assert (upstream.count("user/info"), upstream.count(CUR_TS)) == (5, 2)


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 200, "body": {"status": 0, "result": ["unexpected"]}},
        {"status": 200, "body": {"status": 0, "result": None}},
        {"status": 403, "body": "<html>", "content_type": "text/html"},
        {"disconnect": True},
    ],
)
async def test_where_the_time_cannot_be_had_the_refusal_stands_for_some_seconds(
    chatglm: ChatGLM, session: Session, clocks: Clocks, upstream: Upstream, *, fault: dict[str, Any]
) -> None:
    upstream.sim.fail(CUR_TS, **fault)
    with logged() as lines:
        await refused(chatglm, session)
        await refused(chatglm, session)
    assert (upstream.count("user/info"), upstream.count(CUR_TS)) == (2, 1)
    assert [line["message"] for line in lines] == ["clock not corrected"]
    clocks.later_s = TRY_AGAIN_S + 1
    await chatglm.user_info(session)
    assert upstream.count(CUR_TS) == 2


async def test_who_is_cancelled_while_it_asks_leaves_the_question_to_the_next() -> None:
    clock = UpstreamClock(now=time.time, monotonic=time.monotonic)
    asked = asyncio.Event()

    async def ask_in_vain() -> float:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def ask() -> float:
        return 1_790_732_180.0

    first = asyncio.ensure_future(clock.correct(0, ask_in_vain))
    await asked.wait()
    second = asyncio.ensure_future(clock.correct(0, ask))
    first.cancel()
    assert await second is True
    assert 1_790_732_180.0 <= clock.now() < 1_790_732_240.0


async def test_a_question_that_nobody_answers_leaves_time_for_the_refusal(
    upstream: Upstream, clocks: Clocks, session: Session
) -> None:
    upstream.sim.fail(CUR_TS, delay_s=30)
    chatglm = ChatGLM(config(upstream.base_url, idle_timeout_s=8), now=clocks.now)
    began_at = time.monotonic()
    try:
        await refused(chatglm, session)
        assert time.monotonic() - began_at < 7
    finally:
        await chatglm.aclose()
        upstream.sim.violations.clear()


# What the upstream says of its time


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (1790732179905, 1790732179.905),
        (1790732179, 1790732179.0),
        (1790732179.5, 1790732179.5),
        ("1790732179905", 1790732179.905),
        (" 1790732179 ", 1790732179.0),
        ({"cur_ts": 1790732179905}, 1790732179.905),
        ({"zone": "Asia/Shanghai", "offset": 28800, "ts": "1790732179"}, 1790732179.0),
        (None, None),
        (True, None),
        ([1790732179905], None),
        ({}, None),
        ({"data": {"ts": 1790732179905}}, None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        (0, None),
        (-1790732179905, None),
        (28800, None),
        (10**400, None),
        (1e300, None),
    ],
)
def test_the_time_is_found_in_whatever_is_a_time(result: Any, expected: float | None) -> None:
    assert read_server_time(result) == expected


# How long an upload may stand still


class Dripping(Bytes):
    """A file whose disk is slow: it has so many bytes, waits before each, and then until it is let go."""

    is_in_memory = False

    def __init__(self, size: int, *, pause_s: float, sticks: bool) -> None:
        super().__init__(b"x" * size)
        self.file.read = self._read  # type: ignore[method-assign]
        self.let_go = threading.Event()
        self._left = size
        self._pause_s = pause_s
        self._sticks = sticks

    def _read(self, _: int = -1) -> bytes:
        if not self._left:
            return b""
        self._left -= 1
        if not self._left and self._sticks:
            self.let_go.wait(30)
        self.let_go.wait(self._pause_s)
        return b"x"


@pytest.mark.parametrize("sticks", [False, True])
async def test_an_upload_may_take_long_and_may_not_stand_still(
    upstream: Upstream, session: Session, sticks: bool
) -> None:
    content = Dripping(10, pause_s=0.2, sticks=sticks)
    what = Upload(content=content, name="a.txt", content_type="text/plain", is_image=False)
    chatglm = ChatGLM(config(upstream.base_url, idle_timeout_s=1.5))
    try:
        if sticks:
            with pytest.raises(UpstreamTimeout):
                await upload_file(chatglm, session, what, None)
        else:
            assert (await upload_file(chatglm, session, what, None)).size == 10
    finally:
        content.let_go.set()
        await chatglm.aclose()


async def test_the_shorter_of_both_times_bounds_a_call(upstream: Upstream, session: Session) -> None:
    upstream.sim.fail("static/upload", delay_s=3)
    chatglm = ChatGLM(config(upstream.base_url, idle_timeout_s=0.2))
    frame = UploadedFile("frame.jpg", b"x", "image/jpeg")
    try:
        with pytest.raises(UpstreamTimeout, match=r"within 0\.2 s"):
            await chatglm.call("POST", "/video-api/v1/static/upload", session, file=frame, timeout_s=60)
    finally:
        await chatglm.aclose()
        upstream.sim.violations.clear()
