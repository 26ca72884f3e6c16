"""The state of the simulated chatglm.cn: everything that its endpoints read and change."""

from __future__ import annotations

import secrets
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from simulator.journal import Journal
from simulator.records import Conversation, StoredFile
from simulator.steps import Scene, Step
from simulator.videos import Video

from .accounts import AccountBook
from .auth import Nonces
from .catalogue import AGENTS

FILE_BASE = "https://sfile.chatglm.cn"
VIDEO_POLL_S = 1.9
MAX_CONVERSATIONS = 5_000
"""So many are kept. The oldest deleted ones are dropped first, so that long soaks stay flat."""

SceneLike = str | Scene | Sequence[Step]
"""A name (`"text chars=100"`), a function, or a list of steps."""


@dataclass(eq=False, kw_only=True)
class Options:
    """The settings of a simulator; a test may change them at any time."""

    strict_rotation: bool = True
    """True if a refresh token is refused after its rotation."""
    pace_s: float = 0.0
    now: Callable[[], float] = time.time
    linger_s: float = 0.3
    """An account stays busy for so long after its client left without stop_stream."""
    close_delay_s: float = 0.0
    """The time between the terminal event and the close of the stream."""
    replay_dir: Path | None = None
    """The folder of the scene `replay`; without it, the scene finds no file."""
    answer_lost_after_s: float = 0.4
    """A second deletion is no violation after this time: the answer to the first one may be lost."""
    video_poll_s: float = VIDEO_POLL_S
    """A poll that comes sooner after the one before is a violation."""
    file_base: str = FILE_BASE
    """The address of pictures and videos in answers; this simulator's own root serves them too."""
    uploads_answer_lists: bool = False
    """True if the upload of 2026 answers with a list of one, as it does at times."""


@dataclass(eq=False, kw_only=True)
class Holdings:
    """The things that belong to accounts."""

    conversations: dict[str, Conversation] = field(default_factory=dict)
    histories: dict[str, str] = field(default_factory=dict)
    """history_id → uid, for every answer that has begun."""
    files: dict[str, StoredFile] = field(default_factory=dict)
    """Uploaded files by their id."""
    videos: dict[str, Video] = field(default_factory=dict)
    """Ordered videos by their chat_id."""
    sources: dict[str, str] = field(default_factory=dict)
    """The owners of uploaded first frames: source_id → uid."""

    def forget_holdings(self) -> None:
        for memory in (self.conversations, self.histories, self.files, self.videos, self.sources):
            memory.clear()

    def keep(self, conversation: Conversation, *, history_id: str) -> None:
        """Keep a conversation from its first event on: the client can know its id."""
        self.histories[history_id] = conversation.uid
        self.conversations.setdefault(conversation.id, conversation)
        if len(self.conversations) > MAX_CONVERSATIONS:
            self._forget_old()

    def _forget_old(self) -> None:
        deleted = [chat.id for chat in self.conversations.values() if chat.deleted]
        for conversation_id in deleted[: MAX_CONVERSATIONS // 5]:
            del self.conversations[conversation_id]
        for history_id in list(self.histories)[: max(0, len(self.histories) - MAX_CONVERSATIONS)]:
            del self.histories[history_id]


@dataclass(eq=False, kw_only=True)
class State(Options, Holdings, Journal):
    """Everything that the endpoints share; changed under `lock` only."""

    book: AccountBook = field(init=False)
    agents: dict[str, str] = field(default_factory=lambda: dict(AGENTS))
    nonces: Nonces = field(default_factory=Nonces)
    queues: dict[str | None, deque[SceneLike]] = field(default_factory=lambda: defaultdict(deque))
    """The scenes that wait for chats of one account; under None, of any."""

    def __post_init__(self) -> None:
        self.book = AccountBook(secret=secrets.token_bytes(32), now=self._read_clock)

    def _read_clock(self) -> float:
        return self.now()  # looked up each time: a test may set another clock

    def take_scene(self, uid: str) -> SceneLike | None:
        with self.lock:
            queue = self.queues.get(uid) or self.queues.get(None)
            return queue.popleft() if queue else None
