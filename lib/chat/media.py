"""Requests for images and videos, and their results, the same for every client."""

from __future__ import annotations

from typing import Literal

import msgspec

ImageForm = Literal["url", "b64_json"]
JobState = Literal["queued", "in_progress", "completed", "failed"]


class Attempt(msgspec.Struct, frozen=True):
    """The marks of a repeated request. Without them, an equal request is a second order."""

    idempotency_key: str = ""
    is_repeated: bool = False


class ImageRequest(msgspec.Struct, frozen=True, kw_only=True):
    prompt: str
    model: str = ""
    """The caller's own spelling: a drawing agent's id, or any name."""
    n: int = 1
    ratio: float | None = None
    """Width by height. None means that we choose."""
    size: tuple[int, int] | None = None
    """Width and height, if the caller named pixels and not only a ratio."""
    quality: str = ""
    """The caller's own word. Empty means that we choose."""
    style: str = ""
    """Empty means no special style."""
    form: ImageForm = "url"


class VideoRequest(msgspec.Struct, frozen=True, kw_only=True):
    prompt: str
    model: str
    """The caller's own spelling. The answer repeats it."""
    image_url: str | None = None
    """The first frame: an http(s) or data URL."""
    last_image_url: str | None = None
    """The last frame. Only some models of the official API take one."""
    image_param: str = "image_url"
    """The caller's name for the first frame. Errors use it."""
    video_style: str = ""
    emotional_atmosphere: str = ""
    mirror_mode: str = ""
    audio: tuple[str, str] | None = None
    """The key and the id of the video's sound."""
    conversation_id: str = ""
    size: tuple[int, int] | None = None
    """Width and height. Only the official API takes a size, seconds, a quality, frames a second and sound."""
    seconds: float | None = None
    quality: str = ""
    fps: float | None = None
    with_audio: bool | None = None
    wait_s: float | None = None
    """None means as long as the host's deadline allows."""

    @property
    def draws_first_frame(self) -> bool:
        """The upstream first makes an image from the prompt, and then the video from the image."""
        return self.model.lower().removeprefix("web/") == "cogvideox-pro"


class VideoState(msgspec.Struct, frozen=True, kw_only=True):
    """One video job, as the upstream last described it."""

    id: str
    model: str
    created_at: int
    conversation_id: str
    status: JobState = "queued"
    progress: int = 0
    """Per cent, if the upstream sends it; 100 for a completed video."""
    completed_at: int | None = None
    video_url: str = ""
    cover_url: str = ""
    duration: str = ""
    """In the upstream's words: `6s`."""
    resolution: str = ""
    """In the upstream's words: `1440 × 960`."""
    error_code: str = ""
    error_message: str = ""

    @property
    def is_over(self) -> bool:
        return self.status in ("completed", "failed")
