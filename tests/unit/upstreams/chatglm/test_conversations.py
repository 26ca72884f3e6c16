from __future__ import annotations

import pytest

from lib.errors import ConversationNotFound
from lib.upstreams.chatglm.conversations import addressed, labelled
from tests.unit.upstreams.chatglm.accounts.fakes import make_account

A, B = make_account("a"), make_account("b")


def test_of_several_accounts_the_id_names_its_own() -> None:
    assert labelled("65f0", A.label, (A,)) == "65f0"
    assert labelled("65f0", A.label, (A, B)) == f"65f0-{A.label}"


@pytest.mark.parametrize("sent", ["", "none"])
def test_no_id_is_a_new_conversation(sent: str) -> None:
    assert addressed(sent, (A, B)) == ("", (A, B))


def test_an_id_with_a_label_is_that_accounts() -> None:
    assert addressed(labelled("65f0", B.label, (A, B)), (A, B)) == ("65f0", (B,))
    assert addressed(labelled("none", B.label, (A, B)), (A, B)) == ("none", (B,))


def test_an_id_without_a_label_is_any_accounts() -> None:
    assert addressed("65f0-notalabel", (A, B)) == ("65f0-notalabel", (A, B))


def test_the_id_of_anothers_conversation_is_refused() -> None:
    with pytest.raises(ConversationNotFound, match=B.label) as caught:
        addressed(f"65f0-{B.label}", (A,))
    assert caught.value.param == "conversation_id"
