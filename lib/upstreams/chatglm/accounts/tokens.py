"""Access tokens: one refresh for all requests that wait, in a chain of refresh tokens that must not break.

Every refresh makes a new refresh token and may end the old one (protocol.md §1.2). So nothing may come
between the upstream's answer and the store, and two refreshes of one chain must never run at once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec

from lib.errors import AccountRefused, GatewayError, NoAccountAvailable, UpstreamNotReached, UpstreamTimeout
from lib.store.circuit import REST_S
from lib.store.shared import SharedState
from lib.tasks import Tasks
from lib.upstreams.chatglm.accounts.account import Account, read_expiry, token_expiry
from lib.upstreams.chatglm.accounts.chain import (
    CHAIN_TTL_S,
    CHAINS,
    Chain,
    chain_place,
    lives,
    made_at,
    serves,
    will_do,
)
from lib.upstreams.chatglm.accounts.refresh_turn import Contest, Pauses, Turn

REFRESH_S = 22.0
"""The lock must be ours for so long when a refresh begins; the refresh itself gives up before."""
MAY_STILL_COME_S = 60.0
"""A process that was held up may still keep its new token so long after it began the refresh."""
MAX_LOST_LOCKS = 3
"""A process gives up if it was held up so often in a row between taking the lock and asking."""
AHEAD_S = 1800.0
"""After its last word, a request replaces an access token that lives no longer than this, or than a quarter
of its life: no later request waits for that."""


class Grant(msgspec.Struct, frozen=True):
    """The tokens that one refresh gives."""

    access_token: str
    refresh_token: str
    is_guest: bool = False

    def __repr__(self) -> str:
        return f"Grant(is_guest={self.is_guest})"


Refresh = Callable[[Account, str], Awaitable[Grant]]
"""Refresh with this token of the chain; raise AccountRefused if the upstream answers 40102 or 40103."""


class _LockLost(Exception):
    """This process was held up, and another may have refreshed meanwhile."""


class _Flight:
    """A refresh under way, and the access token that it replaces."""

    def __init__(self, refused: str) -> None:
        self.refused = refused
        self.task: asyncio.Task[str]
        self.waiting = 0
        """So many requests wait for it. Without any it does not begin to rotate."""
        self.is_rotating = False
        """The upstream has been asked, and the old token may be dead: the refresh must come to its end."""

    def set_off(self) -> None:
        if not self.waiting:
            raise _Abandoned
        self.is_rotating = True


class _Abandoned(Exception):
    """All requests that wanted a token have gone before the refresh was begun."""


class AccessTokens:
    """The access token of each account; serves one event loop. Processes with one store share the chains."""

    def __init__(
        self,
        state: SharedState,
        refresh: Refresh,
        *,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        must_be_kept: Callable[[Account], bool] = lambda _: False,
    ) -> None:
        """`must_be_kept`: tell if the account's first refresh waits until the store works."""
        self.state = state
        self._must_be_kept = must_be_kept
        self._refresh = refresh
        self._now = now
        self._pauses = Pauses(sleep, chance)
        self._flights: dict[str, _Flight] = {}
        self._tasks = Tasks()

    async def get(self, account: Account) -> str:
        """Return a token that lives for some minutes; if one is known, ask neither store nor upstream.

        Raise AccountRefused if the upstream accepts no token of the chain, or if the account is a guest's.
        """
        return await self._current(account, refused="")

    async def renew(self, account: Account, refused: str) -> str:
        """Return another token than the one that the upstream refused; raise as get() does."""
        return await self._current(account, refused)

    def is_from(self, account: Account, token: str, since: float) -> bool:
        """Tell whether a refresh gave this token at or after `since`: then another refresh is of no use.

        A token that was found in the store may be as old, and as dead, as the one before it.
        """
        chain = self._known(account)
        return chain is None or (chain.access_token == token and chain.made_at >= since)

    async def is_known(self, account: Account) -> bool:
        """Tell whether the upstream has ever taken this token, as far as the store remembers."""
        return self.remembers(account) or await self._recall(account) is not None

    def remembers(self, account: Account) -> bool:
        """Tell whether this process knows that the upstream has taken this token."""
        return self.state.copy(chain_place(account)) is not None

    def is_guest(self, account: Account) -> bool:
        """Tell if the last refresh, as far as this process knows it, gave a visitor's token."""
        chain = self._known(account)
        return chain is not None and not chain.access_token

    async def peek(self, account: Account) -> float | None:
        """Return the end of the chain's current refresh token; None if the token does not say."""
        chain = await self._recall(account)
        return account.expires_at if chain is None else read_expiry(chain.refresh_token)

    async def _current(self, account: Account, refused: str) -> str:
        place = chain_place(account)
        chain = CHAINS.decode(self.state.copy(place))
        if chain is not None and self._serves(chain, refused) and not self.state.wants_saving(place):
            return chain.access_token
        while True:
            flight = self._flights.get(account.key) or self._take_off(account, refused)
            try:
                token = await _wait_for(flight)
            except _Abandoned:  # It gave up just before this request came.
                self._land(account.key, flight)
                continue
            if token != refused or flight.refused == refused:
                return token

    def link(self, account: Account) -> float:
        """Return the time of the last refresh that this process knows of; 0 if it knows none."""
        chain = self._known(account)
        return 0.0 if chain is None else chain.made_at

    async def renew_ahead(self, account: Account) -> None:
        """Replace an access token with little life left, while no request waits for it."""
        chain, now = self._known(account), self._now()
        if chain is None or self.state.problem is not None or not lives(chain, "", now, for_s=0.0):
            return
        if chain.expires_at - now <= min(AHEAD_S, (chain.expires_at - chain.made_at) / 4):
            await self.renew(account, chain.access_token)

    async def settle(self) -> None:
        """Wait for the refreshes that are under way: their new tokens must not get lost."""
        for flight in list(self._flights.values()):
            await _see_to_its_end(flight)

    def _take_off(self, account: Account, refused: str) -> _Flight:
        """Start a task of its own: a waiting request may be cancelled, a rotation under way may not."""
        flight = _Flight(refused)
        flight.task = self._tasks.start(self._obtain(account, flight))
        self._flights[account.key] = flight
        flight.task.add_done_callback(lambda _: self._land(account.key, flight))
        return flight

    def _land(self, key: str, flight: _Flight) -> None:
        """Make room for the next flight before the requests that waited for this one go on."""
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not flight.task.cancelled():
            flight.task.exception()  # Retrieved: asyncio complains about an exception that no request saw.

    async def _obtain(self, account: Account, flight: _Flight) -> str:
        if self.state.wants_saving(chain_place(account)):
            await self._recall(account)
        chain = self._known(account)
        if chain is None or not self._will_do(chain, flight.refused):
            chain = await self._refresh_among_processes(account, flight)
        if not chain.access_token:
            raise AccountRefused(
                f"account {account.label} is a guest's: log in at chatglm.cn and take the refresh token then",
                code="guest_account",
            )
        return chain.access_token

    async def _refresh_among_processes(self, account: Account, flight: _Flight) -> Chain:
        contest = Contest(self.state, account, flight.refused, self._now, self._pauses)
        for _ in range(MAX_LOST_LOCKS):
            turn = await contest.turn_or_chain()
            if isinstance(turn, Chain):
                return turn
            try:
                return await self._go_on(account, turn, flight)
            except _LockLost:
                continue
            finally:
                await turn.end()
        raise UpstreamTimeout(
            f"account {account.label}: this process is held up too often to refresh its token"
        )

    async def _go_on(self, account: Account, turn: Turn, flight: _Flight) -> Chain:
        """Refresh with the chain's last token; if the upstream refuses that, once with the given one.

        The given token may be accepted: the upstream may be lax, and a store may be older than a new login.
        """
        refused, chain = flight.refused, self._known(account)
        if chain is None and self._must_be_kept(account) and not self.state.has_worked:
            raise NoAccountAvailable(
                f"The store has never worked in this process ({self.state.problem}), and could not keep the "
                f"new token of account {account.label}. See STORE_URL.",
                code="store_unavailable",
                retry_after_s=REST_S,
            )
        flight.set_off()
        last = account.refresh_token if chain is None else chain.refresh_token
        try:
            return await self._rotate(account, turn, last)
        except AccountRefused:
            latest = await self._recall(account)
            if latest is not None and self._serves(latest, refused):
                return latest  # Another process took over while this one was held up.
            if self.state.problem is not None:
                raise NoAccountAvailable(
                    f"The token of account {account.label} was refused, and the store, which may know its "
                    "successor, fails.",
                    retry_after_s=REST_S,
                    retry="elsewhere",
                ) from None
            turn.note_version()
            if latest is not None and latest.refresh_token != last:
                return await self._rotate(account, turn, latest.refresh_token)
            if last == account.refresh_token:
                raise
        return await self._rotate(account, turn, account.refresh_token)

    async def _rotate(self, account: Account, turn: Turn, token: str) -> Chain:
        """Refresh with this token, and keep the new one before any request uses it. The note is there.

        A crash between the upstream's answer and the store loses the account, and nothing can help that. The
        note stays, and a later refusal can say the reason.
        """
        if not await turn.lock.confirm(for_s=REFRESH_S):
            raise _LockLost
        asked_at = self._now()
        turn.is_open = True
        try:
            grant = await self._refresh(account, token)
        except (AccountRefused, UpstreamNotReached) as error:
            turn.is_open = False
            if turn.cut_off is None or isinstance(error, UpstreamNotReached):
                raise
            raise _cut_off(error, turn.cut_off.begun_at, self._now()) from error
        return await self._persist(turn, grant, refreshed_with=token, asked_at=asked_at)

    async def _persist(self, turn: Turn, grant: Grant, *, refreshed_with: str, asked_at: float) -> Chain:
        """Keep the chain before any request uses it; a guest's chain too, without its access token."""
        chain = Chain(
            refresh_token=grant.refresh_token or refreshed_with,
            access_token="" if grant.is_guest else grant.access_token,
            expires_at=token_expiry(grant.access_token, now=self._now()),
            made_at=asked_at,
        )
        await turn.keep(chain)
        return chain

    def _known(self, account: Account) -> Chain | None:
        return CHAINS.decode(self.state.copy(chain_place(account)))

    async def _recall(self, account: Account) -> Chain | None:
        return CHAINS.decode(await self.state.recall(chain_place(account), rank=made_at, ttl_s=CHAIN_TTL_S))

    def _serves(self, chain: Chain, refused: str) -> bool:
        return serves(chain, refused, self._now())

    def _will_do(self, chain: Chain, refused: str) -> bool:
        return will_do(chain, refused, self._now(), has_problem=self.state.problem is not None)


def _cut_off(refusal: AccountRefused, begun_at: float, now: float) -> GatewayError:
    """Name the probable reason for the refusal of a token, after a refresh with an unknown end."""
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(begun_at))
    words = f"{refusal.message} A refresh begun at {when} was cut off before its new token could be kept."
    if now - begun_at < MAY_STILL_COME_S:
        return NoAccountAvailable(words, retry_after_s=REST_S, retry="elsewhere")
    return AccountRefused(words, code=refusal.code)


async def _wait_for(flight: _Flight) -> str:
    """Wait for the token. A cancelled request stays until a rotation under way is safe.

    Its end would let a serverless host freeze the process, or a server close its store: the upstream's new
    token would be lost, and the account with it.
    """
    flight.waiting += 1
    try:
        return await asyncio.shield(flight.task)
    except asyncio.CancelledError:
        if flight.is_rotating:
            await _see_to_its_end(flight)
        raise
    finally:
        flight.waiting -= 1


async def _see_to_its_end(flight: _Flight) -> None:
    """Wait, however often cancelled: the refresh bounds its own time."""
    while not flight.task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({flight.task})
