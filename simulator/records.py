"""The records that the simulator keeps: calls, conversations with their turns, uploaded files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    method: str
    path: str
    """Below the base, without its slash: `backend-api/assistant/stream`."""
    headers: dict[str, str]
    """Names in lower case."""
    query: dict[str, str]
    json: Any
    """The decoded body; None if it is empty or not JSON."""
    at: float
    uid: str | None
    """The owner of the call's token, if the token is live."""
    raw: bytes = field(default=b"", repr=False)
    """The body as it came. It is kept for uploads of first frames only: their size in pixels is checked."""

    @property
    def name(self) -> str:
        """Shorten the path as violations do: `assistant/stream`."""
        return self.path.partition("-api/")[2]


@dataclass(frozen=True, slots=True)
class Turn:
    prompt: str
    answer: str
    """The text until the end, or until the answer was stopped."""
    reasoning: str
    scene: str
    history_id: str
    args: Mapping[str, str] = field(default_factory=dict)
    """The arguments of the scene."""
    erred: bool = False
    """True if the scene made a mistake on purpose."""


@dataclass(slots=True)
class Conversation:
    id: str
    uid: str
    assistant_id: str
    updated_at: float
    turns: list[Turn] = field(default_factory=list)
    deleted_at: float | None = None
    """By a clock that only goes forward."""
    stopped: bool = False
    """True if stop_stream ended the last generation."""

    @property
    def deleted(self) -> bool:
        return self.deleted_at is not None


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that an account has uploaded, without its bytes."""

    id: str
    uid: str
    path: str
    """The endpoint that took it."""
    name: str
    content_type: str
    size: int
    sha256: str

    @property
    def url(self) -> str:
        return f"https://sfile.chatglm.cn/testpath/{self.id}{PurePosixPath(self.name).suffix}"

    @property
    def is_image(self) -> bool:
        return self.content_type.startswith("image/")
