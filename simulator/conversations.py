"""What the simulator remembers of chats and of the calls it was sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Turn:
    prompt: str
    answer: str
    """What was said until the end, or until it was stopped."""
    reasoning: str
    scene: str
    history_id: str


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
    """Whether its last generation was ended by stop_stream."""

    @property
    def deleted(self) -> bool:
        return self.deleted_at is not None


@dataclass(frozen=True, slots=True)
class Call:
    method: str
    path: str
    """Below the base, without its slash: `backend-api/assistant/stream`."""
    headers: dict[str, str]
    """Names in lower case."""
    query: dict[str, str]
    json: Any
    """The decoded body; None when there was none, or when it was not JSON."""
    at: float
    uid: str | None
    """Whose token it carried, if it was a live one."""
    raw: bytes = field(default=b"", repr=False)
    """The body as it came, of uploads for videos alone: a first frame is looked at."""

    @property
    def name(self) -> str:
        """Shorten the path as violations do: `assistant/stream`."""
        return self.path.partition("-api/")[2]
