"""The accounts that the owner adds at run time: one record of the store, which every instance reads."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from lib.errors import Conflict, NoAccountAvailable
from lib.settings import Settings, key_digests
from lib.store.circuit import REST_S
from lib.store.envelope import Envelope, Secret, enclose
from lib.store.records import Records
from lib.store.seal import Place
from lib.store.seen import Seen
from lib.store.shared import SharedState

PLACE = Place("accounts")
"""The record seals itself, for several secrets. The seal of the place has none."""
TTL_S = 400 * 86400.0
"""The record outlives every refresh token in it, which live for 180 days."""
RENEW_AFTER_S = 30 * 86400.0
"""The record is written again after this time, so that it does not expire while its accounts are used."""
MAX_ACCOUNTS = 32
"""A person has fewer. With the longest tokens the record stays below DynamoDB's limit of 400 kB."""
MAX_TRIES = 12
"""So many times in a row another instance may write between our reading and our writing."""
PAUSE_S = 0.05
"""The mean pause before the next try; each pause is another one, so that two instances do not keep step."""


class StoredAccount(msgspec.Struct, frozen=True, kw_only=True):
    """One account of the list."""

    label: str
    refresh_token: str
    added_at: float
    instead_of: str = ""
    """The key of the settings' token of this account at that time. The owner has chosen this one over it."""

    def __repr__(self) -> str:
        return f"StoredAccount({self.label!r})"


class _List(msgspec.Struct, frozen=True):
    accounts: tuple[StoredAccount, ...]


class _Record(msgspec.Struct, frozen=True):
    envelope: Envelope
    written_at: float


LISTS = Records(_List)
RECORDS = Records(_Record)

Accounts = tuple[StoredAccount, ...]


class Reading(msgspec.Struct, frozen=True):
    """The list as the store has it."""

    accounts: Accounts = ()
    is_there: bool = False
    is_locked: bool = False
    """There is a list, and none of our secrets opens it: it counts as absent."""


def secrets_of(settings: Settings) -> tuple[tuple[Secret, ...], tuple[Secret, ...]]:
    """Return the secrets that the list is written for, and all that may open it.

    An entry of API_KEYS opens it even if STORE_SECRET is set: the list may be older than that setting.
    """
    keys = tuple(Secret(f"key:{digest.hex()}") for digest in key_digests(settings.api_keys))
    own = (Secret(f"secret:{settings.store_secret}"),) if settings.store_secret else ()
    return own or keys, own + keys


class StoredAccounts:
    """Reads and writes the list. A change is a compare-and-put: two instances at once lose nothing."""

    def __init__(
        self,
        state: SharedState,
        settings: Settings,
        *,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._state = state
        self._wanted, self._opening = secrets_of(settings)
        self._now = now
        self._sleep = sleep
        self._chance = chance

    async def read(self) -> Reading | None:
        """Return the list; None if the store fails. Write it anew if its secrets or its age ask for that."""
        seen = await self._state.read(PLACE)
        if not seen.answered:
            return None
        record, reading = self._opened(seen)
        if record is not None and not reading.is_locked and self._is_outdated(record):
            await self._write(reading.accounts, seen)  # If another instance writes first, that one counts.
        return reading

    async def put_back(self, accounts: Accounts) -> None:
        """Write the list to a store that has none: it was emptied, or another one stands in its place."""
        await self._write(accounts, Seen(answered=True))

    async def change(self, edit: Callable[[Accounts], Accounts]) -> Accounts:
        """Change the list and return it. `edit` may be called again, and may raise."""
        for _ in range(MAX_TRIES):
            seen = await self._state.read(PLACE)
            if not seen.answered:
                raise self._failed()
            accounts = edit(self._opened(seen)[1].accounts)
            if len(accounts) > MAX_ACCOUNTS:
                raise Conflict(f"Expected at most {MAX_ACCOUNTS} added accounts.", code="too_many_accounts")
            written = await self._write(accounts, seen)
            if written is None:
                raise self._failed()
            if written:
                return accounts
            await self._sleep(PAUSE_S * 2 * self._chance())
        raise NoAccountAvailable(
            "Other instances change the list of accounts all the time. Try again.",
            code="store_unavailable",
            retry_after_s=REST_S,
        )

    async def _write(self, accounts: Accounts, seen: Seen) -> bool | None:
        text = LISTS.encode(_List(accounts))
        record = RECORDS.encode(_Record(enclose(text, self._wanted), self._now()))
        return await self._state.replace(PLACE, record, seen=seen, ttl_s=TTL_S)

    def _opened(self, seen: Seen) -> tuple[_Record | None, Reading]:
        record = RECORDS.decode(seen.value)
        if record is None:  # There is none, or its form is not ours.
            return None, Reading(is_there=seen.sealed is not None, is_locked=seen.sealed is not None)
        opened = LISTS.decode(record.envelope.open(self._opening))
        if opened is None:
            return record, Reading(is_there=True, is_locked=True)
        return record, Reading(opened.accounts, is_there=True)

    def _is_outdated(self, record: _Record) -> bool:
        is_young = -RENEW_AFTER_S < self._now() - record.written_at < RENEW_AFTER_S
        return not is_young or not record.envelope.is_for(self._wanted)

    def _failed(self) -> NoAccountAvailable:
        return NoAccountAvailable(
            f"The store does not keep the list of accounts ({self._state.problem}). Try again.",
            code="store_unavailable",
            retry_after_s=REST_S,
        )


def with_account(added: StoredAccount) -> Callable[[Accounts], Accounts]:
    """Return the edit that adds an account, or replaces its token."""

    def edit(accounts: Accounts) -> Accounts:
        for known in accounts:
            if known.refresh_token == added.refresh_token and known != added:
                raise token_exists(known.label)
        return (*(known for known in accounts if known.label != added.label), added)

    return edit


def without_account(label: str) -> Callable[[Accounts], Accounts]:
    def edit(accounts: Accounts) -> Accounts:
        return tuple(known for known in accounts if known.label != label)

    return edit


def token_exists(label: str) -> Conflict:
    return Conflict(f"This token is here already: account {label}.", code="token_exists", param="token")


def find(accounts: Sequence[StoredAccount], label: str) -> StoredAccount | None:
    return next((account for account in accounts if account.label == label), None)
