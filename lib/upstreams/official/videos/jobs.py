"""The caller's videos at the official API: ordered once, asked for as often as clients like.

The API keeps a video for good and has no call to delete it (official documents, 2026-09).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from random import uniform
from time import time
from typing import IO, Literal

import msgspec

from lib.chat.media import Attempt, VideoRequest, VideoState
from lib.errors import (
    AccountRefused,
    GatewayError,
    InvalidRequest,
    NotFound,
    ShuttingDown,
)
from lib.receiving import Answer
from lib.store.seal import Place
from lib.store.shared import SharedState
from lib.tasks import Locks
from lib.upstreams.interface import Call
from lib.upstreams.official.asking import decode
from lib.upstreams.official.gateway import OfficialGateway
from lib.upstreams.official.videos.ids import VideoJob, seal, unseal
from lib.upstreams.official.videos.orders import Order
from lib.upstreams.official.wire.keys import Key
from lib.upstreams.official.wire.ring import Terms
from lib.upstreams.video_waits import POLL_EVERY_S, REPEATED_WAIT_S, WAIT_JITTER, wait_end

GONE_TTL_S = 7 * 86400.0
"""A video that its caller deleted is a 404 for so long, as long as the store lives."""
MAX_RECENT = 256

log = logging.getLogger("glm_gateway")


class _Place(msgspec.Struct):
    url: str = ""
    cover_image_url: str = ""


class Result(msgspec.Struct):
    task_status: Literal["PROCESSING", "SUCCESS", "FAIL"]
    video_result: list[_Place] = []


_decoder = msgspec.json.Decoder(Result)


class _Recent(msgspec.Struct, frozen=True):
    asked_at: float
    state: VideoState


class Videos:
    """The videos of all callers, with the answers of the last seconds."""

    def __init__(
        self,
        gateway: OfficialGateway,
        memory: Callable[[], SharedState],
        *,
        poll_every_s: float = POLL_EVERY_S,
        repeated_wait_s: float = REPEATED_WAIT_S,
        max_recent: int = MAX_RECENT,
        now: Callable[[], float] = time,
    ) -> None:
        self._gateway = gateway
        self._memory = memory
        self._poll_every_s = poll_every_s
        self._repeated_wait_s = repeated_wait_s
        self._max_recent = max_recent
        self._now = now
        self._locks = Locks()
        self._recent: dict[str, _Recent] = {}

    async def make(
        self, request: VideoRequest, call: Call, *, frame: IO[bytes] | None, attempt: Attempt
    ) -> VideoState:
        """Order a video, and wait for it as long as the request allows.

        Once it is ordered nothing raises any more, nor does the end of the server: its id must reach the
        caller.
        """
        order = Order(self._gateway, self._memory(), request, call, frame)
        wait_s = request.wait_s
        try:
            with call.ending():
                job, key = await order.place(attempt, patience_s=self._repeated_wait_s)
        except ShuttingDown:
            if order.placed is None:
                raise
            (job, key), wait_s = order.placed, 0.0
        return await self._wait(job, key, call, until=wait_end(wait_s, call))

    async def look(self, video_id: str, call: Call) -> VideoState:
        """Raise NotFound for an id that this caller never got, or has deleted."""
        job, key = self._found(video_id, call)
        if await self._memory().recall(_gone(job, key)):
            raise NotFound("This video was deleted.", param="video_id")
        return await self._look(job, key, call)

    async def remove(self, video_id: str, call: Call) -> None:
        """Forget a video. The API itself keeps it."""
        job, key = self._found(video_id, call)
        await self._memory().keep(_gone(job, key), "1", ttl_s=GONE_TTL_S)

    def knows(self, video_id: str, call: Call) -> bool:
        return unseal(video_id, call.caller) is not None

    def _found(self, video_id: str, call: Call) -> tuple[VideoJob, Key]:
        found = unseal(video_id, call.caller)
        if found is None:
            raise NotFound("You have no such video.", param="video_id")
        return found

    async def _wait(self, job: VideoJob, key: Key, call: Call, *, until: float) -> VideoState:
        """Look again and again. A look that fails changes nothing about the video."""
        clock = asyncio.get_running_loop().time
        state = _state(job, key, call)
        while (left_s := until - clock()) > 0 and not state.is_over:
            try:
                with call.ending():
                    await asyncio.sleep(min(left_s, self._poll_every_s * uniform(*WAIT_JITTER)))
                    state = await self._look(job, key, call)
            except ShuttingDown:
                break
            except GatewayError as error:
                log.warning("video not polled", extra={"error": error.summary, "account": key.label})
                if isinstance(error, AccountRefused):
                    break
        return state

    async def _look(self, job: VideoJob, key: Key, call: Call) -> VideoState:
        """Ask the API, unless this process has just done so, or knows the end."""
        async with self._locks.of(job.task_id):
            recent = self._recent.get(job.task_id)
            if recent is None or not self._is_fresh(recent):
                recent = _Recent(self._now(), await self._ask(job, key, call))
                self._remember(job.task_id, recent)
        # Another key of API_KEYS may have asked: the id is sealed for each.
        return msgspec.structs.replace(recent.state, id=seal(job, call.caller, key))

    def _is_fresh(self, recent: _Recent) -> bool:
        return recent.state.is_over or self._now() - recent.asked_at < self._poll_every_s

    def _remember(self, task_id: str, recent: _Recent) -> None:
        self._recent.pop(task_id, None)
        if len(self._recent) >= self._max_recent:
            del self._recent[next(iter(self._recent))]
        self._recent[task_id] = recent

    async def _ask(self, job: VideoJob, key: Key, call: Call) -> VideoState:
        async def attempt(key: Key) -> Answer:
            return await self._gateway.api.get(key, f"async-result/{job.task_id}")

        terms = Terms(model="async-result", trace=call.trace)
        try:
            answer = await self._gateway.ring.ask((key,), attempt, terms)
        except InvalidRequest as error:  # The order is the API's own; the caller's request has no mistake.
            return _state(job, key, call, failure=error.message)
        return read_state(decode(answer, _decoder), _state(job, key, call), now=int(self._now()))


def read_state(result: Result, ordered: VideoState, *, now: int) -> VideoState:
    """Fill in what the API says about the video."""
    match result.task_status:
        case "PROCESSING":
            return msgspec.structs.replace(ordered, status="in_progress")
        case "FAIL":
            return _failed(ordered, "the official API did not say why")
    made = result.video_result[0] if result.video_result else _Place()
    if not _is_address(made.url):
        return _failed(ordered, "the official API finished the video, and gave no address of it")
    return msgspec.structs.replace(
        ordered,
        status="completed",
        progress=100,
        completed_at=now,
        video_url=made.url,
        cover_url=made.cover_image_url if _is_address(made.cover_image_url) else "",
    )


def _state(job: VideoJob, key: Key, call: Call, *, failure: str = "") -> VideoState:
    state = VideoState(
        id=seal(job, call.caller, key),
        model=job.model,
        created_at=job.created_at,
        conversation_id="",
        duration=f"{job.seconds}s" if job.seconds else "",
        resolution=job.size,
    )
    return _failed(state, failure) if failure else state


def _failed(state: VideoState, words: str) -> VideoState:
    return msgspec.structs.replace(
        state, status="failed", error_code="upstream_error", error_message=words[:200]
    )


def _is_address(url: str) -> bool:
    return url.startswith(("https://", "http://"))


def _gone(job: VideoJob, key: Key) -> Place:
    return Place(f"official-video-gone:{job.task_id}", key.text)
