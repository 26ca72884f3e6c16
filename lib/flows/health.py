"""How the gateway is doing: what is configured, whether the store works, and to its owner everything."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from time import time
from typing import TYPE_CHECKING, Literal

import msgspec

from lib.errors import AccountRefused, GatewayError
from lib.settings import Settings

if TYPE_CHECKING:
    from lib.upstreams.chatglm.accounts.account import Account
    from lib.upstreams.chatglm.gateway import Gateway

PROBE_TIMEOUT_S = 2.0
"""How long the answer to whoever just looks may wait for the store."""
BUDGET_S = 20.0
"""For everything: API Gateway ends a request after 29 s. What it does not suffice for is not checked."""
LEFT_S = 4.0
"""Of the host's time, for the answer."""
PAUSE_S = 0.3
"""Between two accounts that the upstream is asked for: it dislikes bursts."""
EXPIRES_SOON_DAYS = 14.0
CLOCK_TOLERANCE_S = 60.0
"""The upstream refuses signatures that are some minutes off; the gateway then corrects itself."""

State = Literal["alive", "guest", "blocked", "refused", "unusable", "unknown", "not_checked"]


class Health(msgspec.Struct, frozen=True):
    """What anybody may know. `notes` are sentences for the owner."""

    status: Literal["ok", "degraded"]
    accounts: int
    api_keys: int
    passthrough: bool
    store: str
    store_works: bool
    default_model: str
    web_search_by_default: bool
    max_duration_s: float | None
    notes: list[str]


class AccountHealth(msgspec.Struct, frozen=True, kw_only=True):
    token: int
    """Its place in CHATGLM_REFRESH_TOKENS, from 1."""
    label: str | None = None
    state: State
    problem: str | None = None
    is_remembered: bool = False
    """Checked within the last ten minutes, and not again."""
    refresh_token_expires: str | None = None
    days_left: float | None = None
    use: Literal["free", "leased", "cooling"] | None = None
    until: str | None = None
    """When it has cooled down."""
    reason: str | None = None


class StoreHealth(msgspec.Struct, frozen=True):
    scheme: str
    works: bool
    round_trip_ms: float | None
    """A write, a read and a removal."""
    problem: str | None


class ClockHealth(msgspec.Struct, frozen=True):
    offset_s: float | None
    """What the upstream's clock is ahead of ours."""
    problem: str | None


class DeepHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner may know."""

    status: Literal["ok", "degraded"]
    notes: list[str]
    accounts: list[AccountHealth]
    store: StoreHealth
    clock: ClockHealth
    streaming: str
    versions: dict[str, str]
    settings: Health
    seconds: float


async def look(settings: Settings) -> Health:
    """Say what is configured and whether the store works, soon and without asking the upstream."""
    scheme = settings.store_url.partition(":")[0]
    problem = None if scheme == "memory" else await _store_problem(settings)
    notes = settings.gaps()
    if problem is not None:
        notes.append(_store_note(scheme, problem))
    return Health(
        status="degraded" if notes else "ok",
        accounts=len(settings.refresh_tokens),
        api_keys=len(settings.api_keys),
        passthrough=settings.allow_passthrough,
        store=scheme,
        store_works=problem is None,
        default_model=settings.default_model,
        web_search_by_default=settings.web_search,
        max_duration_s=settings.max_duration_s,
        notes=notes,
    )


async def _store_problem(settings: Settings) -> str | None:
    from lib.upstreams.chatglm.gateway import gateway_of

    return await gateway_of(settings).memory.problem_within(PROBE_TIMEOUT_S)


async def look_deep(
    settings: Settings,
    *,
    is_fresh: bool = False,
    streams: bool = True,
    deadline_at: float | None = None,
    budget_s: float = BUDGET_S,
) -> DeepHealth:
    """Check each of the owner's accounts, the store, the clock; what fails is told, and spoils nothing else.

    `is_fresh`: ask the upstream again for what was checked within ten minutes. `streams`: whether this very
    endpoint could answer piece by piece.
    """
    from lib.upstreams.chatglm.gateway import gateway_of

    began_at = asyncio.get_running_loop().time()
    until = began_at + budget_s if deadline_at is None else min(began_at + budget_s, deadline_at - LEFT_S)
    checkup = _Checkup(gateway_of(settings), is_fresh=is_fresh, until=until)
    shallow = await look(settings)
    store = await checkup.store()
    clock = await checkup.clock()
    accounts = await checkup.accounts()
    notes = [*settings.gaps(), *_notes(accounts, store, clock)]
    return DeepHealth(
        status="degraded" if notes else "ok",
        notes=notes,
        accounts=accounts,
        store=store,
        clock=clock,
        streaming=_ABOUT_STREAMING if streams else _BUFFERED,
        versions={"python": sys.version.split()[0], "platform": _platform(settings)},
        settings=shallow,
        seconds=round(asyncio.get_running_loop().time() - began_at, 3),
    )


class _Checkup:
    """One look at everything, within a time."""

    def __init__(self, gateway: Gateway, *, is_fresh: bool, until: float) -> None:
        self._gateway = gateway
        self._settings = gateway.settings
        self._is_fresh = is_fresh
        self._until = until
        self._clock = asyncio.get_running_loop().time

    async def store(self) -> StoreHealth:
        """Write, read and remove an entry of our own."""
        from lib.store.seal import Place

        memory, began_at = self._gateway.memory, self._clock()
        place, value = Place(f"health:{secrets.token_hex(8)}", secrets.token_hex(16)), secrets.token_hex(8)
        await memory.add(place, value, ttl_s=60.0)
        is_there = await memory.holds(place)
        await memory.remove(place, value)
        problem = memory.problem or (None if is_there else "does not keep what is written")
        took_ms = round((self._clock() - began_at) * 1000, 1)
        scheme = self._settings.store_url.partition(":")[0]
        return StoreHealth(scheme, problem is None, took_ms if problem is None else None, problem)

    async def clock(self) -> ClockHealth:
        device_id = secrets.token_hex(16)  # nobody's: this is no account's business
        sent_at = time()
        try:
            async with asyncio.timeout_at(self._until):
                told = await self._gateway.upstream.server_time(device_id)
        except TimeoutError:
            return ClockHealth(None, "There was no time left to ask the upstream.")
        except GatewayError as error:
            return ClockHealth(None, error.message)
        return ClockHealth(round(told - (sent_at + time()) / 2, 1) + 0.0, None)

    async def accounts(self) -> list[AccountHealth]:
        """Check one after the other."""
        found: list[AccountHealth] = []
        for number, token in enumerate(self._settings.refresh_tokens, 1):
            pauses = bool(found) and not found[-1].is_remembered and found[-1].state != "not_checked"
            await asyncio.sleep(PAUSE_S if pauses else 0)
            found.append(await self._account(number, token))
        return found

    async def _account(self, number: int, token: str) -> AccountHealth:
        from lib.upstreams.chatglm.accounts.account import parse_account

        try:
            account = parse_account(token)
        except AccountRefused as error:
            return AccountHealth(token=number, state="unusable", problem=error.message)
        if token.count(".") != 2:
            return AccountHealth(token=number, state="unusable", problem="This is no refresh token.")
        try:
            async with asyncio.timeout_at(self._until):
                state, is_remembered = await self._check(account, token)
            problem = None
        except TimeoutError:
            state, problem, is_remembered = "not_checked", "There was no time left.", False
        except GatewayError as error:
            state, problem, is_remembered = "unknown", error.message, False
        return await self._described(account, number, state, problem, is_remembered=is_remembered)

    async def _check(self, account: Account, token: str) -> tuple[State, bool]:
        """Ask whether the account can be used; say also whether it was remembered."""
        from lib.upstreams.chatglm.accounts.account import place_by_token
        from lib.upstreams.chatglm.check import check_tokens

        place = place_by_token("check", account)
        known = None if self._is_fresh else await self._gateway.memory.recall(place)
        [status] = await check_tokens((token,), self._settings, is_fresh=self._is_fresh)
        state: State = "alive" if status.live else "refused"
        if status.guest or status.blocked:
            state = "guest" if status.guest else "blocked"
        return state, known is not None

    async def _described(
        self, account: Account, number: int, state: State, problem: str | None, *, is_remembered: bool
    ) -> AccountHealth:
        expires_at = await self._gateway.tokens.peek(account)
        use = await self._gateway.pool.status(account)
        return AccountHealth(
            token=number,
            label=account.label,
            state=state,
            problem=problem,
            is_remembered=is_remembered,
            refresh_token_expires=None if expires_at is None else _iso(expires_at)[:10],
            days_left=None if expires_at is None else round((expires_at - time()) / 86400, 1),
            use=use.state,
            until=None if use.until is None else _iso(use.until),
            reason=use.reason,
        )


_ABOUT_STREAMING = (
    "GET /health?stream=1 sends five events, a fifth of a second apart. If they arrive together, something "
    "between the gateway and you buffers answers."
)
_BUFFERED = (
    "This endpoint is answered in one piece here (AWS Lambda behind Mangum). Chat is another function, which "
    "streams: ask it with stream: true, or run scripts/check-deployment with --chat."
)
_TO_DO: dict[State, str] = {
    "guest": "is a visitor's, not logged in: log in at chatglm.cn and take the refresh token then",
    "blocked": "is blocked by the upstream: see what chatglm.cn says when you log in",
    "refused": "has a refresh token that the upstream refuses: log in at chatglm.cn again, take the new one",
    "unusable": "has no refresh token",
    "unknown": "could not be checked",
}


def _notes(accounts: list[AccountHealth], store: StoreHealth, clock: ClockHealth) -> Iterator[str]:
    if store.problem is not None:
        yield _store_note(store.scheme, store.problem)
    if clock.problem is not None:
        yield f"The upstream's clock could not be read: {clock.problem}"
    if abs(clock.offset_s or 0.0) > CLOCK_TOLERANCE_S:
        yield f"The upstream's clock is {clock.offset_s:+g} s ahead of ours: it refuses what seems too old."
    for account in accounts:
        entry = f"Entry {account.token} of CHATGLM_REFRESH_TOKENS"
        name = f"Account {account.label}" if account.label else entry
        if account.state in _TO_DO:
            problem = f" ({account.problem})" if account.problem else ""
            yield f"{name} {_TO_DO[account.state]}{problem}."
        elif account.days_left is not None and account.days_left < EXPIRES_SOON_DAYS:
            yield f"{name}: its refresh token expires in {account.days_left:g} days; any use renews it."


def _store_note(scheme: str, problem: str) -> str:
    return (
        f"The store ({scheme}) {problem}: each instance goes on by itself, and what only it knows, "
        "a rotated refresh token above all, is lost when it ends."
    )


def _platform(settings: Settings) -> str:
    return "vercel" if settings.on_vercel else "lambda" if settings.on_lambda else "other"


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
