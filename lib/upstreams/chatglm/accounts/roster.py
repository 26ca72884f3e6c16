"""The owner's accounts: those of the settings, and those that were added at run time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec

from lib.errors import AccountRefused, NoAccountAvailable
from lib.store.circuit import REST_S
from lib.tasks import Tasks
from lib.upstreams.chatglm.accounts.account import Account, owners_account
from lib.upstreams.chatglm.accounts.stored import (
    Accounts,
    Reading,
    StoredAccount,
    StoredAccounts,
    find,
    token_exists,
    with_account,
    without_account,
)
from lib.upstreams.condition import Source

EVERY_S = 30.0
"""A process reads the list at most this often. So every instance sees a change within this time."""
PATIENCE_S = 0.5
"""A request waits so long for a reading that began with it, when it has its account already."""


class Member(msgspec.Struct, frozen=True):
    """One account, and the place of its token."""

    account: Account
    source: Source


class Roster:
    """Tells which accounts the owner has. A process that cannot read the store goes on with what it knows."""

    def __init__(
        self,
        tokens: tuple[str, ...],
        stored: StoredAccounts | None,
        *,
        now: Callable[[], float] = time.time,
        every_s: float = EVERY_S,
    ) -> None:
        """`tokens` are those of the settings. `stored` is None if the store forgets everything."""
        self._tokens = tokens
        self._stored = stored
        self._now = now
        self._every_s = every_s
        self._reading: Reading | None = None
        """The last one that worked."""
        self._read_at = float("-inf")
        self._tasks = Tasks()
        self._under_way: asyncio.Task[None] | None = None

    @property
    def members(self) -> tuple[Member, ...]:
        """The accounts as this process knows them, each once: first those of the settings."""
        return tuple(_merged(self._tokens, self._added))

    @property
    def tokens(self) -> tuple[str, ...]:
        """The token in use of each entry of the settings, even of one that is no token; then the others."""
        own = tuple(self.in_use(token) for token in self._tokens)
        return own + tuple(m.account.refresh_token for m in self.members if m.source == "store")

    def in_use(self, token: str) -> str:
        """Return the newer login of the account of a token of the settings, or that token itself."""
        for own in _own((token,)).values():
            if (stored := find(self._added, own.label)) is not None:
                return _newer(own, stored).refresh_token
        return token

    @property
    def is_locked(self) -> bool:
        """There is a list in the store, and no secret of ours opens it."""
        return self._reading is not None and self._reading.is_locked

    @property
    def is_reading(self) -> bool:
        return self._under_way is not None and not self._under_way.done()

    @property
    def has_read(self) -> bool:
        return self._stored is None or self._reading is not None

    def owns(self, refresh_token: str) -> bool:
        """Tell if the owner has given this token, by the settings or at run time."""
        added = (account.refresh_token for account in self._added)
        return refresh_token in self._tokens or refresh_token in added

    def of(self, tokens: tuple[str, ...]) -> tuple[Account, ...]:
        """Return the accounts of a caller that brings these tokens: of the owner, those of the settings."""
        return tuple(member.account for member in _merged(tokens, self._added))

    async def known(self, tokens: tuple[str, ...]) -> tuple[Account, ...]:
        """Return the accounts. Read the list if it is due: beside the request, or first if it may be all.

        A new process that has accounts asks the store for those first: see `News.begin`.
        """
        if self.has_read or not self.of(tokens):
            self.refresh()
        if not self.has_read and not self.of(tokens):
            await self.settle()
        return self.of(tokens)

    async def needed(self, tokens: tuple[str, ...]) -> tuple[Account, ...]:
        """Return the accounts of a request that fails without one.

        Another instance may have just added the first account: the request looks again before it is refused.
        """
        read_at = self._read_at
        accounts = await self.known(tokens)
        if not accounts and self._read_at == read_at:
            await self.read()
        return accounts or self.of(tokens)

    def refresh(self) -> None:
        """Begin to read the list if that is due."""
        is_due = not 0 <= self._now() - self._read_at < self._every_s or not self.has_read
        if is_due and self._stored is not None:
            self._begin()

    async def catch_up(self) -> None:
        """Wait for a reading that is under way, if it ends soon."""
        if self._under_way is not None and not self._under_way.done():
            await asyncio.wait({self._under_way}, timeout=PATIENCE_S)

    async def read(self) -> None:
        """Read the list now."""
        if self._stored is not None:
            self._begin()
            await self.settle()

    async def settle(self) -> None:
        """Wait for a reading that is under way. It bounds its own time."""
        if self._under_way is not None:
            await asyncio.wait({self._under_way})

    async def offer(self) -> None:
        """Give a store that was emptied the list back, before this process ends and with it the last copy."""
        if self._added:
            await self.read()
        await self.settle()

    async def add(self, account: Account) -> tuple[Member, bool]:
        """Keep the account's token. Return the account, and if its token took the place of an earlier one."""
        own = _own(self._tokens).get(account.label)
        added = StoredAccount(
            label=account.label,
            refresh_token=account.refresh_token,
            added_at=self._now(),
            instead_of="" if own is None else own.key,
        )
        replaced = False

        def edit(accounts: Accounts) -> Accounts:
            nonlocal replaced
            earlier = find(accounts, account.label)
            replaced = earlier is not None and earlier != added
            return with_account(added)(accounts)

        await self._change(edit)
        return Member(account, "store" if own is None else "environment"), replaced

    async def remove(self, label: str) -> None:
        await self._change(without_account(label))

    def require_new(self, account: Account) -> None:
        """Raise Conflict if this very token is in use already."""
        if self.owns(account.refresh_token):
            raise token_exists(account.label)

    def member(self, label: str) -> Member | None:
        return next((member for member in self.members if member.account.label == label), None)

    def none(self) -> NoAccountAvailable:
        """Return the error for a request that finds no account. It says where to add one."""
        if not self.has_read:
            return NoAccountAvailable(
                "The accounts are in the store, and it does not answer. Try again.",
                code="store_unavailable",
                retry_after_s=REST_S,
            )
        return NoAccountAvailable(no_account_words(can_add=self._stored is not None))

    @property
    def _added(self) -> Accounts:
        return () if self._reading is None else self._reading.accounts

    def _begin(self) -> None:
        if not self.is_reading:
            # In no TaskGroup: it comes to its own end, and the next request needs it although this one ends.
            self._under_way = self._tasks.start(self._read())

    async def _read(self) -> None:
        assert self._stored is not None
        asked_at, before = self._now(), self._reading
        reading = await self._stored.read()
        self._read_at = asked_at
        if reading is None or self._reading is not before:
            return  # The store failed, or a change was made meanwhile.
        if not reading.is_there and before is not None and before.accounts:
            await self._stored.put_back(before.accounts)  # The store was emptied, or is another one.
        else:
            self._reading = reading

    async def _change(self, edit: Callable[[Accounts], Accounts]) -> None:
        assert self._stored is not None
        accounts = await self._stored.change(edit)
        self._reading, self._read_at = Reading(accounts, is_there=True), self._now()


class News:
    """The owner's accounts as one request may learn of them on its way."""

    def __init__(self, roster: Roster, tokens: tuple[str, ...], label: str = "") -> None:
        """With `label` the request continues a conversation of that account, and needs no other."""
        self._roster = roster
        self._tokens = tokens
        self._label = label
        self._has_read = False

    @property
    def is_coming(self) -> bool:
        """A reading of the list is under way, or is still to begin."""
        return self._roster.is_reading or not self._roster.has_read

    def begin(self) -> None:
        """Begin to read the list if that is due."""
        self._roster.refresh()

    @property
    def none(self) -> NoAccountAvailable:
        return self._roster.none()

    async def arrived(self) -> tuple[Account, ...]:
        """Return the accounts; wait a moment for a reading that is under way."""
        await self._roster.catch_up()
        return self._mine()

    async def asked_for(self) -> tuple[Account, ...]:
        """Read the list, once in a request: no account that the request knows could be used."""
        if not self._has_read:
            self._has_read = True
            await self._roster.read()
        return self._mine()

    def _mine(self) -> tuple[Account, ...]:
        accounts = self._roster.of(self._tokens)
        return tuple(account for account in accounts if self._label in ("", account.label))


def no_account_words(*, can_add: bool) -> str:
    """Say where an account can be added."""
    if can_add:
        return (
            "This gateway has no account yet. Add one: open the gateway's address in a browser, connect with "
            "your API key and choose Status; or send the refresh token to POST /tokens; or set "
            "CHATGLM_REFRESH_TOKENS."
        )
    return (
        "No account is configured: CHATGLM_REFRESH_TOKENS is empty. Set it; or set STORE_URL to a store that "
        "lasts, and add an account at run time (POST /tokens)."
    )


def _own(tokens: Sequence[str]) -> dict[str, Account]:
    """Return the settings' accounts by label; of several tokens of one account the first counts."""
    accounts: dict[str, Account] = {}
    for token in tokens:
        try:
            account = owners_account(token)
        except AccountRefused:  # One wrong token must not shut the door to the others.
            continue
        accounts.setdefault(account.label, account)
    return accounts


def _merged(tokens: Sequence[str], added: Accounts) -> Iterator[Member]:
    own = _own(tokens)
    for label, account in own.items():
        stored = find(added, label)
        yield Member(account if stored is None else _newer(account, stored), "environment")
    for stored in added:
        if stored.label not in own:
            yield Member(owners_account(stored.refresh_token), "store")


def _newer(own: Account, stored: StoredAccount) -> Account:
    """Return the newer login of one account: the one that was chosen over the other, or that ends later."""
    other = owners_account(stored.refresh_token)
    if own.key == stored.instead_of or own.expires_at is None:
        return other
    return own if own.expires_at > (other.expires_at or 0.0) else other
