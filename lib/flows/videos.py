"""Making videos: ordered once, asked for as often as anybody likes, cleaned up when they have arrived."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from io import BytesIO
from random import uniform
from time import time
from typing import IO, Literal, TypeVar
from weakref import WeakValueDictionary

import msgspec

from lib.accounts.account import Account
from lib.chat.caller import Caller
from lib.chat.media import ImageRequest, VideoRequest, VideoState
from lib.chatglm.client import Session, UploadedFile
from lib.chatglm.videos import (
    BegunVideo,
    VideoOrder,
    VideoStatus,
    add_sound,
    begin_video,
    delete_video,
    upload_first_frame,
    video_status,
    was_refused,
)
from lib.errors import (
    AccountBusy,
    AccountRefused,
    GatewayError,
    InvalidRequest,
    NoAccountAvailable,
    NotFound,
    Throttled,
    UpstreamError,
    UpstreamRejected,
    UpstreamTimeout,
)
from lib.flows.chat import addressed, stop_time
from lib.flows.endings import run_to_end
from lib.flows.gateway import Gateway, gateway_of
from lib.flows.images import open_files, open_images
from lib.flows.video_ids import VideoJob, seal, unseal
from lib.media.frames import MAX_HEIGHT, WIDTH, fit_frame
from lib.settings import Settings

POLL_EVERY_S = 2.0
"""The upstream is asked for one video no more often than that, however many ask us."""
WAIT_JITTER_S = 1.0
LONGEST_WAIT_S = 1800.0
"""Where no host ends the request; a free account waits minutes."""
RECORD_TTL_S = 86400.0
ORDER_TTL_S = 900.0
"""How long a repeated order is recognised; the SDKs repeat within seconds, or after their ten minutes."""
REPEATED_WAIT_S = 20.0
"""How long a repeated order waits for the first one's id, which may be under way in another instance."""
SOUND_TRIES = 3
HANDED_OUT_ENOUGH = 2
"""Completed answers after which the upstream's record is no longer needed: one may have been lost."""

_LOST = (
    "It is not known whether a video was begun, so it was not ordered again; "
    "repeat the request only if a second video does no harm."
)

T = TypeVar("T")

log = logging.getLogger("glm_gateway")


class Attempt(msgspec.Struct, frozen=True):
    """What tells a repeated request from a second wish for the same video."""

    idempotency_key: str = ""
    is_repeated: bool = False


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of a job, for all who ask within the next seconds, and once it is over."""

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


_encode_record = msgspec.json.Encoder().encode
_decode_record = msgspec.json.Decoder(_Record).decode
_locks: WeakValueDictionary[tuple[int, str], asyncio.Lock] = WeakValueDictionary()


async def make_video(
    request: VideoRequest,
    caller: Caller,
    settings: Settings,
    *,
    first_frame: IO[bytes] | None = None,
    attempt: Attempt | None = None,
    deadline_at: float | None = None,
    poll_every_s: float = POLL_EVERY_S,
) -> VideoState:
    """Order a video, wait for it as long as the request allows, and return what is known of it then.

    Once it is ordered nothing raises any more: its id must reach the caller.
    """
    order = _Order(gateway_of(settings), request, caller, first_frame, deadline_at)
    job, account = await order.place(attempt or Attempt())
    jobs = Videos(gateway_of(settings), caller, poll_every_s=poll_every_s)
    return await jobs.wait(job, account, until=_wait_until(request.wait_s, deadline_at))


async def look_at_video(video_id: str, caller: Caller, settings: Settings) -> VideoState:
    """Return how a video is doing; raises NotFound for an id that this caller was never given."""
    jobs = Videos(gateway_of(settings), caller)
    return await jobs.look(*jobs.find(video_id))


async def remove_video(video_id: str, caller: Caller, settings: Settings) -> None:
    jobs = Videos(gateway_of(settings), caller)
    await jobs.remove(*jobs.find(video_id))


def after_sending(
    state: VideoState, caller: Caller, settings: Settings
) -> Callable[[], Awaitable[None]] | None:
    """Return what is to be done once an answer with this state has been sent, if anything is."""
    if state.status != "completed":
        return None
    return partial(_note_handed_out, state.id, caller, settings)


async def _note_handed_out(video_id: str, caller: Caller, settings: Settings) -> None:
    """A completed answer has been sent; after the second one the upstream's record is deleted."""
    jobs = Videos(gateway_of(settings), caller)
    await run_to_end(jobs.count_hand_out(*jobs.find(video_id)))


def address_of(state: VideoState, variant: Literal["video", "thumbnail"]) -> str:
    """Return where the upstream keeps a finished video, or its cover."""
    url = state.video_url if variant == "video" else state.cover_url
    if state.status != "completed" or not url:
        raise NotFound(f"The {variant} is not there: the video is {state.status}.", code="video_not_ready")
    return url


def attempt_of(headers: Mapping[str, str]) -> Attempt:
    """Read what a client says of its request's repetition; OpenAI's SDKs count theirs."""
    return Attempt(
        idempotency_key=headers.get("idempotency-key", ""),
        is_repeated=headers.get("x-stainless-retry-count", "0") != "0",
    )


def failure_of(state: VideoState) -> GatewayError | None:
    """Say as an error why there will be no video, to whoever has waited for it."""
    if state.status != "failed":
        return None
    if state.error_code == "content_policy_violation":
        return InvalidRequest(state.error_message, code=state.error_code, param="prompt")
    return UpstreamRejected(f"The upstream made no video: {state.error_message}.")


def _wait_until(wait_s: float | None, deadline_at: float | None) -> float:
    until = asyncio.get_running_loop().time() + min(
        LONGEST_WAIT_S if wait_s is None else wait_s, LONGEST_WAIT_S
    )
    return until if deadline_at is None else min(until, stop_time(deadline_at))


class Videos:
    """One caller's videos."""

    def __init__(
        self,
        gateway: Gateway,
        caller: Caller,
        *,
        poll_every_s: float = POLL_EVERY_S,
        now: Callable[[], float] = time,
    ) -> None:
        self._gateway = gateway
        self._caller = caller
        self._accounts = gateway.accounts_of(caller)
        self._poll_every_s = poll_every_s
        self._now = now

    def find(self, video_id: str) -> tuple[VideoJob, Account]:
        found = unseal(video_id, self._caller, self._accounts)
        if found is None:
            raise _not_found(video_id)
        return found

    async def look(self, job: VideoJob, account: Account) -> VideoState:
        async with self._lock(job):
            record = await self._recall(job)
            if record is not None and record.is_gone:
                raise _not_found("of that id any more: it was deleted")
            if record is None or not self._is_fresh(record):
                record = await self._ask(job, account, record or _fresh_record())
        return self._state(job, account, record)

    async def wait(self, job: VideoJob, account: Account, *, until: float) -> VideoState:
        """Look again and again; what fails meanwhile changes nothing about the video."""
        clock = asyncio.get_running_loop().time
        state = self._state(job, account, _fresh_record())
        while (left_s := until - clock()) > 0 and not state.is_over:
            await asyncio.sleep(
                min(left_s, self._poll_every_s + uniform(0, WAIT_JITTER_S) * self._poll_every_s)
            )
            try:
                state = await self.look(job, account)
            except GatewayError as error:
                log.warning("video not polled", extra={"error": error.message, "account": account.label})
                if isinstance(error, AccountRefused | NoAccountAvailable | NotFound):
                    break
        return state

    async def remove(self, job: VideoJob, account: Account) -> None:
        """Delete the upstream's record; what it does not have any more is deleted, too."""
        async with self._lock(job):
            record = await self._recall(job) or _fresh_record()
            if not record.is_deleted and not record.is_gone:
                try:
                    await self._authorized(
                        account, lambda s: delete_video(self._gateway.upstream, s, job.chat_id)
                    )
                except UpstreamRejected as error:
                    log.warning("video not deleted", extra={"error": error.message, "account": account.label})
            await self._keep(job, msgspec.structs.replace(record, is_deleted=True, is_gone=True))

    async def count_hand_out(self, job: VideoJob, account: Account) -> None:
        async with self._lock(job):
            record = await self._recall(job)
            if record is None or record.is_deleted:
                return
            record = msgspec.structs.replace(record, handed_out=record.handed_out + 1)
            if record.handed_out >= HANDED_OUT_ENOUGH:
                try:
                    await self._authorized(
                        account, lambda s: delete_video(self._gateway.upstream, s, job.chat_id)
                    )
                    record = msgspec.structs.replace(record, is_deleted=True)
                except GatewayError as error:
                    log.warning("video not deleted", extra={"error": error.message, "account": account.label})
            await self._keep(job, record)

    def _is_fresh(self, record: _Record) -> bool:
        is_over = record.status.state in ("completed", "failed")
        return is_over or self._now() - record.asked_at < self._poll_every_s

    async def _ask(self, job: VideoJob, account: Account, record: _Record) -> _Record:
        """Ask the upstream, unless another instance has just done so."""
        turn = f"video-poll:{job.chat_id}"
        if not await self._gateway.memory.add(turn, "1", ttl_s=self._poll_every_s):
            return record
        upstream = self._gateway.upstream
        status = await self._authorized(account, lambda session: video_status(upstream, session, job.chat_id))
        record = msgspec.structs.replace(
            record, status=status, asked_at=self._now(), error_code=_error_code(status)
        )
        if status.state == "completed":
            record = await self._completed(job, account, record)
        await self._keep(job, record)
        return record

    async def _completed(self, job: VideoJob, account: Account, record: _Record) -> _Record:
        record = msgspec.structs.replace(record, completed_at=int(self._now()))
        if job.audio is None:
            return record
        upstream, (key, audio_id) = self._gateway.upstream, job.audio
        try:
            url = await self._authorized(
                account, lambda session: add_sound(upstream, session, job.chat_id, key=key, audio_id=audio_id)
            )
        except GatewayError as error:
            return _without_sound(record, error)
        status = msgspec.structs.replace(record.status, video_url=url)
        return msgspec.structs.replace(record, status=status)

    def _state(self, job: VideoJob, account: Account, record: _Record) -> VideoState:
        status = record.status
        labelled = (
            f"{job.conversation_id}-{account.label}" if len(self._accounts) > 1 else job.conversation_id
        )
        return VideoState(
            id=seal(job, self._caller, account),
            model=job.model,
            created_at=job.created_at,
            conversation_id=labelled if job.conversation_id else "",
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

    async def _authorized(self, account: Account, call: Callable[[Session], Awaitable[T]]) -> T:
        try:
            return await self._gateway.authorized(account, call)
        except AccountRefused as error:
            raise _for_caller(error, self._caller) from error

    def _lock(self, job: VideoJob) -> asyncio.Lock:
        return _locks.setdefault((id(self._gateway), job.chat_id), asyncio.Lock())

    async def _recall(self, job: VideoJob) -> _Record | None:
        text = await self._gateway.memory.recall(_record_key(job))
        try:
            return None if text is None else _decode_record(text)
        except msgspec.DecodeError:
            return None

    async def _keep(self, job: VideoJob, record: _Record) -> None:
        await self._gateway.memory.keep(_record_key(job), _encode_record(record).decode(), ttl_s=RECORD_TTL_S)


class _Order:
    """One request for a video, from its first frame to the upstream's word that it has begun."""

    def __init__(
        self,
        gateway: Gateway,
        request: VideoRequest,
        caller: Caller,
        first_frame: IO[bytes] | None,
        deadline_at: float | None,
    ) -> None:
        self._gateway = gateway
        self._settings = gateway.settings
        self._request = request
        self._caller = caller
        self._file = first_frame
        self._deadline_at = deadline_at
        self._accounts = gateway.accounts_of(caller)
        self._conversation_id, self._candidates = addressed(request.conversation_id, self._accounts)
        self._may_have_begun = False
        self._placed: tuple[VideoJob, Account] | None = None

    async def place(self, attempt: Attempt) -> tuple[VideoJob, Account]:
        """Order the video once: an attempt that repeats an earlier one gets that one's video."""
        memory = self._gateway.memory
        key = await self._order_key(attempt)
        if attempt.is_repeated or attempt.idempotency_key:
            earlier = await self._earlier(key)
            if earlier is not None:
                return earlier
        await memory.keep(key, _BEGUN, ttl_s=ORDER_TTL_S)
        try:
            await self._order(await self._first_frame(), key)
        except BaseException:
            if not self._may_have_begun:
                await memory.drop(key)
            raise
        assert self._placed is not None  # else it has raised
        return self._placed

    async def _earlier(self, key: str) -> tuple[VideoJob, Account] | None:
        """Find what became of the first attempt; None: nothing at all."""
        clock = asyncio.get_running_loop().time
        until = clock() + REPEATED_WAIT_S
        while (found := await self._gateway.memory.recall(key)) == _BEGUN:
            if clock() >= until:
                raise UpstreamError(f"This very request is under way, or was lost on its way. {_LOST}")
            await asyncio.sleep(1.0)
        return None if found is None else unseal(found, self._caller, self._accounts)

    async def _order_key(self, attempt: Attempt) -> str:
        """Name the order: by the caller's own key, or by all that it asks for."""
        asked = hashlib.sha256(attempt.idempotency_key.encode() or msgspec.json.encode(self._request))
        if self._file is not None:
            await asyncio.to_thread(_read_into, asked, self._file)
        secret = self._caller.key or ",".join(self._caller.refresh_tokens)
        return (
            "video-order:"
            + hmac.new(secret.encode("utf-8", "surrogatepass"), asked.digest(), "sha256").hexdigest()
        )

    async def _first_frame(self) -> UploadedFile | None:
        request = self._request
        if self._file is not None:
            return await _fitted(self._file, request.image_param)
        if request.image_url is not None:
            return await self._fetched(request.image_url)
        if not request.draws_first_frame:
            return None
        drawn = ImageRequest(prompt=request.prompt, ratio=WIDTH / MAX_HEIGHT)
        opened = open_images(drawn, self._caller, self._settings, deadline_at=self._deadline_at)
        async with opened as made, open_files(made.images, self._settings) as files:
            return await _fitted(files[0].file, request.image_param)

    async def _fetched(self, url: str) -> UploadedFile:
        try:
            async with self._gateway.fetcher.fetch(url, max_bytes=self._settings.max_file_bytes) as fetched:
                return await _fitted(fetched.file, self._request.image_param)
        except InvalidRequest as error:
            error.param = self._request.image_param
            raise

    async def _order(self, frame: UploadedFile | None, key: str) -> None:
        """Order on one account after another, until one does not refuse."""
        pool = self._gateway.pool
        excluded: set[str] = set()
        refusal: GatewayError | None = None
        while True:
            try:
                lease = await pool.acquire(
                    self._candidates, wait_s=self._settings.account_wait_s, excluded=excluded
                )
            except GatewayError as unavailable:
                raise _for_caller(refusal or unavailable, self._caller) from None
            account = lease.account
            try:
                source_id = "" if frame is None else await self._uploaded(account, frame)
                # To its end, though the caller may leave: a video that has begun must be known by its id.
                await run_to_end(self._begin(account, source_id, key))
            except (AccountBusy, Throttled, AccountRefused) as error:
                await self._note(error, account)
                refusal = error
                excluded.add(account.label)
                if len(excluded) == len(self._candidates):
                    raise _for_caller(error, self._caller) from error
            else:
                return
            finally:
                await lease.release()

    async def _uploaded(self, account: Account, frame: UploadedFile) -> str:
        gateway = self._gateway
        return await gateway.authorized(
            account, lambda session: upload_first_frame(gateway.upstream, session, frame)
        )

    async def _begin(self, account: Account, source_id: str, key: str) -> None:
        gateway, request = self._gateway, self._request
        order = VideoOrder(
            prompt=request.prompt,
            conversation_id=self._conversation_id,
            source_id=source_id,
            video_style=request.video_style,
            emotional_atmosphere=request.emotional_atmosphere,
            mirror_mode=request.mirror_mode,
        )
        # A token that is refused has begun nothing: `authorized` may well try again with a new one.
        self._may_have_begun = True
        try:
            begun = await gateway.authorized(
                account, lambda session: begin_video(gateway.upstream, session, order)
            )
        except GatewayError as error:
            self._may_have_begun = not was_refused(error)
            if self._may_have_begun:
                raise _lost(error) from error
            raise
        job = self._job_of(begun, account)
        self._placed = job, account
        await gateway.memory.keep(key, seal(job, self._caller, account), ttl_s=ORDER_TTL_S)

    def _job_of(self, begun: BegunVideo, account: Account) -> VideoJob:
        return VideoJob(
            begun.chat_id,
            begun.conversation_id or self._conversation_id,
            account.label,
            int(time()),
            self._request.model,
            self._request.audio,
        )

    async def _note(self, error: GatewayError, account: Account) -> None:
        pool = self._gateway.pool
        match error:
            case AccountBusy():
                await pool.busy_elsewhere(account)
            case Throttled():
                await pool.throttled(account)
            case AccountRefused():
                await pool.refused(account, error.code or "")


_BEGUN = "begun"


def _read_into(digest: hashlib._Hash, file: IO[bytes]) -> None:
    while piece := file.read(1024 * 1024):
        digest.update(piece)
    file.seek(0)


async def _fitted(file: IO[bytes], param: str) -> UploadedFile:
    written = BytesIO()
    await asyncio.to_thread(fit_frame, file, written, param=param)
    return UploadedFile("frame.jpg", written.getvalue(), "image/jpeg")


def _fresh_record() -> _Record:
    return _Record(status=VideoStatus(state="queued"))


def _without_sound(record: _Record, error: GatewayError) -> _Record:
    """Try again at the next polls; then say that the video is there, and that its sound is not."""
    log.warning("sound not added", extra={"error": error.message})
    failures = record.sound_failures + 1
    status, code = msgspec.structs.replace(record.status, state="in_progress", progress=99), ""
    if failures >= SOUND_TRIES:
        words = f"The video is done, but its sound could not be added. Without: {status.video_url}"
        status, code = msgspec.structs.replace(status, state="failed", words=words), "sound_not_added"
    return msgspec.structs.replace(
        record, status=status, error_code=code, completed_at=None, sound_failures=failures
    )


def _error_code(status: VideoStatus) -> str:
    if status.state != "failed":
        return ""
    return "content_policy_violation" if status.is_moderated else "upstream_error"


def _lost(error: GatewayError) -> GatewayError:
    kind = UpstreamTimeout if isinstance(error, UpstreamTimeout) else UpstreamError
    return kind(f"{error.message} {_LOST}")


def _for_caller(error: GatewayError, caller: Caller) -> GatewayError:
    """The owner's accounts are not the caller's fault."""
    if caller.is_owner and isinstance(error, AccountRefused):
        return NoAccountAvailable(f"No account of this gateway can be used: {error.message}")
    return error


def _not_found(what: str) -> NotFound:
    return NotFound(f"There is no video {what[:80]!r} of yours.", param="video_id")


def _record_key(job: VideoJob) -> str:
    return f"video:{job.account_label}:{job.chat_id}"
