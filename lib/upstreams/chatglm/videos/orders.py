"""Ordering a video, once: with its first frame, on an account that takes it, and never a second time."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from time import time
from typing import IO

import msgspec

from lib.chat.caller import Caller
from lib.chat.media import Attempt, ImageRequest, VideoRequest
from lib.errors import (
    AccountRefused,
    GatewayError,
    InvalidRequest,
    Throttled,
    UpstreamError,
    UpstreamTimeout,
)
from lib.files.frames import MAX_HEIGHT, WIDTH, fit_frame
from lib.store.seal import Place
from lib.tasks import run_to_end
from lib.trace import current_trace
from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.chatglm.accounts.lease import Lease
from lib.upstreams.chatglm.gateway import Gateway
from lib.upstreams.chatglm.images import open_files, open_images
from lib.upstreams.chatglm.refusals import for_caller, note_refusal
from lib.upstreams.chatglm.reply import addressed, stop_time
from lib.upstreams.chatglm.videos.ids import VideoJob, seal, unseal
from lib.upstreams.chatglm.wire.client import CALL_TIMEOUT_S, Session, UploadedFile
from lib.upstreams.chatglm.wire.videos import (
    BegunVideo,
    VideoOrder,
    begin_video,
    has_begun_nothing,
    is_id,
    upload_first_frame,
)

ORDER_TTL_S = 900.0
"""How long a repeated order is recognised; the SDKs repeat within seconds, or after their ten minutes."""
REPEATED_WAIT_S = 20.0
"""How long a repeated order waits for the first one's id, which may be under way in another instance."""
REPEATED_LOOK_S = 0.5

_LOST = (
    "It is not known whether a video was begun, so it was not ordered again; "
    "repeat the request only if a second video does no harm."
)
_one_frame = threading.Lock()
"""A frame costs a core and some hundred megabytes while it is made: one of them at a time in a process."""

_BEGUN, _IS_LOST = "begun", "lost"
"""What stands in the place of an order's id, as long as there is none, and where there will never be one."""


class Order:
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
        if self._conversation_id and not is_id(self._conversation_id):
            raise InvalidRequest("This is no conversation's id.", param="conversation_id")
        self._order_by = None if deadline_at is None else _order_by(deadline_at)
        self._may_have_begun = False
        self.placed: tuple[VideoJob, Account] | None = None
        """What there is to wait for, once it is known."""

    async def place(self, attempt: Attempt, *, patience_s: float) -> tuple[VideoJob, Account]:
        """Order the video once: an attempt that repeats an earlier one gets that one's video."""
        memory = self._gateway.memory
        self._candidates = await self._gateway.proven(self._candidates, self._caller)
        place = await self._order_place(attempt)
        before = None
        if attempt.is_repeated or attempt.idempotency_key:
            self.placed = await self._claim(place, patience_s)
            if self.placed is not None:
                return self.placed
        else:
            # The same wish again: if nothing comes of it, the older counts.
            before = await memory.recall(place)
        await memory.keep(place, _BEGUN, ttl_s=ORDER_TTL_S)
        try:
            async with self._in_time():
                frame = await self._first_frame()
            await self._order(frame, place)
        except BaseException:
            if await memory.recall(place) == _BEGUN:
                await self._withdraw(place, _IS_LOST if self._may_have_begun else before)
            raise
        assert self.placed is not None  # else it has raised
        return self.placed

    async def _withdraw(self, place: Place, instead: str | None) -> None:
        if instead is None:
            await self._gateway.memory.drop(place)
        else:
            await self._gateway.memory.keep(place, instead, ttl_s=ORDER_TTL_S)

    async def _claim(self, place: Place, patience_s: float) -> tuple[VideoJob, Account] | None:
        """Make the order ours; where an earlier attempt has it, return what became of that."""
        clock, memory = asyncio.get_running_loop().time, self._gateway.memory
        until = clock() + patience_s
        while True:
            found = await memory.recall(place)
            if found is None and await memory.add(place, _BEGUN, ttl_s=ORDER_TTL_S):
                return None
            if found not in (None, _BEGUN) or clock() >= until:
                earlier = unseal(found or "", self._caller, self._accounts)
                if earlier is None:
                    raise UpstreamError(f"This very request is under way, or was lost on its way. {_LOST}")
                return earlier
            await asyncio.sleep(min(REPEATED_LOOK_S, patience_s))

    async def _order_place(self, attempt: Attempt) -> Place:
        """Name the order: by the caller's own key, or by all that it asks for."""
        asked = hashlib.sha256(attempt.idempotency_key.encode() or msgspec.json.encode(self._request))
        if self._file is not None:
            await asyncio.to_thread(_read_into, asked, self._file)
        secret = self._caller.key or ",".join(self._caller.refresh_tokens)
        name = hmac.new(secret.encode("utf-8", "surrogatepass"), asked.digest(), "sha256").hexdigest()
        return Place(f"video-order:{name}", secret)

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
        async with opened as made:
            images = made.images
        async with open_files(images[:1], self._settings) as files:
            return await _fitted(files[0].file, request.image_param)

    async def _fetched(self, url: str) -> UploadedFile:
        try:
            async with self._gateway.fetcher.fetch(url, max_bytes=self._settings.max_file_bytes) as fetched:
                return await _fitted(fetched.file, self._request.image_param)
        except InvalidRequest as error:
            raise error.at(self._request.image_param) from error

    async def _order(self, frame: UploadedFile | None, place: Place) -> None:
        """Order on one account after another, until one does not refuse."""
        pool = self._gateway.pool
        excluded: set[str] = set()
        refusal: GatewayError | None = None
        while True:
            try:
                async with self._in_time():
                    lease = await pool.acquire(
                        self._candidates, wait_s=self._settings.account_wait_s, excluded=excluded
                    )
            except GatewayError as unavailable:
                raise for_caller(refusal or unavailable, self._caller) from None
            account = lease.account
            current_trace().tried(account.label)
            try:
                async with self._in_time():
                    await self._gateway.tokens.get(account)  # it may have to be fetched first
                    source_id = "" if frame is None else await self._uploaded(account, frame)
                # To its end, though the caller may leave: a video that has begun must be known by its id.
                await run_to_end(self._begin(lease, source_id, place))
            except (Throttled, AccountRefused) as error:
                await note_refusal(error, account, self._gateway)
                refusal = error
                excluded.add(account.label)
                if len(excluded) == len(self._candidates):
                    raise for_caller(error, self._caller) from error
            else:
                return
            finally:
                await lease.release()

    async def _uploaded(self, account: Account, frame: UploadedFile) -> str:
        gateway = self._gateway
        return await gateway.authorized(
            account, lambda session: upload_first_frame(gateway.upstream, session, frame)
        )

    async def _begin(self, lease: Lease, source_id: str, place: Place) -> None:
        gateway, request, account = self._gateway, self._request, lease.account
        order = VideoOrder(
            prompt=request.prompt,
            conversation_id=self._conversation_id,
            source_id=source_id,
            video_style=request.video_style,
            emotional_atmosphere=request.emotional_atmosphere,
            mirror_mode=request.mirror_mode,
        )

        async def begin(session: Session) -> BegunVideo:
            await lease.require()
            self._may_have_begun = True
            try:
                return await begin_video(gateway.upstream, session, order)
            except GatewayError as error:
                self._may_have_begun = not has_begun_nothing(error)
                raise

        try:
            begun = await gateway.authorized(account, begin)
        except GatewayError as error:
            if self._may_have_begun:
                raise _lost(error) from error
            raise
        job = self._job_of(begun, account)
        self.placed = job, account
        await gateway.memory.keep(place, seal(job, self._caller, account), ttl_s=ORDER_TTL_S)

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """End what comes before the order while there is still time for the order itself."""
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
    written = BytesIO()
    await asyncio.to_thread(_fit, file, written, param)
    return UploadedFile("frame.jpg", written.getvalue(), "image/jpeg")


def _fit(file: IO[bytes], written: IO[bytes], param: str) -> None:
    with _one_frame:
        fit_frame(file, written, param=param)


def _lost(error: GatewayError) -> GatewayError:
    kind = UpstreamTimeout if isinstance(error, UpstreamTimeout) else UpstreamError
    return kind(f"{error.message} {_LOST}", number=error.number, http_status=error.http_status)
