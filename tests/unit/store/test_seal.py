from __future__ import annotations

import base64
from time import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.store.memory import MemoryStore
from lib.store.seal import NONCE_BYTES, AesGcmSeal, Place, Unsealed
from lib.store.shared import SharedState
from lib.upstreams.chatglm.accounts.account import Account, parse_account
from lib.upstreams.chatglm.accounts.tokens import AccessTokens, Grant

OWNER, OTHER = Place("token:a", "owner.refresh.token"), Place("token:a", "other.refresh.token")
SEAL = AesGcmSeal()


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_what_is_closed_opens_for_the_same_account_at_the_same_place(text: str) -> None:
    assert SEAL.open(OWNER, SEAL.close(OWNER, text)) == text


def test_nothing_of_the_text_shows() -> None:
    assert b"secret" not in base64.b64decode(SEAL.close(OWNER, "eyJ.secret"))


def test_only_the_same_text_at_the_same_place_is_written_alike() -> None:
    """A store compares what a lease's holder says with what it has; a nonce must serve one text alone."""
    closed = SEAL.close(OWNER, "secret")
    assert SEAL.close(OWNER, "secret") == closed
    others = [
        SEAL.close(OWNER, "other"),
        SEAL.close(Place("token:b", OWNER.secret), "secret"),
        SEAL.close(OTHER, "secret"),
    ]
    nonces = {base64.b64decode(text)[1 : 1 + NONCE_BYTES] for text in (closed, *others)}
    assert len(nonces) == 4


def test_a_place_does_not_show_its_secret() -> None:
    assert repr(OWNER) == "Place('token:a')"


def test_it_opens_for_nobody_else_and_nowhere_else() -> None:
    closed = SEAL.close(OWNER, "secret")
    assert SEAL.open(OTHER, closed) is None
    assert SEAL.open(Place("token:b", OWNER.secret), closed) is None


def test_whatever_is_changed_in_it_makes_it_nothing() -> None:
    record = base64.b64decode(SEAL.close(OWNER, "secret"))
    for position in range(len(record)):
        tampered = bytearray(record)
        tampered[position] ^= 1
        assert SEAL.open(OWNER, base64.b64encode(bytes(tampered)).decode()) is None


OTHER_VERSION = base64.b64encode(b"\x02" * 40).decode()


@pytest.mark.parametrize("foreign", ["", "AQ==", "not base64!", "{}", "é", OTHER_VERSION])
def test_what_is_no_record_of_ours_is_nothing(foreign: str) -> None:
    assert SEAL.open(OWNER, foreign) is None


def test_a_store_of_this_machine_is_written_in_clear() -> None:
    assert Unsealed().open(OWNER, Unsealed().close(OWNER, "text")) == "text"


async def test_a_chain_survives_sealed_and_a_tampered_one_begins_anew() -> None:
    store, refreshed_with = MemoryStore(), []
    account = parse_account("owner.refresh.token")

    async def refresh(_: Account, token: str) -> Grant:
        refreshed_with.append(token)
        return Grant(f"access {len(refreshed_with)}", f"refresh {len(refreshed_with)}")

    def process() -> AccessTokens:
        return AccessTokens(SharedState(store, now=time, seal=SEAL), refresh)

    key = f"token:{account.key}"
    assert await process().get(account) == "access 1"
    kept = await store.get(key)
    assert kept is not None
    assert "access" not in kept
    assert await process().get(account) == "access 1"

    await store.put(key, kept[:-4] + "AAA=", ttl_s=60)
    assert await process().get(account) == "access 2"
    assert refreshed_with == [account.refresh_token] * 2
