from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.accounts.account import Account, parse_account
from lib.accounts.seal import AesGcmSeal, Unsealed
from lib.accounts.tokens import AccessTokens, Grant
from lib.store.memory import MemoryStore

OWNER, OTHER = parse_account("owner.refresh.token"), parse_account("other.refresh.token")
SEAL = AesGcmSeal()


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_what_is_closed_opens_for_the_same_account_at_the_same_place(text: str) -> None:
    assert SEAL.open(OWNER, "token:a", SEAL.close(OWNER, "token:a", text)) == text


def test_nothing_of_the_text_shows_and_no_two_are_alike() -> None:
    closed = [SEAL.close(OWNER, "token:a", "eyJ.secret") for _ in range(2)]
    assert closed[0] != closed[1]
    assert b"secret" not in base64.b64decode(closed[0])


def test_it_opens_for_nobody_else_and_nowhere_else() -> None:
    closed = SEAL.close(OWNER, "token:a", "secret")
    assert SEAL.open(OTHER, "token:a", closed) is None
    assert SEAL.open(OWNER, "token:b", closed) is None


def test_whatever_is_changed_in_it_makes_it_nothing() -> None:
    record = base64.b64decode(SEAL.close(OWNER, "token:a", "secret"))
    for position in range(len(record)):
        tampered = bytearray(record)
        tampered[position] ^= 1
        assert SEAL.open(OWNER, "token:a", base64.b64encode(bytes(tampered)).decode()) is None


OTHER_VERSION = base64.b64encode(b"\x02" * 40).decode()


@pytest.mark.parametrize("foreign", ["", "AQ==", "not base64!", "{}", "é", OTHER_VERSION])
def test_what_is_no_record_of_ours_is_nothing(foreign: str) -> None:
    assert SEAL.open(OWNER, "token:a", foreign) is None


def test_a_store_of_this_machine_is_written_in_clear() -> None:
    assert Unsealed().open(OWNER, "token:a", Unsealed().close(OWNER, "token:a", "text")) == "text"


async def test_a_chain_survives_sealed_and_a_tampered_one_begins_anew() -> None:
    store, refreshed_with = MemoryStore(), []

    async def refresh(_: Account, token: str) -> Grant:
        refreshed_with.append(token)
        return Grant(f"access {len(refreshed_with)}", f"refresh {len(refreshed_with)}")

    key = f"token:{OWNER.key}"
    assert await AccessTokens(store, refresh, seal=SEAL).get(OWNER) == "access 1"
    kept = await store.get(key)
    assert kept is not None
    assert "access" not in kept
    assert await AccessTokens(store, refresh, seal=SEAL).get(OWNER) == "access 1"

    await store.put(key, kept[:-4] + "AAA=", ttl_s=60)
    assert await AccessTokens(store, refresh, seal=SEAL).get(OWNER) == "access 2"
    assert refreshed_with == [OWNER.refresh_token] * 2
