"""What the tests of accounts hand in: tokens, clocks, stores with faults, a loop whose time jumps."""

from __future__ import annotations

import asyncio
import base64
import json
import selectors
from collections.abc import Callable

from lib.store import Change, Outcome, Store
from lib.store.memory import MemoryStore
from lib.store.shared import SharedState
from lib.upstreams.chatglm.accounts.account import Account, parse_account

EPOCH = 1_790_000_000.0


class Clock:
    def __init__(self) -> None:
        self.time = EPOCH

    def __call__(self) -> float:
        return self.time


def shared(store: Store, now: Callable[[], float]) -> SharedState:
    """What one process makes of the store."""
    return SharedState(store, now=now)


def make_jwt(**claims: object) -> str:
    def encode(part: dict[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")

    return f"{encode({'alg': 'HS256', 'typ': 'JWT'})}.{encode(claims)}.c2lnbmF0dXJl"


def make_account(uid: str, *, login: int = 1) -> Account:
    return parse_account(make_jwt(type="refresh", uid=uid, jti=login, exp=EPOCH + 180 * 86400))


class JumpingSelector(selectors.DefaultSelector):
    """Where a loop would sleep, its time jumps."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        events = super().select(0)
        if not events:
            self.time += timeout
        return events


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop that never sleeps: a minute takes no time, and the same happens in every run."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.time


def loop_time() -> float:
    """The wall clock that goes with a JumpingLoop."""
    return EPOCH + asyncio.get_running_loop().time()


class FaultyStore(MemoryStore):
    """A store that can be lost, and that counts and delays what it is asked."""

    def __init__(
        self, *, now: Callable[[], float] = loop_time, delay: Callable[[], float] | None = None
    ) -> None:
        super().__init__(now=now)
        self.is_lost = False
        self.asked: list[str] = []
        self.delay = delay

    async def get(self, key: str) -> str | None:
        await self._pretend("get", key)
        return await super().get(key)

    async def put(self, key: str, value: str, *, ttl_s: float, instead_of: str | None = None) -> bool:
        await self._pretend("put", key)
        return await super().put(key, value, ttl_s=ttl_s, instead_of=instead_of)

    async def add(self, key: str, value: str, *, ttl_s: float) -> bool:
        await self._pretend("add", key)
        added = await super().add(key, value, ttl_s=ttl_s)
        if self.delay is not None:
            await asyncio.sleep(self.delay())  # cancelled here, it has been written all the same
        return added

    async def remove(self, key: str, value: str) -> bool:
        await self._pretend("remove", key)
        return await super().remove(key, value)

    async def alter(self, record: str, change: Change, /) -> Outcome:
        names = change.reads if change.is_read_only else (*change.puts, *change.drops)
        operation = "read" if change.is_read_only else "put" if change.puts else "drop"
        await self._pretend(operation, " ".join(name.partition(":")[0] for name in names))
        outcome = await super().alter(record, change)
        if self.delay is not None and change.puts:
            await asyncio.sleep(self.delay())  # cancelled here, it has been written all the same
        return outcome

    async def _pretend(self, operation: str, key: str) -> None:
        self.asked.append(f"{operation} {key.partition(':')[0]}")
        if self.delay is not None:
            await asyncio.sleep(self.delay())
        if self.is_lost:
            raise ConnectionError("no store at redis://:secret@host")

    def take_asked(self) -> list[str]:
        asked, self.asked = self.asked, []
        return asked
