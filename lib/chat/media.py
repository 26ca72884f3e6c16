"""Requests for images and videos and what becomes of them, free of any client's spelling."""

from __future__ import annotations

from typing import Literal

import msgspec

ImageForm = Literal["url", "b64_json"]
JobState = Literal["queued", "in_progress", "completed", "failed"]


class Attempt(msgspec.Struct, frozen=True):
    """The marks that tell a repeated request from a second wish for the same thing."""

    idempotency_key: str = ""
    is_repeated: bool = False


class ImageRequest(msgspec.Struct, frozen=True, kw_only=True):
    prompt: str
    model: str = ""
    """As the caller wrote it; a drawing agent's id, or any name."""
    n: int = 1
    ratio: float | None = None
    """Width by height; None: the caller leaves it to us."""
    style: str = ""
    """Empty: none in particular."""
    form: ImageForm = "url"


class VideoRequest(msgspec.Struct, frozen=True, kw_only=True):
    prompt: str
    model: str
    """As the caller wrote it; echoed."""
    image_url: str | None = None
    """The first frame, an http(s) or data URL."""
    image_param: str = "image_url"
    """What the caller calls it, for messages."""
    video_style: str = ""
    emotional_atmosphere: str = ""
    mirror_mode: str = ""
    audio: tuple[str, str] | None = None
    """The key and the id of a sound to put under the video."""
    conversation_id: str = ""
    wait_s: float | None = None
    """None: as long as the host's deadline allows."""

    @property
    def draws_first_frame(self) -> bool:
        """Whether an image is to be made from the prompt first, and the video from it."""
        return self.model.lower() == "cogvideox-pro"


class VideoState(msgspec.Struct, frozen=True, kw_only=True):
    """One video job, as it was when the upstream was asked last."""

    id: str
    model: str
    created_at: int
    conversation_id: str
    status: JobState = "queued"
    progress: int = 0
    """Per cent, where the upstream tells; 100 when completed."""
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
