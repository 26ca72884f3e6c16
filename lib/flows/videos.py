"""Making videos: by the upstream that the model's name means, or that has the video."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import IO, Literal

from lib.chat.media import Attempt, VideoRequest, VideoState
from lib.errors import GatewayError, InvalidRequest, NotFound, UpstreamRejected
from lib.upstreams.interface import Call, VideoMaker


async def make_video(
    request: VideoRequest, call: Call, *, frame: IO[bytes] | None = None, attempt: Attempt | None = None
) -> VideoState:
    """Order a video, wait for it as long as the request allows, and return its state then.

    Once it is ordered nothing raises any more, nor does the end of the server: its id must reach the caller.
    """
    maker = await _maker_of(request, call)
    return await maker.make(request, call, frame=frame, attempt=attempt or Attempt())


async def look_at_video(video_id: str, call: Call) -> VideoState:
    """Raise NotFound for an id that this caller never got."""
    return await (await _owner_of(video_id, call)).look(video_id, call)


async def remove_video(video_id: str, call: Call) -> None:
    await (await _owner_of(video_id, call)).remove(video_id, call)


def after_sending(state: VideoState, call: Call) -> Callable[[], Awaitable[None]] | None:
    """Return the work that is due once an answer with this state was sent whole, or None."""
    if state.status != "completed":
        return None
    return partial(_note_handed_out, state.id, call)


def address_of(state: VideoState, variant: Literal["video", "thumbnail"]) -> str:
    """Return the address at which the upstream keeps a finished video, or its cover."""
    url = state.video_url if variant == "video" else state.cover_url
    if state.status != "completed" or not url:
        raise NotFound(f"The {variant} is not there: the video is {state.status}.", code="video_not_ready")
    return url


def failure_of(state: VideoState) -> GatewayError | None:
    """Return the error for a caller that waited for a video that will never come."""
    if state.status != "failed":
        return None
    if state.error_code == "content_policy_violation":
        return InvalidRequest(state.error_message, code=state.error_code, param="prompt")
    return UpstreamRejected(f"The upstream made no video: {state.error_message}.")


async def _note_handed_out(video_id: str, call: Call) -> None:
    await (await _owner_of(video_id, call)).note_handed_out(video_id, call)


async def _maker_of(request: VideoRequest, call: Call) -> VideoMaker:
    """Return the first upstream that films it. The last one takes every name."""
    *others, last = call.services.videos
    for maker in others:
        if await maker.films(request, call):
            return _noted(maker, call)
    return _noted(last, call)


async def _owner_of(video_id: str, call: Call) -> VideoMaker:
    """Return the upstream that has the video. If none has it, an upstream of the caller's refuses the id."""
    first, *_, last = makers = call.services.videos
    if not call.caller.official_keys:
        return _noted(last, call)
    for maker in makers:
        if await maker.knows(video_id, call):
            return _noted(maker, call)
    return first


def _noted(maker: VideoMaker, call: Call) -> VideoMaker:
    call.trace.upstream = maker.name
    return maker
