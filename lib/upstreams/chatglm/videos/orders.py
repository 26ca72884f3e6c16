"""Ordering a video, once: with its first frame, on an account that takes it, and never a second time."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import time
from typing import IO

import msgspec

from lib.chat.media import Attempt, ImageRequest, VideoRequest
from lib.errors import (
    AccountRefused,
    GatewayError,
    IdempotencyKeyReused,
    InvalidRequest,
    Throttled,
    UpstreamError,
    UpstreamTimeout,
)
from lib.files.frame_queue import fit_in_turn
from lib.files.frames import MAX_HEIGHT, WIDTH
from lib.store.seal import Place
from lib.store.shared import SharedState
from lib.tasks import run_to_end
from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.chatglm.accounts.client import LeasedAccount
from lib.upstreams.chatglm.conversations import addressed
from lib.upstreams.chatglm.gateway import Gateway
from lib.upstreams.chatglm.images import open_files, open_images
from lib.upstreams.chatglm.reply import stop_time
from lib.upstreams.chatglm.videos.ids import VideoJob, seal, unseal
from lib.upstreams.chatglm.wire.client import CALL_TIMEOUT_S, ChatGLM, Session, UploadedFile
from lib.upstreams.chatglm.wire.videos import (
    BegunVideo,
    VideoOrder,
    begin_video,
    has_begun_nothing,
    is_id,
    upload_first_frame,
)
from lib.upstreams.interface import Call

ORDER_TTL_S = 900.0
"""A repeated order is recognised so long; the SDKs repeat within seconds, or after their ten minutes."""
REPEATED_WAIT_S = 20.0
"""A repeated order waits so long for the first one's id: another instance may be about to get it."""
REPEATED_LOOK_S = 0.5

_LOST = (
    "It is not known whether a video was begun, so it was not ordered again; "
    "repeat the request only if a second video does no harm."
)

_BEGUN, _IS_LOST = "begun", "lost"
"""An order's record holds one of these words while there is no id yet, or if there will never be one."""


class _Record:
    """The store's record of one order: by it, a repetition finds the video of an earlier attempt."""

    def __init__(self, memory: SharedState, place: Place, asked: str) -> None:
        """`asked`: the digest of the order. One key of a client names one order only."""
        self._memory = memory
        self._place = place
        self._asked = asked
        self._before: str | None = None

    async def begin(self) -> None:
        """Note that the order is under way. If nothing comes of it, the older record counts again."""
        self._before = await self._memory.recall(self._place)
        await self._write(_BEGUN)

    async def claim(self, patience_s: float) -> str | None:
        """Make the order ours and return None, or return the last word of an earlier attempt."""
        clock = asyncio.get_running_loop().time
        until = clock() + patience_s
        while True:
            found = self._read(await self._memory.recall(self._place))
            if found is None and await self._memory.add(self._place, self._entry(_BEGUN), ttl_s=ORDER_TTL_S):
                await self._write(_BEGUN)
                return None
            if found not in (None, _BEGUN) or clock() >= until:
                return found or _BEGUN
            await asyncio.sleep(min(REPEATED_LOOK_S, patience_s))

    async def place(self, video_id: str) -> None:
        await self._write(video_id)

    async def withdraw(self, *, is_lost: bool) -> None:
        """End an order that failed, unless its video is known after all."""
        if await self._memory.recall(self._place) != self._entry(_BEGUN):
            return
        if is_lost:
            await self._write(_IS_LOST)
        elif self._before is not None:
            await self._memory.keep(self._place, self._before, ttl_s=ORDER_TTL_S)
        else:
            await self._memory.drop(self._place)

    def _entry(self, word: str) -> str:
        return f"{self._asked} {word}"

    def _read(self, entry: str | None) -> str | None:
        """Return an entry's word. Raise IdempotencyKeyReused if the entry is of another order."""
        if entry is None:
            return None
        asked, _, word = entry.rpartition(" ")
        if asked != self._asked:
            raise IdempotencyKeyReused(
                "This Idempotency-Key came with another order before. Make a new key for each order."
            )
        return word

    async def _write(self, word: str) -> None:
        await self._memory.keep(self._place, self._entry(word), ttl_s=ORDER_TTL_S)


class Order:
    """One request for a video, from its first frame until the upstream says that the video has begun."""

    def __init__(
        self,
        gateway: Gateway,
        request: VideoRequest,
        call: Call,
        accounts: tuple[Account, ...],
        first_frame: IO[bytes] | None,
    ) -> None:
        self._gateway = gateway
        self._request = request
        self._call = call
        self._caller = call.caller
        self._file = first_frame
        self._accounts = accounts
        self._conversation_id, self._candidates = addressed(request.conversation_id, accounts)
        if self._conversation_id and not is_id(self._conversation_id):
            raise InvalidRequest("This is no conversation's id.", param="conversation_id")
        self._order_by = None if call.deadline_at is None else _order_by(call.deadline_at)
        self._may_have_begun = False
        self.placed: tuple[VideoJob, Account] | None = None
        """The video to wait for, once it is known, and its account."""

    async def place(self, attempt: Attempt, *, patience_s: float) -> tuple[VideoJob, Account]:
        """Order the video once: an attempt that repeats an earlier one gets that one's video."""
        self._candidates = await self._gateway.proofs.proven(self._candidates, self._caller)
        record = await self._record_of(attempt)
        if attempt.is_repeated or attempt.idempotency_key:
            if (earlier := await record.claim(patience_s)) is not None:
                self.placed = self._found(earlier)
                return self.placed
        else:
            await record.begin()
        try:
            async with self._in_time():
                frame = await self._first_frame()
            await self._order(frame, record)
        except BaseException:
            await record.withdraw(is_lost=self._may_have_begun)
            raise
        assert self.placed is not None  # Else it has raised.
        return self.placed

    def _found(self, video_id: str) -> tuple[VideoJob, Account]:
        earlier = unseal(video_id, self._caller, self._accounts)
        if earlier is None:
            raise UpstreamError(f"This very request is under way, or was lost on its way. {_LOST}")
        return earlier

    async def _record_of(self, attempt: Attempt) -> _Record:
        """Name the order: by the caller's own key, or by all that it asks for."""
        asked = hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(self._request, wait_s=None)))
        if self._file is not None:
            await asyncio.to_thread(_read_into, asked, self._file)
        named_by = attempt.idempotency_key.encode() or asked.digest()
        secret = self._caller.key or ",".join(self._caller.refresh_tokens)
        name = hmac.new(secret.encode("utf-8", "surrogatepass"), named_by, "sha256").hexdigest()
        return _Record(self._gateway.memory, Place(f"video-order:{name}", secret), asked.hexdigest())

    async def _first_frame(self) -> UploadedFile | None:
        request = self._request
        if self._file is not None:
            return await _fitted(self._file, request.image_param)
        if request.image_url is not None:
            return await self._fetched(request.image_url)
        return await self._drawn() if request.draws_first_frame else None

    async def _fetched(self, url: str) -> UploadedFile:
        max_bytes = self._gateway.settings.max_file_bytes
        try:
            async with self._gateway.fetcher.fetch(url, max_bytes=max_bytes) as fetched:
                return await _fitted(fetched.file, self._request.image_param)
        except InvalidRequest as error:
            raise error.at(self._request.image_param) from error

    async def _drawn(self) -> UploadedFile:
        request, gateway = self._request, self._gateway
        drawn = ImageRequest(prompt=request.prompt, ratio=WIDTH / MAX_HEIGHT)
        async with open_images(gateway, drawn, self._call) as made:
            images = made.images
        async with open_files(gateway, images[:1]) as files:
            return await _fitted(files[0].file, request.image_param)

    async def _order(self, frame: UploadedFile | None, record: _Record) -> None:
        """Order on one account after another, until one does not refuse."""
        rotation = self._gateway.rotation(
            self._candidates, self._caller, tries=1, conversation_id=self._request.conversation_id
        )
        while True:
            async with self._in_time():
                leased = await rotation.lease()
            try:
                async with self._in_time():
                    await leased.prepare()
                    source_id = "" if frame is None else await leased.call(upload_first_frame, frame)
                # To its end, though the caller may leave: a video that has begun must be known by its id.
                await run_to_end(self._begin(leased, source_id, record))
            except (Throttled, AccountRefused) as error:
                await leased.note(error)
                await rotation.go_on(leased.account, error)
            else:
                return
            finally:
                await leased.release()

    async def _begin(self, leased: LeasedAccount, source_id: str, record: _Record) -> None:
        try:
            begun = await leased.begin(self._begin_once, self._wire_order(source_id))
        except GatewayError as error:
            if self._may_have_begun:
                raise _lost(error) from error
            raise
        job = self._job_of(begun, leased.account)
        self.placed = job, leased.account
        await record.place(seal(job, self._caller, leased.account))

    async def _begin_once(self, upstream: ChatGLM, session: Session, order: VideoOrder) -> BegunVideo:
        self._may_have_begun = True
        try:
            return await begin_video(upstream, session, order)
        except GatewayError as error:
            self._may_have_begun = not has_begun_nothing(error)
            raise

    def _wire_order(self, source_id: str) -> VideoOrder:
        request = self._request
        return VideoOrder(
            prompt=request.prompt,
            conversation_id=self._conversation_id,
            source_id=source_id,
            video_style=request.video_style,
            emotional_atmosphere=request.emotional_atmosphere,
            mirror_mode=request.mirror_mode,
        )

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """End the preparations while there is still time for the order itself."""
        try:
            async with asyncio.timeout_at(self._order_by):
                yield
        except TimeoutError:
            raise UpstreamTimeout(
                "What a video needs first (its first frame, a free account) took too long for this host's "
                "limit on a request. No video was ordered."
            ) from None

    def _job_of(self, begun: BegunVideo, account: Account) -> VideoJob:
        return VideoJob(
            begun.chat_id,
            begun.conversation_id or self._conversation_id,
            account.label,
            int(time()),
            self._request.model,
            self._request.audio,
        )


def _order_by(deadline_at: float) -> float:
    """Return when to order at the latest; a host in a hurry keeps half of its time for that."""
    stop_at = stop_time(deadline_at)
    left_s = stop_at - asyncio.get_running_loop().time()
    return stop_at - min(CALL_TIMEOUT_S, left_s / 2)


def _read_into(digest: hashlib._Hash, file: IO[bytes]) -> None:
    while piece := file.read(1024 * 1024):
        digest.update(piece)
    file.seek(0)


async def _fitted(file: IO[bytes], param: str) -> UploadedFile:
    return UploadedFile("frame.jpg", await fit_in_turn(file, param=param), "image/jpeg")


def _lost(error: GatewayError) -> GatewayError:
    kind = UpstreamTimeout if isinstance(error, UpstreamTimeout) else UpstreamError
    return kind(f"{error.message} {_LOST}", number=error.number, http_status=error.http_status)
