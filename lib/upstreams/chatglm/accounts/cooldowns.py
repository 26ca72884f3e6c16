"""Cool-downs: for how long to leave an account alone, and the reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec
from msgspec.structs import replace

from lib.store import CLOCKS_APART_S
from lib.store.records import Records
from lib.store.seal import Place
from lib.store.shared import Altered, SharedState
from lib.upstreams.chatglm.accounts.account import Account, field_by_label

FIRST_THROTTLE_S = 30.0
MAX_THROTTLE_S = 1800.0
STRIKES_KEPT_S = 1800.0
"""A throttle counts as the first again if the last one ended this long ago."""
BUSY_ELSEWHERE_S = 3.0
"""A generation in the owner's browser takes seconds; the upstream does not tell its end."""
REFUSED_S = 600.0
BLOCKED_S = 180 * 86400.0
MIN_KEPT_S = 1.0
"""A record that says nothing more is written over the one before it, for so long."""

Reason = Literal["throttled", "busy", "refused", "blocked"]


class Cooling(msgspec.Struct, frozen=True):
    until: float
    reason: Reason
    code: str | None = None
    """The code of the error that a refusal answers with."""


Link = Callable[[Account], float]
"""Return the time of an account's last refresh that this process knows of; 0 if it knows none."""


def no_link(_: Account) -> float:
    return 0.0


class Refusal(msgspec.Struct, frozen=True, array_like=True):
    until: float
    code: str
    link: float = 0.0
    """The last link of the chain that the refused process knew. A process that has a later one goes on."""


class CoolDowns(msgspec.Struct, frozen=True):
    """All cool-downs of one label. They are one record, so that a lease costs one read."""

    throttled_until: float = 0.0
    strikes: int = 0
    busy_until: float = 0.0
    blocked_until: float = 0.0
    refused: Mapping[str, Refusal] = msgspec.field(default_factory=dict)
    """By the key of the token: a new token of the same account is not refused."""

    def of(self, account: Account, now: float, *, link: float = 0.0) -> Cooling | None:
        """Return the cool-down that ends last, if one lasts."""
        refusal = self.refused.get(account.key)
        if refusal is None or link > refusal.link:
            refusal = Refusal(0.0, "")
        each = (
            (Cooling(self.blocked_until, "blocked", "account_blocked"), BLOCKED_S),
            (Cooling(refusal.until, "refused", refusal.code), REFUSED_S),
            (Cooling(self.throttled_until, "throttled"), MAX_THROTTLE_S),
            (Cooling(self.busy_until, "busy"), BUSY_ELSEWHERE_S),
        )
        # A rest that ends later was written before a clock was set back, and is over.
        lasting = [
            cooling for cooling, life_s in each if now < cooling.until <= now + life_s + CLOCKS_APART_S
        ]
        return max(lasting, key=lambda cooling: cooling.until, default=None)

    def lasts_until(self) -> float:
        """Return the time after which the record says nothing."""
        strikes_until = self.throttled_until + STRIKES_KEPT_S if self.strikes else 0.0
        refused_until = max((refusal.until for refusal in self.refused.values()), default=0.0)
        return max(strikes_until, self.busy_until, self.blocked_until, refused_until)


RECORDS = Records(CoolDowns)


class CoolDownBook:
    """The cool-downs of all accounts, in the store.

    A change reads the record and writes it, and that is not atomic: only the holder of the lease makes one.
    With `at_release`, the end of the lease writes it, and no trip to the store is made for it.
    """

    def __init__(self, state: SharedState, *, now: Callable[[], float], link: Link = no_link) -> None:
        self._state = state
        self._now = now
        self._link = link

    async def cooling(self, account: Account) -> Cooling | None:
        return self._of(account, await self._state.recall(cool_place(account)))

    def found(self, account: Account, altered: Altered) -> Cooling | None:
        """Return the cool-down that a step on the account's record has read."""
        return self._of(account, self._state.learn(altered, cool_place(account)))

    def is_known(self, account: Account) -> bool:
        """Tell whether the account rests as far as this process knows, without asking the store."""
        return self._of(account, self._state.copy(cool_place(account))) is not None

    async def throttled(
        self, account: Account, retry_after_s: float | None = None, *, at_release: bool = False
    ) -> None:
        """The upstream wants fewer requests: rest for its own figure, or twice as long as the last time."""
        now = self._now()

        def change(old: CoolDowns) -> CoolDowns:
            # As in `of`: a throttle that ends later was written before a clock was set back.
            is_recent = -STRIKES_KEPT_S < old.throttled_until - now <= MAX_THROTTLE_S + CLOCKS_APART_S
            strikes = old.strikes if is_recent else 0
            wait_s = FIRST_THROTTLE_S * 2.0 ** min(strikes, 10) if retry_after_s is None else retry_after_s
            until = now + min(max(wait_s, 1.0), MAX_THROTTLE_S)
            return replace(old, throttled_until=until, strikes=strikes + 1)

        await self._change(account, change, at_release=at_release)

    async def busy_elsewhere(self, account: Account, *, at_release: bool = False) -> None:
        """A generation that no lease covers runs on the account, perhaps in the owner's browser."""
        until = self._now() + BUSY_ELSEWHERE_S
        await self._change(account, lambda old: replace(old, busy_until=until), at_release=at_release)

    async def refused(self, account: Account, code: str, *, at_release: bool = False) -> None:
        """The upstream does not take the token; another token of the same account may be taken."""
        now = self._now()
        refusal = Refusal(now + REFUSED_S, code, self._link(account))

        def change(old: CoolDowns) -> CoolDowns:
            living = {key: entry for key, entry in old.refused.items() if entry.until > now}
            return replace(old, refused={**living, account.key: refusal})

        await self._change(account, change, at_release=at_release)

    async def blocked(self, account: Account, *, at_release: bool = False) -> None:
        """The upstream blocked the account; it rests until `cleared`."""
        until = self._now() + BLOCKED_S
        await self._change(account, lambda old: replace(old, blocked_until=until), at_release=at_release)

    async def cleared(self, account: Account) -> None:
        """A check found the account in order: the upstream neither blocks it nor refuses its token."""

        def change(old: CoolDowns) -> CoolDowns:
            return replace(old, blocked_until=0.0, refused=_without(old.refused, account))

        await self._change(account, change, at_release=False)

    async def succeeded(self, account: Account, *, at_release: bool = False) -> None:
        """A request succeeded: the next throttle is a first, and no process is refused any more.

        This asks the store only after a throttle or a refusal.
        """
        known = _decode(self._state.copy(cool_place(account)))
        is_refused = account.key in known.refused
        if is_refused:
            self._state.doubt()  # The refused process had an older token: the store has lost the chain.

        def change(old: CoolDowns) -> CoolDowns:
            return replace(old, throttled_until=0.0, strikes=0, refused=_without(old.refused, account))

        if known.strikes or is_refused:
            await self._change(account, change, at_release=at_release)

    def _of(self, account: Account, text: str | None) -> Cooling | None:
        return None if text is None else _decode(text).of(account, self._now(), link=self._link(account))

    async def _change(
        self, account: Account, change: Callable[[CoolDowns], CoolDowns], *, at_release: bool
    ) -> None:
        place = cool_place(account)
        old = _decode(self._state.copy(place) if at_release else await self._state.recall(place))
        new = change(old)
        if new == old:
            return
        ttl_s = new.lasts_until() - self._now()
        if at_release:
            self._state.hold_back(place, RECORDS.encode(new), ttl_s=max(ttl_s, MIN_KEPT_S))
        elif ttl_s > 0:
            await self._state.keep(place, RECORDS.encode(new), ttl_s=ttl_s)
        else:
            await self._state.drop(place)


def _without(refused: Mapping[str, Refusal], account: Account) -> dict[str, Refusal]:
    return {key: refusal for key, refusal in refused.items() if key != account.key}


def _decode(text: str | None) -> CoolDowns:
    """Read a record; a foreign or broken one holds nothing against the account."""
    return RECORDS.decode(text) or CoolDowns()


def cool_place(account: Account) -> Place:
    return field_by_label("cool", account)
