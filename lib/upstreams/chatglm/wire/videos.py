"""Videos (清影) of chatglm.cn: the calls, and the meaning of their answers. Observed 2024-07 … 2026-09."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from lib.errors import (
    AccessTokenRefused,
    GatewayError,
    InvalidRequest,
    UpstreamNotReached,
    UpstreamProtocolError,
    UpstreamRejected,
)
from lib.upstreams.chatglm.wire.client import ChatGLM, Session, UploadedFile

CREATE = "/video-api/v1/chat"
STATUS = "/video-api/v1/chat/status/"
ADD_SOUND = "/video-api/v1/static/composite_video"
UPLOAD = "/video-api/v1/static/upload"
REFERER = "https://chatglm.cn/video"

UPLOAD_TIMEOUT_S = 60.0
"""A first frame has one or two megabytes."""

_MODERATED = re.compile(r"违规|违反|敏感|不合规|审核|安全|sensitive|moderat|violat", re.IGNORECASE)
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_TROUBLE = re.compile(r"internal|server error|time[d-]? ?out|超时|异常", re.IGNORECASE)
_TROUBLE_NUMBER = 10025
"""The upstream's number for an internal error."""
_PER_CENT = re.compile(r"(\d{1,3}(?:\.\d+)?)\s*%?")

VideoProgress = Literal["queued", "in_progress", "completed", "failed"]
_STATES: dict[str, VideoProgress] = {
    "init": "queued",
    "processing": "in_progress",
    "process": "in_progress",
    "finished": "completed",
}


class VideoOrder(msgspec.Struct, frozen=True, kw_only=True):
    prompt: str
    conversation_id: str = ""
    source_id: str = ""
    """The id of the uploaded first frame."""
    video_style: str = ""
    emotional_atmosphere: str = ""
    mirror_mode: str = ""


class BegunVideo(msgspec.Struct, frozen=True):
    chat_id: str
    conversation_id: str


class VideoStatus(msgspec.Struct, frozen=True, kw_only=True):
    state: VideoProgress
    progress: int = 0
    words: str = ""
    """The upstream's reason for a failure."""
    cover_url: str = ""
    video_url: str = ""
    duration: str = ""
    resolution: str = ""

    @property
    def is_moderated(self) -> bool:
        return self.state == "failed" and is_moderation(self.words)


async def upload_first_frame(upstream: ChatGLM, session: Session, frame: UploadedFile) -> str:
    """Return the frame's source id."""
    result = await upstream.call(
        "POST", UPLOAD, session, file=frame, referer=REFERER, timeout_s=UPLOAD_TIMEOUT_S
    )
    if isinstance(result, list):  # The upload of a chat's file answers with a list at times (2026).
        result = result[0] if result else None
    return _id_in(result, "source_id", "an upload of a first frame")


async def begin_video(upstream: ChatGLM, session: Session, order: VideoOrder) -> BegunVideo:
    """Order one video. After a failure that is not the upstream's refusal, it may be made all the same."""
    body: dict[str, Any] = {
        "conversation_id": order.conversation_id,
        "prompt": order.prompt,
        "advanced_parameter_extra": {
            "emotional_atmosphere": order.emotional_atmosphere,
            "mirror_mode": order.mirror_mode,
            "video_style": order.video_style,
        },
    }
    if order.source_id:
        body["source_list"] = [order.source_id]
    try:
        result = await upstream.call("POST", CREATE, session, body=body, referer=REFERER)
    except UpstreamRejected as error:
        if has_begun_nothing(error) and is_moderation(error.message):
            raise InvalidRequest(
                error.message, code="content_policy_violation", param="prompt", number=error.number
            ) from error
        raise
    conversation_id = result.get("conversation_id") if isinstance(result, dict) else None
    return BegunVideo(
        _id_in(result, "chat_id", "an order of a video"),
        conversation_id if isinstance(conversation_id, str) and _ID.fullmatch(conversation_id) else "",
    )


async def video_status(upstream: ChatGLM, session: Session, chat_id: str) -> VideoStatus:
    return read_status(await upstream.call("GET", STATUS + chat_id, session, referer=REFERER))


async def add_sound(upstream: ChatGLM, session: Session, chat_id: str, *, key: str, audio_id: str) -> str:
    """Put a sound under a finished video; return the address of the new one."""
    body = {"chat_id": chat_id, "key": key, "audio_id": audio_id}
    result = await upstream.call(
        "POST", ADD_SOUND, session, body=body, referer=REFERER, timeout_s=UPLOAD_TIMEOUT_S
    )
    url = _url_in(result, "url")
    if not url:
        raise UpstreamProtocolError(
            "The upstream added the sound, and answered without the address of the video.", retry="never"
        )
    return url


async def delete_video(upstream: ChatGLM, session: Session, chat_id: str) -> None:
    await upstream.call("DELETE", f"{CREATE}/{chat_id}", session, referer=REFERER)


def read_status(result: Any) -> VideoStatus:
    """Read the answer of a poll. Every state that _STATES lacks is a failure (observed up to 2026-09)."""
    status = _text_in(result, "status") if isinstance(result, dict) else ""
    if not status:
        raise UpstreamProtocolError("The upstream answered without the state of the video.", retry="never")
    state = _STATES.get(status, "failed")
    video_url = _url_in(result, "video_url")
    if state == "completed" and not video_url:
        return VideoStatus(state="failed", words="the upstream finished the video, and gave no address of it")
    return VideoStatus(
        state=state,
        progress=100 if state == "completed" else _progress(result.get("plan")),
        words=(_text_in(result, "msg") or "the upstream did not say why")[:200] if state == "failed" else "",
        cover_url=_url_in(result, "cover_url"),
        video_url=video_url,
        duration=_text_in(result, "video_duration")[:40],
        resolution=_text_in(result, "resolution")[:40],
    )


def is_moderation(words: str) -> bool:
    return _MODERATED.search(words) is not None


def is_id(text: str) -> bool:
    """Tell whether the text has the form of an id of a conversation or of a video."""
    return _ID.fullmatch(text) is not None


def has_begun_nothing(error: GatewayError) -> bool:
    """Tell whether the error proves that no video was begun: the order was refused, or never arrived."""
    if isinstance(error, UpstreamNotReached):
        return True
    if error.http_status is not None and error.http_status >= 500:
        return False  # Something broke, perhaps after the video was begun.
    if isinstance(error, UpstreamRejected):
        return is_decision(error)
    return isinstance(error, InvalidRequest) or error.status in (401, 429)


def is_decision(error: UpstreamRejected) -> bool:
    """Tell whether the upstream decided to refuse. Otherwise it broke down, and may have begun the video."""
    if isinstance(error, AccessTokenRefused):
        return True
    if (error.http_status or 0) >= 500 or _TROUBLE.search(error.message):
        return False
    number = error.number or 0
    return 400 <= number < 500 or (number >= 10000 and number != _TROUBLE_NUMBER)


def _progress(plan: Any) -> int:
    """Read a number of per cent: `40`, `"40"`, `"40%"`. Anything else is 0."""
    match = _PER_CENT.fullmatch(plan.strip()) if isinstance(plan, str) else None
    value = float(match[1]) if match else plan
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return int(min(max(value, 0), 99))


def _id_in(result: Any, name: str, call: str) -> str:
    value = result.get(name) if isinstance(result, dict) else None
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise UpstreamProtocolError(f"The upstream answered {call} without a {name}.", retry="never")
    return value


def _text_in(result: dict[str, Any], name: str) -> str:
    value = result.get(name)
    return value if isinstance(value, str) else ""


def _url_in(result: Any, name: str) -> str:
    value = result.get(name) if isinstance(result, dict) else None
    return value if isinstance(value, str) and value.startswith(("https://", "http://")) else ""
