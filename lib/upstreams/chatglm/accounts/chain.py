"""The chain of refresh tokens that begins with a given one, and the note of a refresh, as the store
has them.
"""

from __future__ import annotations

import msgspec

from lib.store.records import Records
from lib.store.seal import Place
from lib.store.shared import Altered, SharedState
from lib.upstreams.chatglm.accounts.account import Account, field_by_token

CHAIN_TTL_S = 180 * 86400.0
"""A refresh token lives so long."""
FIRST_NOTE_TTL_S = 3600.0
"""The note of a first refresh lives so long: anyone can bring a token that the upstream never takes."""
EARLY_S = 300.0
"""An access token is replaced so long before its end, if the store works."""
LATE_S = 30.0
"""An access token is replaced so long before its end, even if the store fails."""


class Chain(msgspec.Struct, frozen=True):
    """The last link of the chain that begins with one given refresh token."""

    refresh_token: str
    access_token: str
    expires_at: float
    made_at: float

    def __repr__(self) -> str:
        return f"Chain(expires_at={self.expires_at}, made_at={self.made_at})"


class Note(msgspec.Struct, frozen=True):
    """Left in the store while a refresh is under way."""

    begun_at: float
    by: str = ""
    """The mark of the process that left it."""


CHAINS = Records(Chain)
NOTES = Records(Note)


def made_at(text: str) -> float:
    """Rank a chain: the one with the later refresh goes on."""
    chain = CHAINS.decode(text)
    return float("-inf") if chain is None else chain.made_at


def chain_place(account: Account) -> Place:
    return field_by_token("token", account)


def note_place(account: Account) -> Place:
    return field_by_token("rotating", account)


def lock_place(account: Account) -> Place:
    return field_by_token("refresh", account)


def learn_chain(state: SharedState, account: Account, altered: Altered) -> None:
    """Take the chain that a step on the account's record has read."""
    state.learn(altered, chain_place(account), rank=made_at, ttl_s=CHAIN_TTL_S)


def serves(chain: Chain, refused: str, now: float) -> bool:
    return lives(chain, refused, now, for_s=EARLY_S)


def will_do(chain: Chain, refused: str, now: float, *, has_problem: bool) -> bool:
    """While the store fails, no token is changed before it must be: the new one could not be kept."""
    return lives(chain, refused, now, for_s=LATE_S if has_problem else EARLY_S)


def lives(chain: Chain, refused: str, now: float, *, for_s: float) -> bool:
    """Tell whether its access token lives for so long and is another one than `refused`."""
    return chain.expires_at - for_s > now and chain.access_token not in ("", refused)
