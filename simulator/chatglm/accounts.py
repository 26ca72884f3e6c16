"""The accounts that the simulator knows, and their tokens."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from .generation import Generation
from .tokens import ACCESS_LIFETIME_S, REFRESH_LIFETIME_S, read_token, sign_token

TokenType = Literal["refresh", "access"]
Bearer = Literal["refresh", "access", "none"]
"""The kind of token that an endpoint asks for."""

MAX_ACCESS_TOKENS = 100
"""An account keeps so many and forgets the oldest first; a gateway renews its token long before."""


@dataclass(slots=True)
class Account:
    uid: str
    nickname: str
    device_id: str
    guest: bool
    blocked: bool
    strict_rotation: bool
    refresh_token: str = ""
    past_refresh_tokens: list[str] = field(default_factory=list)
    refused_tokens: set[str] = field(default_factory=set)
    """Refresh tokens that `Simulator.revoke` has killed."""
    access_tokens: dict[str, None] = field(default_factory=dict)
    """The live ones, oldest first."""
    newest_access_token: str = ""
    rotated_at: float = 0.0
    rotation_is_used: bool = True
    """True once a call has carried the newest access token: the answer to the refresh has arrived."""
    refresh_count: int = 0
    refreshes_in_flight: int = 0
    generations: list[Generation] = field(default_factory=list)
    """The ones that run at the moment."""
    chats: int = 0
    max_overlap: int = 0
    """The highest number of generations at once; above 1 is a violation."""

    @property
    def active_generations(self) -> int:
        return len(self.generations)

    def accepts_refresh_token(self, token: str) -> bool:
        if token in self.refused_tokens:
            return False
        if token == self.refresh_token:
            return True
        return not self.strict_rotation and token in self.past_refresh_tokens

    def forget_access_tokens(self) -> None:
        self.access_tokens.clear()


NOBODY = Account("", "", "", guest=True, blocked=False, strict_rotation=True)
"""The caller of an endpoint that asks for no bearer."""


class AccountBook:
    """Issue and recognise tokens."""

    def __init__(self, *, secret: bytes, now: Callable[[], float]) -> None:
        self._secret = secret
        self._now = now
        self._by_uid: dict[str, Account] = {}

    def __iter__(self) -> Any:
        return iter(list(self._by_uid.values()))

    def clear(self) -> None:
        self._by_uid.clear()

    def add(
        self, *, nickname: str, uid: str | None, guest: bool, blocked: bool, strict_rotation: bool
    ) -> Account:
        uid = uid or uuid.uuid4().hex[:24]
        if uid in self._by_uid:
            raise ValueError(f"expected a new uid, got {uid!r} again")
        account = Account(
            uid=uid,
            nickname=nickname,
            device_id=uuid.uuid4().hex,
            guest=guest,
            blocked=blocked,
            strict_rotation=strict_rotation,
        )
        account.refresh_token = self._issue(account, "refresh")
        self._by_uid[uid] = account
        return account

    def find(self, uid_or_token: str) -> Account | None:
        """Look up by uid, or by any token that was ever issued to the account."""
        if uid_or_token in self._by_uid:
            return self._by_uid[uid_or_token]
        claims = read_token(uid_or_token, self._secret)
        return self._by_uid.get(str(claims.get("uid"))) if claims else None

    def read_unexpired(self, token: str) -> tuple[Account, str] | None:
        """Return the token's account and type; None if the token is not ours, or has expired."""
        claims = read_token(token, self._secret)
        if claims is None or not claims["nbf"] <= self._now() < claims["exp"]:
            return None
        account = self._by_uid.get(claims["uid"])
        return (account, claims["type"]) if account else None

    def log_in(self, account: Account) -> str:
        """Issue a refresh token without a refresh, as a new login in a browser does."""
        account.past_refresh_tokens.append(account.refresh_token)
        account.refresh_token = self._issue(account, "refresh")
        return account.refresh_token

    def rotate(self, account: Account) -> tuple[str, str]:
        """Return a new access token and a new refresh token."""
        refresh_token = self.log_in(account)
        account.refresh_count += 1
        access_token = self._issue(account, "access")
        account.access_tokens[access_token] = None
        account.newest_access_token, account.rotation_is_used = access_token, False
        account.rotated_at = self._now()
        while len(account.access_tokens) > MAX_ACCESS_TOKENS:
            del account.access_tokens[next(iter(account.access_tokens))]
        return access_token, refresh_token

    def _issue(self, account: Account, token_type: TokenType) -> str:
        issued_at = int(self._now())
        lifetime_s = REFRESH_LIFETIME_S if token_type == "refresh" else ACCESS_LIFETIME_S
        claims = {
            "sub": account.nickname,  # a nickname, not an id: protocol.md §1.1
            "exp": issued_at + lifetime_s,
            "nbf": issued_at,
            "iat": issued_at,
            "jti": uuid.uuid4().hex,
            "uid": account.uid,
            "device_id": account.device_id,
            "type": token_type,
        }
        return sign_token(claims, self._secret)
