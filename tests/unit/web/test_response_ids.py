"""A response's id opens for its maker, and for no one else."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.chat.caller import Caller
from lib.web.response_ids import MAX_ID_CHARS, NamedResponse, seal, unseal

OWNER = Caller(("token-1", "token-2"), is_owner=True, key="sk-one")
KEPT = NamedResponse("66f0c1a2b3c4d5e6f7a8b9c0-0a1b2c3d", True, b"123456")
SEALED = seal(KEPT, OWNER)


def test_the_maker_reads_what_was_sealed() -> None:
    assert SEALED.startswith("resp_")
    assert unseal(SEALED, OWNER) == KEPT
    assert len(SEALED) < 128


def test_the_tokens_of_the_maker_may_change_their_order() -> None:
    assert unseal(SEALED, Caller(("token-2", "token-1"), is_owner=True, key="sk-one")) == KEPT


@pytest.mark.parametrize(
    "other",
    [
        Caller(OWNER.refresh_tokens, is_owner=True, key="sk-two"),
        Caller(OWNER.refresh_tokens, is_owner=False),
        Caller(("token-2", "token-3"), is_owner=True, key="sk-one"),
        Caller((), is_owner=True, key="sk-one"),
    ],
)
def test_another_credential_does_not_open_it(other: Caller) -> None:
    assert unseal(SEALED, other) is None


def test_a_caller_without_accounts_has_a_seal_of_its_own() -> None:
    caller = Caller((), is_owner=True, key="sk-one")
    assert unseal(seal(KEPT, caller), caller) == KEPT


def test_two_answers_of_one_conversation_have_two_names() -> None:
    assert seal(msgspec.structs.replace(KEPT, nonce=b"654321"), OWNER) != SEALED


@pytest.mark.parametrize("at", range(len("resp_"), len(SEALED)))
def test_one_changed_character_closes_it(at: int) -> None:
    changed = SEALED[:at] + ("A" if SEALED[at] != "A" else "B") + SEALED[at + 1 :]
    opened = unseal(changed, OWNER)
    # The last character has bits that base64 throws away: the id is another, but says the same.
    assert opened is None or (at == len(SEALED) - 1 and opened == KEPT)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "resp_",
        "resp_A",
        "resp_é",
        "msg_" + SEALED[5:],
        SEALED[5:],
        "resp_" + "A" * MAX_ID_CHARS,
        "resp_" + base64.urlsafe_b64encode(msgspec.msgpack.encode(["x", True, b""])).decode(),
    ],
)
def test_other_texts_are_no_ids(text: str) -> None:
    assert unseal(text, OWNER) is None


@given(
    conversation_id=st.text(alphabet="0123456789abcdef-", max_size=64),
    is_kept=st.booleans(),
    nonce=st.binary(max_size=8),
)
def test_every_name_comes_back(conversation_id: str, is_kept: bool, nonce: bytes) -> None:
    response = NamedResponse(conversation_id, is_kept, nonce)
    assert unseal(seal(response, OWNER), OWNER) == response
