"""The methods for tests, demos and benchmarks: accounts, scenes, a look at the state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from simulator.scenes import SCENES, read_tag

from .accounts import Account
from .state import FILE_BASE, VIDEO_POLL_S, SceneLike, State


@dataclass(eq=False, kw_only=True)
class Direction(State):
    """Every method may be called from any thread."""

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
        """Find an account by its uid or any of its tokens; raise KeyError if it does not exist."""
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
        """Kill the account's refresh tokens; access tokens live until they expire."""
        with self.lock:
            account = self.account(uid)
            account.refused_tokens.update(account.past_refresh_tokens, [account.refresh_token])

    def block(self, uid: str, *, blocked: bool = True) -> None:
        with self.lock:
            self.account(uid).blocked = blocked

    def expire_access_tokens(self, uid: str | None = None) -> None:
        """Refuse all access tokens issued so far (40102)."""
        with self.lock:
            for account in self.book:
                if uid in (None, account.uid):
                    account.forget_access_tokens()

    def play(self, scene: SceneLike, *, uid: str | None = None, times: int = 1) -> None:
        """Queue a scene for the next chat requests of that account, or of any."""
        if isinstance(scene, str):
            tag = read_tag(f"[scene:{scene}]")
            if tag is None or tag[0] not in SCENES:
                raise ValueError(f"expected one of {', '.join(sorted(SCENES))}; got {scene!r}")
        with self.lock:
            self.queues[uid].extend([scene] * times)

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

    def stop_generations(self) -> None:
        with self.lock:
            for account in self.book:
                for generation in account.generations:
                    generation.stop()

    def reset(self, *, accounts: bool = False) -> None:
        """Forget all that happened and all queued scenes; end all answers. Accounts stay unless asked."""
        self.stop_generations()
        with self.lock:
            self.clear()
            self.forget_holdings()
            self.queues.clear()
            self.video_poll_s, self.file_base = VIDEO_POLL_S, FILE_BASE
            self.uploads_answer_lists = False
            if accounts:
                self.book.clear()

    def state(self) -> dict[str, Any]:
        """Summarise the state for a reader over HTTP."""
        with self.lock:
            return {
                "accounts": [_describe(account) for account in self.book],
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


def _describe(account: Account) -> dict[str, Any]:
    names = (
        "uid nickname device_id refresh_token refresh_count rotated_at rotation_is_used guest blocked "
        "active_generations chats max_overlap"
    )
    return {name: getattr(account, name) for name in names.split()}
