from __future__ import annotations

import base64
from time import time

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from lib.store.memory import MemoryStore
from lib.store.seal import AesSivSeal, Place, Unsealed
from lib.store.shared import SharedState
from lib.upstreams.chatglm.accounts.account import Account, parse_account
from lib.upstreams.chatglm.accounts.tokens import AccessTokens, Grant

OWNER, OTHER = Place("token:a", "owner.refresh.token"), Place("token:a", "other.refresh.token")
SEAL = AesSivSeal()


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_what_is_closed_opens_for_the_same_account_at_the_same_place(text: str) -> None:
    assert SEAL.open(OWNER, SEAL.close(OWNER, text)) == text


def test_nothing_of_the_text_shows() -> None:
    assert b"secret" not in base64.b64decode(SEAL.close(OWNER, "eyJ.secret"))


def test_only_the_same_text_at_the_same_place_is_written_alike() -> None:
    """A store compares the value of a lease's holder with its own."""
    closed = SEAL.close(OWNER, "secret")
    assert SEAL.close(OWNER, "secret") == closed
    others = [
        SEAL.close(OWNER, "other"),
        SEAL.close(Place("token:b", OWNER.secret), "secret"),
        SEAL.close(OTHER, "secret"),
    ]
    synthetic = {base64.b64decode(text)[1:17] for text in (closed, *others)}
    assert len(synthetic) == 4


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


VERSION_1 = "ARR0ufvf3a1h8uGQFh7pSTXJCcaK+JYAP8NMSMqvb3BO"
"""As the seal of version 1 wrote a text; nothing of it was released."""
OTHER_VERSION = base64.b64encode(b"\x03" * 40).decode()
NO_CIPHERTEXT, NO_TAG = (base64.b64encode(b"\x02" * length).decode() for length in (1, 9))


@pytest.mark.parametrize(
    "foreign", ["", "AQ==", "not base64!", "{}", "é", VERSION_1, OTHER_VERSION, NO_CIPHERTEXT, NO_TAG]
)
def test_what_is_no_record_of_ours_is_nothing(foreign: str) -> None:
    assert SEAL.open(OWNER, foreign) is None


def test_the_form_of_a_record_stays() -> None:
    """What one release has sealed, the next one opens."""
    key = HKDF(algorithm=SHA256(), length=64, salt=None, info=b"glm-gateway: store")
    cipher = AESSIV(key.derive(b"owner.refresh.token"))
    record = b"\x02" + cipher.encrypt("clear é".encode(), [b"\x02", b"token:a"])
    assert SEAL.open(OWNER, base64.b64encode(record).decode()) == "clear é"
    assert SEAL.close(OWNER, "clear é") == base64.b64encode(record).decode()


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_place_without_its_secret_opens_the_same_entry(text: str) -> None:
    remembered = SEAL.without_secret(OWNER)
    assert SEAL.open(remembered, SEAL.close(OWNER, text)) == text
    assert SEAL.close(remembered, text) == SEAL.close(OWNER, text)
    assert SEAL.without_secret(remembered) == remembered
    assert OWNER.secret not in str(msgspec.structs.astuple(remembered))
    assert SEAL.open(SEAL.without_secret(OTHER), SEAL.close(OWNER, text)) is None
    assert Unsealed().without_secret(OWNER) == Place(OWNER.name)


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
