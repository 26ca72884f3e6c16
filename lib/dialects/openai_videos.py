"""Videos in two forms: the older bridges' (/v1/videos/generations) and OpenAI's (/v1/videos)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from lib.chat.media import VideoRequest, VideoState
from lib.dialects.json_body import decode_body, invalid_value, missing_field, unsupported

DEFAULT_MODEL = "cogvideox"
MAX_MODEL_BYTES = 64
"""The video's id holds the name."""

# These are the upstream's own words (seen from 2024-07 to 2026).
VIDEO_STYLES = ("卡通3D", "黑白老照片", "油画", "电影感")
EMOTIONAL_ATMOSPHERES = ("温馨和谐", "生动活泼", "紧张刺激", "凄凉寂寞")
MIRROR_MODES = ("水平", "垂直", "推近", "拉远")

_AUDIO_ID = re.compile(r"(?P<key>[^\s-][^\s]{0,39})-(?P<id>[0-9A-Za-z]{8,64})")
_RESOLUTION = re.compile(r"(\d{2,5})\s*[x×*]\s*(\d{2,5})", re.IGNORECASE)
_SECONDS = re.compile(r"(\d{1,4})")
_NUMBER = re.compile(r"\d{1,4}(?:\.\d{1,3})?", re.ASCII)
_USUAL_SIZE = "1280x720"
_USUAL_SECONDS = "6"
"""The clients' types require seconds, and one of four sizes. The upstream's own take their place."""


class _Generation(msgspec.Struct):
    prompt: str | None = None
    model: str | None = None
    image_url: str | list[str] | None = None
    video_style: str | None = None
    emotional_atmosphere: str | None = None
    mirror_mode: str | None = None
    audio_id: str | None = None
    conversation_id: str | None = None
    size: str | None = None
    duration: float | str | None = None
    quality: str | None = None
    fps: float | None = None
    with_audio: bool | None = None
    wait: float | None = None


class _Reference(msgspec.Struct):
    image_url: str | None = None
    file_id: str | None = None


class _Creation(msgspec.Struct):
    """chatglm.cn chooses `seconds` and `size`, and the official API takes the nearest that it has. The answer
    has the real ones."""

    prompt: str | None = None
    model: str | None = None
    seconds: float | str | None = None
    size: str | None = None
    input_reference: str | _Reference | None = None


class _Error(msgspec.Struct):
    code: str
    message: str


class _Pending(msgspec.Struct, kw_only=True, omit_defaults=True):
    id: str
    object: str
    status: str
    progress: int
    created_at: int
    model: str
    conversation_id: str
    error: _Error | None = None


class _Made(msgspec.Struct):
    conversation_id: str
    cover_url: str
    video_url: str
    video_duration: str
    resolution: str


class _Completed(msgspec.Struct, kw_only=True):
    created: int
    data: list[_Made]
    id: str
    object: str
    status: str
    model: str


class _Video(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["video"] = "video"
    model: str
    status: str
    progress: int
    created_at: int
    completed_at: int | None
    expires_at: int | None = None
    size: str
    seconds: str
    prompt: str | None = None
    remixed_from_video_id: str | None = None
    error: _Error | None = None


_generation_decoder = msgspec.json.Decoder(_Generation)
_creation_decoder = msgspec.json.Decoder(_Creation)


def parse_generation(body: bytes) -> VideoRequest:
    """Read the body of POST /v1/videos/generations; raise InvalidRequest, and nothing else."""
    wire = decode_body(body, _generation_decoder)
    if wire.wait is not None and not wire.wait >= 0:
        raise invalid_value("wait", "a number of seconds, 0 or more", str(wire.wait))
    image_url, last_image_url = _frames(wire.image_url)
    return VideoRequest(
        prompt=_prompt(wire.prompt, has_image=image_url is not None),
        model=_model(wire.model),
        image_url=image_url,
        last_image_url=last_image_url,
        size=_size(wire.size),
        seconds=_length(wire.duration),
        quality=(wire.quality or "").strip().lower(),
        fps=wire.fps,
        with_audio=wire.with_audio,
        video_style=_one_of("video_style", wire.video_style, VIDEO_STYLES),
        emotional_atmosphere=_one_of(
            "emotional_atmosphere", wire.emotional_atmosphere, EMOTIONAL_ATMOSPHERES
        ),
        mirror_mode=_one_of("mirror_mode", wire.mirror_mode, MIRROR_MODES),
        audio=_audio(wire.audio_id),
        conversation_id=wire.conversation_id or "",
        wait_s=wire.wait,
    )


def parse_creation(body: bytes | None, fields: Mapping[str, str], *, has_file: bool) -> VideoRequest:
    """Read the body of POST /v1/videos: JSON, or the form of OpenAI's SDKs without its file."""
    if body is not None:
        wire = decode_body(body, _creation_decoder)
        reference = wire.input_reference
        if isinstance(reference, str):
            reference = _Reference(image_url=reference)
        return _creation(wire, reference or _Reference(), has_file=False)
    reference = _Reference(
        image_url=fields.get("input_reference[image_url]") or fields.get("input_reference"),
        file_id=fields.get("input_reference[file_id]"),
    )
    wire = _Creation(fields.get("prompt"), fields.get("model"), fields.get("seconds"), fields.get("size"))
    return _creation(wire, reference, has_file=has_file)


def render_generation(state: VideoState) -> bytes:
    """Answer with the video, or with its progress."""
    if state.status == "completed":
        made = _Made(
            state.conversation_id, state.cover_url, state.video_url, state.duration, state.resolution
        )
        return msgspec.json.encode(
            _Completed(
                created=state.created_at,
                data=[made],
                id=state.id,
                object="video",
                status=state.status,
                model=state.model,
            )
        )
    return msgspec.json.encode(
        _Pending(
            id=state.id,
            object="video",
            status=state.status,
            progress=state.progress,
            created_at=state.created_at,
            model=state.model,
            conversation_id=state.conversation_id,
            error=_error(state),
        )
    )


def render_video(state: VideoState) -> bytes:
    size = _RESOLUTION.search(state.resolution)
    seconds = _SECONDS.search(state.duration)
    return msgspec.json.encode(
        _Video(
            id=state.id,
            model=state.model,
            status=state.status,
            progress=state.progress,
            created_at=state.created_at,
            completed_at=state.completed_at,
            size=f"{size[1]}x{size[2]}" if size else _USUAL_SIZE,
            seconds=seconds[1] if seconds else _USUAL_SECONDS,
            error=_error(state),
        )
    )


def render_deleted(video_id: str) -> bytes:
    answer: dict[str, Any] = {"id": video_id, "object": "video.deleted", "deleted": True}
    return msgspec.json.encode(answer)


def parse_variant(variant: str | None) -> Literal["video", "thumbnail"]:
    """Read the part of the video that the client wants to download."""
    match variant:
        case None | "" | "video":
            return "video"
        case "thumbnail":
            return "thumbnail"
        case "spritesheet":
            raise unsupported("variant", "the upstream makes no sprite sheets")
        case _:
            raise invalid_value("variant", "'video' or 'thumbnail'", variant)


def _creation(wire: _Creation, reference: _Reference, *, has_file: bool) -> VideoRequest:
    if reference.file_id:
        raise unsupported(
            "input_reference.file_id", "the gateway keeps no files; send the image itself or its URL"
        )
    image_url = reference.image_url or None
    return VideoRequest(
        prompt=_prompt(wire.prompt, has_image=has_file or image_url is not None),
        model=_model(wire.model),
        image_url=image_url,
        size=_size(wire.size),
        seconds=_length(wire.seconds),
        image_param="input_reference",
        wait_s=0,
    )


def _prompt(prompt: str | None, *, has_image: bool) -> str:
    if prompt is None and not has_image:
        raise missing_field("prompt")
    if not has_image and not (prompt or "").strip():
        raise invalid_value("prompt", "a description of the video", prompt)
    return prompt or ""


def _model(model: str | None) -> str:
    name = (model or "").strip() or DEFAULT_MODEL
    if len(name.encode()) > MAX_MODEL_BYTES:
        raise invalid_value("model", f"at most {MAX_MODEL_BYTES} bytes of UTF-8", name)
    return name


def _frames(image_url: str | list[str] | None) -> tuple[str | None, str | None]:
    """Read the first frame, or the first and the last one."""
    frames = image_url if isinstance(image_url, list) else [image_url or ""]
    if not 0 < len(frames) <= 2:
        raise invalid_value("image_url", "an address, or those of the first and the last frame", str(frames))
    return frames[0] or None, frames[1] or None if len(frames) == 2 else None


def _size(size: str | None) -> tuple[int, int] | None:
    """Read the pixels. Any other word leaves the size to the upstream."""
    found = _RESOLUTION.fullmatch(size.strip()) if size else None
    return (int(found[1]), int(found[2])) if found else None


def _length(seconds: float | str | None) -> float | None:
    """Read the seconds, which OpenAI's SDKs send as a text. Any other word leaves them to the upstream."""
    text = str(seconds).strip()
    return float(text) if _NUMBER.fullmatch(text) and float(text) > 0 else None


def _one_of(param: str, value: str | None, known: tuple[str, ...]) -> str:
    """Accept one of the upstream's words. Empty means that the caller chooses nothing."""
    value = (value or "").strip()
    if value and value not in known:
        raise invalid_value(param, f"one of {', '.join(known)}", value)
    return value


def _audio(audio_id: str | None) -> tuple[str, str] | None:
    if not audio_id:
        return None
    match = _AUDIO_ID.fullmatch(audio_id.strip())
    if match is None:
        raise invalid_value("audio_id", "'<key>-<id>', such as 'epic-669b809d3915c1ddbb3d6705'", audio_id)
    return match["key"], match["id"]


def _error(state: VideoState) -> _Error | None:
    if state.status != "failed":
        return None
    return _Error(state.error_code or "upstream_error", state.error_message)
