"""Ordering a video of the official API, once (official documents, 2026-09)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from time import time
from typing import IO, Any

import msgspec

from lib.chat.media import Attempt, VideoRequest
from lib.errors import (
    GatewayError,
    InvalidRequest,
    UpstreamError,
    UpstreamNotReached,
    UpstreamProtocolError,
    UpstreamTimeout,
)
from lib.files.frame_queue import fit_in_turn
from lib.files.inline import is_data_url
from lib.store.orders import OrderRecord, order_place, read_into
from lib.store.shared import SharedState
from lib.tasks import run_to_end
from lib.upstreams.interface import Call
from lib.upstreams.official import names
from lib.upstreams.official.asking import Limits, decode, post, started
from lib.upstreams.official.gateway import OfficialGateway
from lib.upstreams.official.sizes import COGVIDEO, nearest_seconds, nearest_size
from lib.upstreams.official.videos.ids import VideoJob, seal, unseal
from lib.upstreams.official.wire.keys import Key

LIMITS = Limits(timeout_s=60.0, once=True)
MAX_FRAME_BYTES = 5 * 1024 * 1024
"""The API takes a frame of this size, within the request."""

_TASK_ID = re.compile(r"[0-9A-Za-z_-]{1,128}")
_LOST = (
    "It is not known whether a video was begun, so it was not ordered again; "
    "repeat the request only if a second video does no harm."
)


class _Ordered(msgspec.Struct):
    id: str


_decoder = msgspec.json.Decoder(_Ordered)


class Order:
    """One request for a video, until the API says that the video has begun."""

    def __init__(
        self,
        gateway: OfficialGateway,
        memory: SharedState,
        request: VideoRequest,
        call: Call,
        first_frame: IO[bytes] | None,
    ) -> None:
        names.require_key(call.caller, request.model)
        _refuse_words_of_the_web(request)
        self._gateway = gateway
        self._memory = memory
        self._request = request
        self._call = call
        self._file = first_frame
        self._model = names.served_by(request.model, names.VIDEOS, names.FREE_VIDEOS)
        self._may_have_begun = False
        self.placed: tuple[VideoJob, Key] | None = None
        """The video to wait for, once it is known, and its key."""

    async def place(self, attempt: Attempt, *, patience_s: float) -> tuple[VideoJob, Key]:
        """Order the video once: an attempt that repeats an earlier one gets that one's video."""
        record = await self._record_of(attempt)
        if attempt.is_repeated or attempt.idempotency_key:
            if (earlier := await record.claim(patience_s)) is not None:
                self.placed = self._found(earlier)
                return self.placed
        else:
            await record.begin()
        try:
            frame = await self._first_frame()
            # To its end, though the caller may leave: a video that has begun must be known by its id.
            await run_to_end(self._order(frame, record))
        except BaseException:
            await record.withdraw(is_lost=self._may_have_begun)
            raise
        assert self.placed is not None  # Else it has raised.
        return self.placed

    def _found(self, video_id: str) -> tuple[VideoJob, Key]:
        earlier = unseal(video_id, self._call.caller)
        if earlier is None:
            raise UpstreamError(f"This very request is under way, or was lost on its way. {_LOST}")
        return earlier

    async def _record_of(self, attempt: Attempt) -> OrderRecord:
        """Name the order: by the caller's own key, or by all that it asks for."""
        asked = hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(self._request, wait_s=None)))
        if self._file is not None:
            await asyncio.to_thread(read_into, asked, self._file)
        caller = self._call.caller
        named_by = attempt.idempotency_key.encode() or asked.digest()
        place = order_place(named_by, caller.key or ",".join(caller.official_keys))
        return OrderRecord(self._memory, place, asked.hexdigest())

    async def _first_frame(self) -> str:
        """Return the frame as the API takes it: an address, or the picture itself as a data URL."""
        if self._file is not None:
            frame = await fit_in_turn(self._file, param=self._request.image_param)
            return "data:image/jpeg;base64," + base64.b64encode(frame).decode()
        url = self._request.image_url or ""
        if is_data_url(url) and len(url) > MAX_FRAME_BYTES * 4 // 3 + 100:
            raise InvalidRequest(
                f"Expected a frame of at most {MAX_FRAME_BYTES} bytes.",
                code="invalid_file",
                param=self._request.image_param,
            )
        return url

    async def _order(self, frame: str, record: OrderRecord) -> None:
        self._may_have_begun = True
        try:
            told = await post(
                self._gateway,
                self._call,
                "videos/generations",
                order_body(self._request, self._model, frame),
                model=self._model,
                limits=LIMITS,
            )
            task_id = decode(told.answer, _decoder).id
            if not _TASK_ID.fullmatch(task_id):
                raise UpstreamProtocolError("The official API ordered a video without an id.", retry="never")
        except GatewayError as error:
            self._may_have_begun = not _has_begun_nothing(error)
            raise _about_video(error, is_lost=self._may_have_begun) from error
        started(told, self._call, model=self._model)
        seconds, size = _chosen(self._request, self._model)
        job = VideoJob(task_id, told.key.label, int(time()), self._request.model, seconds, size)
        self.placed = job, told.key
        await record.place(seal(job, self._call.caller, told.key))


def order_body(request: VideoRequest, model: str, frame: str) -> dict[str, Any]:
    """Write the order. The vidu models choose the size and the length themselves."""
    body: dict[str, Any] = {"model": model}
    if request.prompt:
        body["prompt"] = request.prompt
    if frame:
        body["image_url"] = [frame, request.last_image_url] if request.last_image_url else frame
    if not _is_vidu(model):
        seconds, size = _chosen(request, model)
        wishes = {"duration": seconds, "size": size, "fps": _fps(request.fps), "quality": _quality(request)}
        body |= {name: value for name, value in wishes.items() if value}
    if request.with_audio is not None:
        body["with_audio"] = request.with_audio
    return body


def _is_vidu(model: str) -> bool:
    return model.startswith("vidu")


def _chosen(request: VideoRequest, model: str) -> tuple[int, str]:
    """Return seconds and size as they are ordered; 0 and nothing leave them to the API."""
    if _is_vidu(model):
        return 0, ""
    seconds = 0 if request.seconds is None else nearest_seconds(request.seconds)
    if request.size is None or not all(request.size):
        return seconds, ""
    width, height = nearest_size(COGVIDEO, request.size)
    return seconds, f"{width}x{height}"


def _fps(wanted: float | None) -> int | None:
    return None if wanted is None else 30 if wanted < 45 else 60


def _quality(request: VideoRequest) -> str:
    if request.quality not in ("", "speed", "quality"):
        raise InvalidRequest(
            f"Invalid value for 'quality': expected 'speed' or 'quality', got {request.quality[:40]!r}.",
            param="quality",
        )
    return request.quality


def _refuse_words_of_the_web(request: VideoRequest) -> None:
    """Refuse the wishes that only chatglm.cn knows: the caller could not see that they change nothing."""
    wishes = {
        "video_style": request.video_style,
        "emotional_atmosphere": request.emotional_atmosphere,
        "mirror_mode": request.mirror_mode,
        "audio_id": request.audio,
        "conversation_id": request.conversation_id,
    }
    for param, wish in wishes.items():
        if wish:
            raise InvalidRequest(
                f"Unsupported {param!r}: chatglm.cn's videos have it, and the official API's have not.",
                code="unsupported_parameter",
                param=param,
            )


def _has_begun_nothing(error: GatewayError) -> bool:
    """Tell whether the error proves that no video was begun: the order was refused, or never arrived."""
    return error.status < 500 or isinstance(error, UpstreamNotReached)


def _about_video(error: GatewayError, *, is_lost: bool) -> GatewayError:
    if is_lost:
        kind = UpstreamTimeout if isinstance(error, UpstreamTimeout) else UpstreamError
        return kind(f"{error.message} {_LOST}", number=error.number, http_status=error.http_status)
    if isinstance(error, InvalidRequest) and error.code == "content_filter":
        return InvalidRequest(
            error.message,
            code="content_policy_violation",
            param="prompt",
            number=error.number,
            http_status=error.http_status,
        )
    return error
