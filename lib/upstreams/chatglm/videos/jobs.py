"""Making videos: ordered once, asked for as often as callers like, cleaned up after their arrival."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from random import uniform
from time import time
from typing import IO, ParamSpec, TypeVar

import msgspec

from lib.chat.media import Attempt, VideoRequest, VideoState
from lib.errors import (
    AccountRefused,
    GatewayError,
    NoAccountAvailable,
    NotFound,
    ShuttingDown,
    UpstreamRejected,
)
from lib.store.records import Records
from lib.store.seal import Place
from lib.tasks import run_to_end
from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.chatglm.accounts.callers import for_caller
from lib.upstreams.chatglm.accounts.client import Operation
from lib.upstreams.chatglm.conversations import labelled
from lib.upstreams.chatglm.gateway import Gateway
from lib.upstreams.chatglm.reply import stop_time
from lib.upstreams.chatglm.videos.ids import VideoJob, seal, unseal
from lib.upstreams.chatglm.videos.orders import REPEATED_WAIT_S, Order
from lib.upstreams.chatglm.wire.videos import (
    VideoStatus,
    add_sound,
    delete_video,
    is_decision,
    video_status,
)
from lib.upstreams.interface import Call

POLL_EVERY_S = 2.0
"""The upstream is asked for one video once in this time, also if several clients ask us."""
WAIT_JITTER = (1.01, 1.3)
"""POLL_EVERY_S is multiplied by a number in between: requests that wait together drift apart."""
MAX_WAIT_S = 1800.0
"""A request waits this long if no host ends it. A video for a free account takes minutes."""
MAX_LAMBDA_WAIT_S = 240.0
"""API Gateway ends a request that is silent for five minutes; the id of the ordered video would be lost."""
RECORD_TTL_S = 86400.0
SOUND_TRIES = 3
SOUND_TTL_S = 180.0
"""One instance may add the sound for so long: its call, and the wait for a token."""
HANDED_OUT_ENOUGH = 2
"""After so many completed answers the upstream's record is no longer needed: one may have been lost."""

T = TypeVar("T")
P = ParamSpec("P")

log = logging.getLogger("glm_gateway")


class Pace(msgspec.Struct, frozen=True):
    """How fast things are done; tests have no time."""

    poll_every_s: float = POLL_EVERY_S
    repeated_wait_s: float = REPEATED_WAIT_S


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """The last known state of a job, for all requests of the next seconds, and once it is over."""

    status: VideoStatus
    asked_at: float = 0.0
    completed_at: int | None = None
    error_code: str = ""
    sound_failures: int = 0
    handed_out: int = 0
    is_deleted: bool = False
    """The upstream's record is gone."""
    is_gone: bool = False
    """The caller deleted it."""


RECORDS = Records(_Record)


async def make_video(
    gateway: Gateway,
    request: VideoRequest,
    call: Call,
    *,
    frame: IO[bytes] | None = None,
    attempt: Attempt | None = None,
    pace: Pace | None = None,
) -> VideoState:
    """Order a video, wait for it as long as the request allows, and return its state then.

    Once it is ordered nothing raises any more, nor does the end of the server: its id must reach the caller.
    """
    pace = pace or Pace()
    accounts = await gateway.accounts(call.caller, conversation_id=request.conversation_id)
    order = Order(gateway, request, call, accounts, frame)
    wait_s = request.wait_s
    try:
        with call.ending():
            job, account = await order.place(attempt or Attempt(), patience_s=pace.repeated_wait_s)
    except ShuttingDown:
        if order.placed is None:
            raise
        (job, account), wait_s = order.placed, 0.0
    jobs = Videos(gateway, call, accounts, poll_every_s=pace.poll_every_s)
    return await jobs.wait(job, account, until=_wait_until(wait_s, call))


async def look_at_video(gateway: Gateway, video_id: str, call: Call) -> VideoState:
    """Return the state of a video. Raise NotFound for an id that this caller never got."""
    jobs = await _videos(gateway, call, video_id)
    return await jobs.look(*jobs.find(video_id))


async def remove_video(gateway: Gateway, video_id: str, call: Call) -> None:
    jobs = await _videos(gateway, call, video_id)
    await jobs.remove(*jobs.find(video_id))


async def note_handed_out(gateway: Gateway, video_id: str, call: Call) -> None:
    """A completed answer was sent. After the second one the upstream's record is deleted."""
    jobs = await _videos(gateway, call, video_id)
    await run_to_end(jobs.count_hand_out(*jobs.find(video_id)))


async def _videos(gateway: Gateway, call: Call, video_id: str) -> Videos:
    accounts = await gateway.accounts(call.caller)
    if call.caller.is_owner and unseal(video_id, call.caller, accounts) is None:
        await gateway.roster.read()  # Its account may have been added a moment ago.
        accounts = gateway.roster.of(call.caller.refresh_tokens)
    return Videos(gateway, call, accounts)


def _wait_until(wait_s: float | None, call: Call) -> float:
    max_s = MAX_LAMBDA_WAIT_S if call.settings.on_lambda else MAX_WAIT_S
    wait_s = max_s if wait_s is None else min(wait_s, max_s)
    until = asyncio.get_running_loop().time() + wait_s
    return until if call.deadline_at is None else min(until, stop_time(call.deadline_at))


class Videos:
    """One caller's videos."""

    def __init__(
        self,
        gateway: Gateway,
        call: Call,
        accounts: tuple[Account, ...],
        *,
        poll_every_s: float = POLL_EVERY_S,
        now: Callable[[], float] = time,
    ) -> None:
        self._gateway = gateway
        self._of = call
        self._caller = call.caller
        self._accounts = accounts
        self._poll_every_s = poll_every_s
        self._now = now

    def find(self, video_id: str) -> tuple[VideoJob, Account]:
        found = unseal(video_id, self._caller, self._accounts)
        if found is None:
            raise _not_found(video_id)
        return found

    async def look(self, job: VideoJob, account: Account) -> VideoState:
        async with self._lock(job):
            record = await self._recall(job, account)
            if record is not None and record.is_gone:
                raise NotFound("This video was deleted.", param="video_id")
            if record is None or not self._is_fresh(record):
                record = await self._ask(job, account, record or _fresh_record())
        return self._state(job, account, record)

    async def wait(self, job: VideoJob, account: Account, *, until: float) -> VideoState:
        """Look again and again. A look that fails changes nothing about the video."""
        clock = asyncio.get_running_loop().time
        state = self._state(job, account, _fresh_record())
        while (left_s := until - clock()) > 0 and not state.is_over:
            try:
                with self._of.ending():
                    await asyncio.sleep(min(left_s, self._poll_every_s * uniform(*WAIT_JITTER)))
                    state = await self.look(job, account)
            except ShuttingDown:
                break
            except GatewayError as error:
                log.warning("video not polled", extra={"error": error.summary, "account": account.label})
                if isinstance(error, AccountRefused | NoAccountAvailable | NotFound):
                    break
        return state

    async def remove(self, job: VideoJob, account: Account) -> None:
        """Delete the upstream's record; a record that the upstream no longer has counts as deleted."""
        async with self._lock(job):
            record = await self._recall(job, account) or _fresh_record()
            if not record.is_deleted and not record.is_gone:
                try:
                    await self._call(account, delete_video, job.chat_id)
                except UpstreamRejected as error:
                    if not is_decision(error):
                        raise
                    log.warning("video not deleted", extra={"error": error.summary, "account": account.label})
            await self._keep(job, account, msgspec.structs.replace(record, is_deleted=True, is_gone=True))

    async def count_hand_out(self, job: VideoJob, account: Account) -> None:
        async with self._lock(job):
            record = await self._recall(job, account)
            if record is None or record.is_deleted:
                return
            record = msgspec.structs.replace(record, handed_out=record.handed_out + 1)
            if record.handed_out >= HANDED_OUT_ENOUGH:
                try:
                    await self._call(account, delete_video, job.chat_id)
                    record = msgspec.structs.replace(record, is_deleted=True)
                except GatewayError as error:
                    log.warning("video not deleted", extra={"error": error.summary, "account": account.label})
            await self._keep(job, account, record)

    def _is_fresh(self, record: _Record) -> bool:
        is_over = record.status.state in ("completed", "failed")
        return is_over or self._now() - record.asked_at < self._poll_every_s

    async def _ask(self, job: VideoJob, account: Account, record: _Record) -> _Record:
        """Ask the upstream, unless another instance has just done so."""
        turn = Place(f"video-poll:{job.chat_id}", account.refresh_token)
        if not await self._gateway.memory.add(turn, "1", ttl_s=self._poll_every_s):
            return record
        status = await self._call(account, video_status, job.chat_id)
        record = msgspec.structs.replace(
            record, status=status, asked_at=self._now(), error_code=_error_code(status)
        )
        if status.state == "completed":
            record = msgspec.structs.replace(record, completed_at=int(self._now()))
            if job.audio is not None:
                return await self._with_sound(job, account, job.audio, record)
        await self._keep(job, account, record)
        return record

    async def _with_sound(
        self, job: VideoJob, account: Account, audio: tuple[str, str], record: _Record
    ) -> _Record:
        """Add the sound, in one instance alone; the others say that the video is nearly done."""
        memory = self._gateway.memory
        turn, mark = Place(f"video-sound:{job.chat_id}", account.refresh_token), secrets.token_hex(8)
        if not await memory.add(turn, mark, ttl_s=SOUND_TTL_S):
            return _nearly_done(record)
        key, audio_id = audio

        async def add_and_remember() -> None:
            nonlocal record
            try:
                url = await self._call(account, add_sound, job.chat_id, key=key, audio_id=audio_id)
            except GatewayError as error:
                record = _without_sound(record, error)
                await self._keep(job, account, record)
                await memory.remove(turn, mark)
            else:
                status = msgspec.structs.replace(record.status, video_url=url)
                record = msgspec.structs.replace(record, status=status)
                await self._keep(job, account, record)

        await run_to_end(add_and_remember())
        return record

    def _state(self, job: VideoJob, account: Account, record: _Record) -> VideoState:
        status = record.status
        conversation_id = labelled(job.conversation_id, account.label, self._accounts)
        return VideoState(
            id=seal(job, self._caller, account),
            model=job.model,
            created_at=job.created_at,
            conversation_id=conversation_id if job.conversation_id else "",
            status=status.state,
            progress=status.progress,
            completed_at=record.completed_at,
            video_url=status.video_url,
            cover_url=status.cover_url,
            duration=status.duration,
            resolution=status.resolution,
            error_code=record.error_code,
            error_message=status.words,
        )

    async def _call(
        self, account: Account, operation: Operation[P, T], *args: P.args, **options: P.kwargs
    ) -> T:
        self._of.trace.account = account.label
        try:
            return await self._gateway.client(account).call(operation, *args, **options)
        except AccountRefused as error:
            raise for_caller(error, self._caller) from error

    def _lock(self, job: VideoJob) -> asyncio.Lock:
        return self._gateway.locks.of(f"video:{job.chat_id}")

    async def _recall(self, job: VideoJob, account: Account) -> _Record | None:
        return RECORDS.decode(await self._gateway.memory.recall(_record_place(job, account)))

    async def _keep(self, job: VideoJob, account: Account, record: _Record) -> None:
        place, text = _record_place(job, account), RECORDS.encode(record)
        await self._gateway.memory.keep(place, text, ttl_s=RECORD_TTL_S)


def _fresh_record() -> _Record:
    return _Record(status=VideoStatus(state="queued"))


def _without_sound(record: _Record, error: GatewayError) -> _Record:
    """Try again at the next polls; then say that the video is there, and that its sound is not."""
    log.warning("sound not added", extra={"error": error.summary})
    record = msgspec.structs.replace(_nearly_done(record), sound_failures=record.sound_failures + 1)
    if record.sound_failures < SOUND_TRIES:
        return record
    words = f"The video is done, but its sound could not be added. Without: {record.status.video_url}"
    status = msgspec.structs.replace(record.status, state="failed", words=words)
    return msgspec.structs.replace(record, status=status, error_code="sound_not_added")


def _nearly_done(record: _Record) -> _Record:
    status = msgspec.structs.replace(record.status, state="in_progress", progress=99)
    return msgspec.structs.replace(record, status=status, completed_at=None)


def _error_code(status: VideoStatus) -> str:
    if status.state != "failed":
        return ""
    return "content_policy_violation" if status.is_moderated else "upstream_error"


def _not_found(video_id: str) -> NotFound:
    return NotFound(f"There is no video {video_id[:80]!r} of yours.", param="video_id")


def _record_place(job: VideoJob, account: Account) -> Place:
    return Place(f"video:{job.account_label}:{job.chat_id}", account.refresh_token)
