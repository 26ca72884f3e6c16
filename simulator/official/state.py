"""The state of the simulated official API: keys, queued scenes, orders, earlier reasoning."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from simulator.journal import Journal

from .errors import Refused

Region = Literal["bigmodel", "zai"]


@dataclass(slots=True)
class Key:
    """An API key: 32 hex digits, a dot, 16 letters or digits."""

    text: str
    has_balance: bool = True
    is_plan: bool = False
    """A key of the Coding Plan: the general base answers 1113."""
    refused: str = ""
    """The error code of every call, such as 1003 for an expired key."""
    in_flight: Counter[str] = field(default_factory=Counter)
    max_in_flight: int = 0
    """The highest number of requests at once, over all models."""

    @property
    def label(self) -> str:
        return self.text.partition(".")[0]


@dataclass(slots=True)
class Order:
    """A video or an image that is made in the background."""

    id: str
    key: str
    kind: str
    model: str
    polls_left: int
    fails: bool


@dataclass(eq=False, kw_only=True)
class OfficialState(Journal):
    region: Region = "bigmodel"
    pace_s: float = 0.0
    now: Callable[[], float] = time.time
    keys: dict[str, Key] = field(default_factory=dict)
    queues: dict[str | None, deque[str]] = field(default_factory=lambda: defaultdict(deque))
    """The scenes that wait for chats of one key; under None, of any."""
    orders: dict[str, Order] = field(default_factory=dict)
    request_ids: set[str] = field(default_factory=set)
    reasonings: dict[str, str] = field(default_factory=dict)
    """By the id of a call: the reasoning of its turn. The client must send it back."""
    file_base: str = "https://sfile.chatglm.cn"

    def add_key(self, *, has_balance: bool = True, is_plan: bool = False, refused: str = "") -> str:
        """Make a key and return it."""
        text = f"{secrets.token_hex(16)}.{hashlib.sha256(secrets.token_bytes(8)).hexdigest()[:16]}"
        with self.lock:
            self.keys[text] = Key(text, has_balance=has_balance, is_plan=is_plan, refused=refused)
        return text

    def take_scene(self, key: Key) -> str | None:
        with self.lock:
            queue = self.queues.get(key.text) or self.queues.get(None)
            return queue.popleft() if queue else None

    def charge(self, key: Key, *, is_free: bool) -> None:
        """Refuse a paid model without balance, and a plan key in any case."""
        if key.is_plan or not (is_free or key.has_balance):
            raise Refused("1113")

    @contextmanager
    def running(self, key: Key, model: str, limit: int) -> Iterator[None]:
        """Count a request in flight; the one above the limit is refused at once (1302)."""
        with self.lock:
            if key.in_flight[model] >= limit:
                raise Refused("1302")
            key.in_flight[model] += 1
            key.max_in_flight = max(key.max_in_flight, key.in_flight.total())
        try:
            yield
        finally:
            with self.lock:
                key.in_flight[model] -= 1

    def active(self) -> int:
        with self.lock:
            return sum(key.in_flight.total() for key in self.keys.values())

    def reset(self, *, keys: bool = False) -> None:
        """Forget all that happened and all queued scenes. Keys stay unless asked."""
        with self.lock:
            self.clear()
            for memory in (self.queues, self.orders, self.request_ids, self.reasonings):
                memory.clear()
            if keys:
                self.keys.clear()
