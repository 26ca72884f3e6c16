"""How the gateway is doing: what is configured, whether the store works, and to its owner everything."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Literal

import msgspec

from lib.settings import Settings
from lib.trace import RECENT, LastError
from lib.upstreams.condition import (
    AccountHealth,
    AddedAccounts,
    ClockHealth,
    KeyHealth,
    State,
    StoreHealth,
)
from lib.upstreams.interface import Services
from lib.version import VERSION

PROBE_TIMEOUT_S = 2.0
"""The short answer waits so long for the store."""
BUDGET_S = 20.0
"""The whole check takes no longer: API Gateway ends a request after 29 s. The rest is not checked."""
LEFT_S = 4.0
"""So much of the host's time is left for the answer."""
EXPIRES_SOON_DAYS = 14.0
CLOCK_TOLERANCE_S = 60.0
"""The upstream refuses signatures that are some minutes off; the gateway then corrects itself."""


class Health(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The public part of the health. `notes` are sentences for the owner."""

    status: Literal["ok", "degraded"]
    version: str
    accounts: int
    api_keys: int
    official_keys: int = 0
    passthrough: bool
    store: str
    store_works: bool
    default_model: str
    fallback_model: str = ""
    web_search_by_default: bool
    max_duration_s: float | None
    notes: list[str]


class DeepHealth(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The whole health, for the owner only."""

    status: Literal["ok", "degraded"]
    notes: list[str]
    accounts: list[AccountHealth]
    official_keys: list[KeyHealth] = []
    store: StoreHealth
    clock: ClockHealth
    streaming: str
    versions: dict[str, str]
    settings: Health
    seconds: float
    last_error: LastError | None
    """The last one of this process."""


async def look(services: Services) -> Health:
    """Tell the configuration, and whether the store works: soon, and without asking an upstream."""
    settings = services.settings
    scheme = settings.store.scheme
    problem = None if scheme == "memory" else await services.accounts.store_problem(PROBE_TIMEOUT_S)
    added = await _added(services, problem)
    notes = [*settings.gaps(), *_locked(added)]
    if problem is not None:
        notes.append(_store_note(scheme, problem))
    return Health(
        status="degraded" if notes else "ok",
        version=VERSION,
        accounts=len(settings.refresh_tokens) + added.count,
        api_keys=len(settings.api_keys),
        official_keys=len(settings.official_keys),
        passthrough=settings.allow_passthrough,
        store=scheme,
        store_works=problem is None,
        default_model=settings.first_default_model,
        fallback_model=settings.fallback_model or "",
        web_search_by_default=settings.web_search,
        max_duration_s=settings.max_duration_s,
        notes=[*notes, *_invitation(settings, added), *settings.openness()],
    )


async def _added(services: Services, problem: str | None) -> AddedAccounts:
    """Ask for the accounts that were added at run time; of a store that fails, those that are known."""
    if not services.settings.keeps_accounts:
        return AddedAccounts(0, is_locked=False)
    return await services.accounts.added(PROBE_TIMEOUT_S if problem is None else 0.0)


def _locked(added: AddedAccounts) -> Iterator[str]:
    if added.is_locked:
        yield (
            "The store holds accounts that were added at run time, and no key of these settings opens them: "
            "they count as absent. Set STORE_SECRET, or one of API_KEYS, as it was when they were added; or "
            "add them again."
        )


def _invitation(settings: Settings, added: AddedAccounts) -> Iterator[str]:
    """Say where to add the first account. A gateway that waits for it is in order."""
    if not added.count:
        yield from settings.invitation()


async def look_deep(
    services: Services,
    *,
    is_fresh: bool = False,
    streams: bool = True,
    deadline_at: float | None = None,
    budget_s: float = BUDGET_S,
) -> DeepHealth:
    """Check each of the owner's accounts, the store, the clock. One failure spoils nothing else.

    `is_fresh`: ask the upstream again although it was asked within ten minutes. `streams`: whether this very
    endpoint could answer piece by piece.
    """
    began_at = asyncio.get_running_loop().time()
    until = began_at + budget_s if deadline_at is None else min(began_at + budget_s, deadline_at - LEFT_S)
    shallow = await look(services)
    store = await services.accounts.store()
    # Together: neither upstream takes the other one's time.
    async with asyncio.TaskGroup() as checking:
        asked_keys = checking.create_task(_keys(services, until))
        clock = await services.accounts.clock(until)
        accounts = await services.accounts.accounts(until, is_fresh=is_fresh)
    keys = asked_keys.result()
    settings = services.settings
    added = await _added(services, store.problem)
    gaps = settings.gaps()
    notes = [*gaps, *_locked(added), *_notes(accounts, store, clock, gaps), *_notes_on_keys(keys)]
    return DeepHealth(
        status="degraded" if notes else "ok",
        notes=[*notes, *_invitation(settings, added), *settings.openness()],
        accounts=accounts,
        official_keys=keys,
        store=store,
        clock=clock,
        streaming=_ABOUT_STREAMING if streams else _BUFFERED,
        versions={
            "gateway": VERSION,
            "python": sys.version.split()[0],
            "platform": _platform(settings),
        },
        settings=shallow,
        seconds=round(asyncio.get_running_loop().time() - began_at, 3),
        last_error=RECENT.last_error,
    )


_ABOUT_STREAMING = (
    "GET /health?stream=1 sends five events, a fifth of a second apart. If they arrive together, something "
    "between the gateway and you buffers answers."
)
_BUFFERED = (
    "This endpoint is answered in one piece here (AWS Lambda behind Mangum). Chat is another function, which "
    "streams: ask it with stream: true, or run scripts/doctor with --chat."
)
_TO_DO: dict[State, str] = {
    "guest": "is a visitor's, not logged in: log in at chatglm.cn and take the refresh token then",
    "blocked": "is blocked by the upstream: see what chatglm.cn says when you log in",
    "refused": "has a refresh token that the upstream refuses: log in at chatglm.cn again, take the new one",
    "unusable": "has no refresh token",
    "unknown": "could not be checked",
}


def _notes(
    accounts: list[AccountHealth], store: StoreHealth, clock: ClockHealth, gaps: list[str]
) -> Iterator[str]:
    if store.problem is not None:
        yield _store_note(store.scheme, store.problem)
    if clock.problem is not None:
        yield f"The upstream's clock could not be read: {clock.problem}"
    if abs(clock.offset_s or 0.0) > CLOCK_TOLERANCE_S:
        yield f"The upstream's clock is {clock.offset_s:+g} s ahead of ours: it refuses what seems too old."
    for account in accounts:
        entry = f"Entry {account.token} of CHATGLM_REFRESH_TOKENS"
        name = f"Account {account.label}" if account.label else entry
        if any(gap.startswith(entry) for gap in gaps):  # Its form is wrong, and that is said already.
            continue
        if account.state in _TO_DO:
            problem = f" ({account.problem})" if account.problem else ""
            yield f"{name} {_TO_DO[account.state]}{problem}."
        elif account.days_left is not None and account.days_left < EXPIRES_SOON_DAYS:
            yield f"{name}: its refresh token expires in {account.days_left:g} days; any use renews it."


async def _keys(services: Services, until: float) -> list[KeyHealth]:
    return await services.keys(until)


def _notes_on_keys(keys: list[KeyHealth]) -> Iterator[str]:
    for key in keys:
        name = f"Key {key.label} (entry {key.key} of GLM_API_KEYS)"
        if key.state == "refused":
            yield f"{name} is refused by the official API: {key.problem}"
        elif key.state == "unknown":
            yield f"{name} could not be checked: {key.problem}"


def _store_note(scheme: str, problem: str) -> str:
    return (
        f"The store ({scheme}) {problem}: each instance goes on by itself, and what only it knows, "
        "a rotated refresh token above all, is lost when it ends."
    )


def _platform(settings: Settings) -> str:
    return "vercel" if settings.on_vercel else "lambda" if settings.on_lambda else "other"
