"""The simulator: its state, and what a test, a demo or a benchmark does with it."""

from __future__ import annotations

import secrets
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from starlette.routing import Router

from .accounts import Account, AccountBook
from .auth import Nonces
from .chat import AGENTS
from .control import control_routes
from .conversations import Call, Conversation
from .drawing import file_routes
from .faults import Fault, Faults, make_reply
from .gate import gate_routes, refuse_unknown_path
from .generation import Generation
from .scenes import SCENES, read_tag
from .steps import Json, Scene, Step
from .uploads import StoredFile
from .videos import Video

FILE_BASE = "https://sfile.chatglm.cn"
VIDEO_POLL_S = 1.9
MAX_VIOLATIONS = 10_000
MAX_CONVERSATIONS = 5_000
"""Kept for inspection; the oldest deleted ones are forgotten first, so that long soaks stay flat."""

SceneLike = str | Scene | Sequence[Step]
"""A name (`"text chars=100"`), a function, or a list of steps."""


class Simulator:
    """chatglm.cn, imitated. Every method may be called from any thread."""

    def __init__(
        self,
        *,
        strict_rotation: bool = True,
        pace_s: float = 0.0,
        now: Callable[[], float] = time.time,
        linger_s: float = 0.3,
        close_delay_s: float = 0.0,
        max_calls: int = 10_000,
        replay_dir: Path | None = None,
    ) -> None:
        self.strict_rotation = strict_rotation
        self.pace_s = pace_s
        self.now = now
        self.linger_s = linger_s
        """How long an account stays busy after its client left without stop_stream."""
        self.close_delay_s = close_delay_s
        """Between the terminal event and the close of the stream."""
        self.replay_dir = replay_dir
        """Where the scene `replay` finds its files; without it, it finds none."""
        self.lock = threading.RLock()
        self.book = AccountBook(secret=secrets.token_bytes(32), now=self._read_clock)
        self.agents = dict(AGENTS)
        self.nonces = Nonces()
        self.faults = Faults()
        self.calls: list[Call] = []
        self.held_back: list[Call] = []
        """Calls that a fault delays just now."""
        self.resets = 0
        """How often all was forgotten: a call that was held back meanwhile is not carried out any more."""
        self.violations: list[str] = []
        self.conversations: dict[str, Conversation] = {}
        self.histories: dict[str, str] = {}
        """history_id → uid, of every answer that began."""
        self.files: dict[str, StoredFile] = {}
        """What was uploaded, by its id."""
        self.uploads_answer_lists = False
        """Whether the upload of 2026 answers with a list of one, as it does at times."""
        self.videos: dict[str, Video] = {}
        """What was ordered, by its chat_id."""
        self.sources: dict[str, str] = {}
        """First frames: whose each is."""
        self.video_poll_s = VIDEO_POLL_S
        """A video that is polled sooner than this after the last time is noted."""
        self.file_base = FILE_BASE
        """Where pictures and videos are said to be; this simulator's own root has them, too."""
        self._queues: dict[str | None, deque[SceneLike]] = defaultdict(deque)
        self._max_calls = max_calls
        routes = [*gate_routes(self), *control_routes(self), *file_routes(self)]
        self.app = Router(routes, default=refuse_unknown_path(self))

    # Accounts

    def add_account(
        self,
        *,
        nickname: str = "demo",
        uid: str | None = None,
        guest: bool = False,
        blocked: bool = False,
        strict_rotation: bool | None = None,
    ) -> str:
        """Make an account and return its refresh token."""
        strict = self.strict_rotation if strict_rotation is None else strict_rotation
        with self.lock:
            account = self.book.add(
                nickname=nickname, uid=uid, guest=guest, blocked=blocked, strict_rotation=strict
            )
            return account.refresh_token

    def account(self, uid_or_refresh_token: str) -> Account:
        """Find an account by its uid or any of its tokens; raise KeyError when there is none."""
        with self.lock:
            account = self.book.find(uid_or_refresh_token)
        if account is None:
            raise KeyError(f"no account for {uid_or_refresh_token[:12]!r}…")
        return account

    def log_in(self, uid: str) -> str:
        """Return a new refresh token, as a new login in a browser does; the old one counts as rotated."""
        with self.lock:
            return self.book.log_in(self.account(uid))

    def revoke(self, uid: str) -> None:
        """Kill the account's refresh tokens; access tokens go on until they expire."""
        with self.lock:
            account = self.account(uid)
            account.refused_tokens.update(account.past_refresh_tokens, [account.refresh_token])

    def block(self, uid: str, *, blocked: bool = True) -> None:
        with self.lock:
            self.account(uid).blocked = blocked

    def expire_access_tokens(self, uid: str | None = None) -> None:
        """Let no access token issued so far be accepted any more (40102)."""
        with self.lock:
            for account in self.book:
                if uid in (None, account.uid):
                    account.forget_access_tokens()

    # What comes next

    def play(self, scene: SceneLike, *, uid: str | None = None, times: int = 1) -> None:
        """Queue a scene for the next chat requests, of that account or of any."""
        if isinstance(scene, str):
            tag = read_tag(f"[scene:{scene}]")
            if tag is None or tag[0] not in SCENES:
                raise ValueError(f"expected one of {', '.join(sorted(SCENES))}; got {scene!r}")
        with self.lock:
            self._queues[uid].extend([scene] * times)

    def take_scene(self, uid: str) -> SceneLike | None:
        with self.lock:
            queue = self._queues.get(uid) or self._queues.get(None)
            return queue.popleft() if queue else None

    def fail(
        self,
        path_suffix: str,
        *,
        status: int | None = None,
        body: bytes | str | Json = b"",
        content_type: str = "application/json",
        times: int = 1,
        delay_s: float = 0.0,
        disconnect: bool = False,
        uid: str | None = None,
        late_s: float = 0.0,
    ) -> None:
        """Put something else in the place of the next answers; without a status, only delay them.

        `delay_s` passes before the call is carried out, `late_s` between that and its answer.
        """
        reply = make_reply(status, body, content_type)
        with self.lock:
            self.faults.add(Fault(path_suffix, reply, times, delay_s, disconnect, uid, late_s))

    # What happened

    def live_conversations(self, uid: str | None = None) -> list[str]:
        with self.lock:
            return [
                conversation.id
                for conversation in self.conversations.values()
                if not conversation.deleted and uid in (None, conversation.uid)
            ]

    def active_generations(self, uid: str | None = None) -> int:
        with self.lock:
            return sum(account.active_generations for account in self.book if uid in (None, account.uid))

    def calls_to(self, path_suffix: str) -> list[Call]:
        with self.lock:
            return [call for call in self.calls if call.path.endswith(path_suffix)]

    def reset(self, *, accounts: bool = False) -> None:
        """Forget what happened and what was queued; end what runs. Accounts and tokens stay unless asked."""
        self.stop_generations()
        with self.lock:
            self.resets += 1
            for memory in (self.calls, self.violations, self.conversations, self.histories, self._queues):
                memory.clear()
            self.files.clear()
            self.videos.clear()
            self.sources.clear()
            self.video_poll_s, self.file_base = VIDEO_POLL_S, FILE_BASE
            self.uploads_answer_lists = False
            self.faults.clear()
            if accounts:
                self.book.clear()

    def _read_clock(self) -> float:
        return self.now()  # looked up each time: a test may set another clock

    def stop_generations(self) -> None:
        with self.lock:
            for account in self.book:
                for generation in account.generations:
                    generation.stop()

    # Called by the endpoints

    def note(self, violation: str) -> None:
        with self.lock:
            if len(self.violations) < MAX_VIOLATIONS:
                self.violations.append(violation)

    def record(self, call: Call) -> None:
        with self.lock:
            self.calls.append(call)
            if len(self.calls) > self._max_calls:
                del self.calls[: self._max_calls // 10 + 1]

    def begin(self, generation: Generation) -> None:
        with self.lock:
            account = generation.account
            account.generations.append(generation)
            account.chats += 1
            account.max_overlap = max(account.max_overlap, len(account.generations))

    def announce(self, generation: Generation) -> None:
        """Let the conversation come to be: from now on the client can know its id."""
        with self.lock:
            self.histories[generation.cue.history_id] = generation.account.uid
            self.conversations.setdefault(generation.conversation.id, generation.conversation)
            if len(self.conversations) > MAX_CONVERSATIONS:
                self._forget_old()

    def _forget_old(self) -> None:
        deleted = [chat.id for chat in self.conversations.values() if chat.deleted]
        for conversation_id in deleted[: MAX_CONVERSATIONS // 5]:
            del self.conversations[conversation_id]
        for history_id in list(self.histories)[: max(0, len(self.histories) - MAX_CONVERSATIONS)]:
            del self.histories[history_id]

    def state(self) -> dict[str, Any]:
        """Summarise, for whoever looks over HTTP."""
        with self.lock:
            return {
                "accounts": [
                    {
                        "uid": account.uid,
                        "nickname": account.nickname,
                        "device_id": account.device_id,
                        "refresh_token": account.refresh_token,
                        "refresh_count": account.refresh_count,
                        "rotated_at": account.rotated_at,
                        "rotation_is_used": account.rotation_is_used,
                        "guest": account.guest,
                        "blocked": account.blocked,
                        "active_generations": account.active_generations,
                        "chats": account.chats,
                        "max_overlap": account.max_overlap,
                    }
                    for account in self.book
                ],
                "active_generations": self.active_generations(),
                "live_conversations": self.live_conversations(),
                "calls": len(self.calls),
                "last_calls": [f"{call.method} {call.path}" for call in self.calls[-20:]],
                "held_back": [
                    {"path": call.path, "uid": call.uid, "user_agent": call.headers["user-agent"]}
                    for call in self.held_back
                ],
                "violations": list(self.violations),
                "scenes": {entry.name: entry.about for entry in SCENES.values()},
            }
