from __future__ import annotations

import base64

import msgspec
import pytest

from lib.store.envelope import Envelope, Secret, enclose

FIRST, SECOND, OTHER = Secret("first"), Secret("second"), Secret("other")
TEXT = "eyJ.refresh.token"


def test_each_secret_opens_it_and_no_other_does() -> None:
    envelope = enclose(TEXT, (FIRST, SECOND))
    assert envelope.open((FIRST,)) == envelope.open((OTHER, SECOND)) == TEXT
    assert envelope.open((OTHER,)) is envelope.open(()) is None


def test_it_knows_for_which_secrets_it_was_made() -> None:
    envelope = enclose(TEXT, (FIRST, SECOND))
    assert envelope.is_for((SECOND, FIRST))
    assert not envelope.is_for((FIRST,))
    assert not envelope.is_for((FIRST, SECOND, OTHER))


def test_it_shows_neither_the_text_nor_a_secret_nor_the_same_twice() -> None:
    one, two = enclose(TEXT, (FIRST,)), enclose(TEXT, (FIRST,))
    assert not {one.sealed, *one.copies.values()} & {two.sealed, *two.copies.values()}
    for value in (one.sealed, *one.copies.values()):
        assert not [word for word in (TEXT, "first") if word.encode() in base64.b64decode(value)]
    assert "first" not in msgspec.json.encode(one).decode()
    assert "first" not in repr(FIRST)


def test_a_secret_that_was_taken_away_opens_nothing_that_is_made_later() -> None:
    old = enclose(TEXT, (FIRST, SECOND))
    new = enclose(TEXT, (SECOND,))
    assert Envelope({**old.copies, **new.copies}, new.sealed).open((FIRST,)) is None


@pytest.mark.parametrize("part", ["sealed", "copy"])
def test_it_opens_to_nothing_if_it_was_tampered_with(part: str) -> None:
    good = enclose(TEXT, (FIRST,))
    (copy,) = good.copies.values()
    broken = (good.sealed if part == "sealed" else copy)[:-8] + "AAAAAAA="
    sealed = broken if part == "sealed" else good.sealed
    copies = good.copies if part == "sealed" else {FIRST.name: broken}
    assert Envelope(copies, sealed).open((FIRST,)) is None
