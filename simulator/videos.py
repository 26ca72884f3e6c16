"""A video that an account has ordered, and the measures of its first frame."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Video:
    id: str
    uid: str
    conversation_id: str
    prompt: str
    source_list: list[str]
    extra: dict[str, Any]
    scene: str
    queue: int
    """The number of polls that find the video waiting."""
    work: int
    """The number of polls that find it in progress."""
    polls: int = 0
    polled_at: float = float("-inf")
    sounds: list[tuple[str, str]] = field(default_factory=list)
    deleted: bool = False

    @property
    def is_over(self) -> bool:
        return self.polls > self.queue + self.work


def jpeg_size(raw: bytes) -> tuple[int, int] | None:
    """Find width and height of the first JPEG in some bytes, by its frame header (SOF0 or SOF2)."""
    found = re.search(rb"\xff[\xc0\xc2]\x00\x11\x08(....)", raw, re.DOTALL)
    if found is None or b"\xff\xd8\xff" not in raw:
        return None
    height, width = struct.unpack(">HH", found[1])
    return width, height
