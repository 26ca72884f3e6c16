"""Accounts that had better be left alone for a while, and why."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from lib.store.seal import Place
from lib.store.shared import SharedState
from lib.upstreams.chatglm.accounts.account import Account, place_by_label

FIRST_THROTTLE_S = 30.0
LONGEST_THROTTLE_S = 1800.0
STRIKES_KEPT_S = 1800.0
"""A throttle this long after the last one's end begins again at the first."""
BUSY_ELSEWHERE_S = 3.0
"""The owner's browser is generating: it takes seconds, and nothing tells when it ends."""
REFUSED_S = 600.0
BLOCKED_S = 180 * 86400.0

Reason = Literal["throttled", "busy", "refused", "blocked"]


class Cooling(msgspec.Struct, frozen=True):
    until: float
    reason: Reason
    code: str | None = None
    """For a refusal: the error code that it answers with."""


class CoolDowns(msgspec.Struct, frozen=True):
    """All that holds for one label. One record, so that a lease costs one read."""

    throttled_until: float = 0.0
    strikes: int = 0
    busy_until: float = 0.0
    blocked_until: float = 0.0
    refused: Mapping[str, tuple[float, str]] = msgspec.field(default_factory=dict)
    """By the key of the token: a new token for the same account starts afresh."""

    def of(self, account: Account, now: float) -> Cooling | None:
        """What keeps this account longest, if anything does."""
        refused_until, code = self.refused.get(account.key, (0.0, ""))
        longest = max(
            Cooling(self.blocked_until, "blocked", "account_blocked"),
            Cooling(refused_until, "refused", code),
            Cooling(self.throttled_until, "throttled"),
            Cooling(self.busy_until, "busy"),
            key=lambda cooling: cooling.until,
        )
        return longest if longest.until > now else None

    def lasts_until(self) -> float:
        """When nothing in it matters any more."""
        strikes_until = self.throttled_until + STRIKES_KEPT_S if self.strikes else 0.0
        refused_until = max((until for until, _ in self.refused.values()), default=0.0)
        return max(strikes_until, self.busy_until, self.blocked_until, refused_until)


def encode_cool_downs(cool_downs: CoolDowns) -> str:
    return json.dumps(
        {
            "throttled": [cool_downs.throttled_until, cool_downs.strikes],
            "busy": cool_downs.busy_until,
            "blocked": cool_downs.blocked_until,
            "refused": dict(cool_downs.refused),
        },
        separators=(",", ":"),
    )


def decode_cool_downs(text: str | None) -> CoolDowns:
    """Read a record; a foreign or broken one holds nothing against anybody."""
    if text is None:
        return CoolDowns()
    try:
        record: Any = json.loads(text)
        throttled_until, strikes = record["throttled"]
        return CoolDowns(
            throttled_until=float(throttled_until),
            strikes=int(strikes),
            busy_until=float(record["busy"]),
            blocked_until=float(record["blocked"]),
            refused={key: (float(until), str(code)) for key, (until, code) in record["refused"].items()},
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return CoolDowns()


class CoolDownBook:
    """Reads and writes them. Read, change, write is not atomic; whoever writes holds the account's lease."""

    def __init__(self, state: SharedState, *, now: Callable[[], float]) -> None:
        self._state = state
        self._now = now

    async def cooling(self, account: Account) -> Cooling | None:
        text = await self._state.recall(_place(account))
        return None if text is None else decode_cool_downs(text).of(account, self._now())

    async def throttled(self, account: Account, retry_after_s: float | None = None) -> None:
        """Believe the upstream's own figure; without one wait twice as long as the last time."""
        old, now = await self._read(account), self._now()
        strikes = old.strikes if old.throttled_until + STRIKES_KEPT_S > now else 0
        wait_s = FIRST_THROTTLE_S * 2.0 ** min(strikes, 10) if retry_after_s is None else retry_after_s
        until = now + min(max(wait_s, 1.0), LONGEST_THROTTLE_S)
        await self._write(account, replace(old, throttled_until=until, strikes=strikes + 1))

    async def busy_elsewhere(self, account: Account) -> None:
        old = await self._read(account)
        await self._write(account, replace(old, busy_until=self._now() + BUSY_ELSEWHERE_S))

    async def refused(self, account: Account, code: str) -> None:
        old, now = await self._read(account), self._now()
        living = {key: entry for key, entry in old.refused.items() if entry[0] > now}
        await self._write(account, replace(old, refused={**living, account.key: (now + REFUSED_S, code)}))

    async def blocked(self, account: Account) -> None:
        old = await self._read(account)
        await self._write(account, replace(old, blocked_until=self._now() + BLOCKED_S))

    async def cleared(self, account: Account) -> None:
        """A check found the account in order: it is neither blocked nor is its token refused."""
        old = await self._read(account)
        others = {key: entry for key, entry in old.refused.items() if key != account.key}
        new = replace(old, blocked_until=0.0, refused=others)
        if new != old:
            await self._write(account, new)

    async def succeeded(self, account: Account) -> None:
        """Begin the doubling again. Costs nothing unless this process knows of a throttle."""
        if decode_cool_downs(self._state.copy(_place(account))).strikes:
            old = await self._read(account)
            await self._write(account, replace(old, throttled_until=0.0, strikes=0))

    async def _read(self, account: Account) -> CoolDowns:
        return decode_cool_downs(await self._state.recall(_place(account)))

    async def _write(self, account: Account, cool_downs: CoolDowns) -> None:
        ttl_s = cool_downs.lasts_until() - self._now()
        if ttl_s > 0:
            await self._state.keep(_place(account), encode_cool_downs(cool_downs), ttl_s=ttl_s)
        else:
            await self._state.drop(_place(account))


def _place(account: Account) -> Place:
    return place_by_label("cool", account)
