from __future__ import annotations

import hashlib

import pytest

from lib.chat.caller import Caller
from lib.errors import AuthenticationFailed
from lib.settings import Settings
from lib.web.caller import MAX_TOKENS, identify, is_api_key
from lib.web.guessing import WrongCredential
from tests.unit.web.requests import make_request

OWNER = Settings(refresh_tokens=("own.er.token",), api_keys=("sk-1", "sk-2"), allow_passthrough=False)
OPEN = Settings(refresh_tokens=("own.er.token",))


def caller(settings: Settings, credential: str = "", brought: str | None = None) -> Caller:
    headers = [("authorization", f"Bearer {credential}")] if credential else []
    return identify(make_request(headers=headers), settings, brought=brought)


def test_a_key_opens_the_owners_accounts() -> None:
    assert caller(OWNER, "sk-2") == Caller(("own.er.token",), is_owner=True, key="sk-2")
    assert caller(OWNER, "", "sk-1") == Caller(("own.er.token",), is_owner=True, key="sk-1")


def test_tokens_are_their_bringers() -> None:
    assert caller(OPEN, "a.b.c") == Caller(("a.b.c",), is_owner=False)
    assert caller(OPEN, " a.b.c , d.e.f,") == Caller(("a.b.c", "d.e.f"), is_owner=False)
    assert caller(OPEN, "", "a.b.c") == Caller(("a.b.c",), is_owner=False)


@pytest.mark.parametrize("credential", ["sk-3", "a.b.c", "own.er.token", "sk-1,sk-2", "SK-1", "sk-1 x"])
def test_with_keys_alone_nothing_else_opens(credential: str) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        caller(OWNER, credential)
    assert credential not in caught.value.message


def test_a_refresh_token_in_the_place_of_a_key_is_named_if_pass_through_is_off() -> None:
    token = "eyJh.eyJ0eXBlIjoicmVmcmVzaCJ9.c2ln"
    with pytest.raises(WrongCredential, match="This is a refresh token, and pass-through is off here"):
        caller(OWNER, token)
    for credential in ("sk-3", ",", f"{token},x"):
        with pytest.raises(WrongCredential, match="The credential is not a key of API_KEYS"):
            caller(OWNER, credential)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("", "The request has no credential. Send 'Authorization: Bearer <key>'."),
        ("Bearer", "has no key after 'Bearer'. Is the variable with the key set?"),
        ("bearer  ", "has no key after 'Bearer'."),
        ("sk-1", "does not begin with 'Bearer'. Send 'Authorization: Bearer <key>'."),
        ("Basic c2stMTo=", "does not begin with 'Bearer'."),
    ],
)
def test_a_header_without_a_key_that_we_see_is_named(header: str, said: str) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        identify(make_request(headers=[("authorization", header)]), OWNER)
    assert said in caught.value.message
    assert "sk-1" not in caught.value.message


@pytest.mark.parametrize(
    ("credential", "said"),
    [
        ('"sk-1"', "Send the key alone."),
        ("Bearer sk-1", "Send the key alone."),
        ("“sk-1”", "Send the key alone."),
        ("eyJh.eyJ0eXBlIjoiYWNjZXNzIn0.c2ln", "an access token (not a refresh token), and pass-through"),
        ("0" * 32 + "." + "a" * 16, "This is a key of the official API, and pass-through is off here."),
        ("sk-3", "Send one of the keys in this setting"),
    ],
)
def test_a_wrong_credential_is_told_what_to_send(credential: str, said: str) -> None:
    with pytest.raises(WrongCredential) as caught:
        identify(make_request(), OWNER, brought=credential)
    assert said in caught.value.message
    assert credential not in caught.value.message


def test_a_gateway_without_keys_says_that_it_has_none() -> None:
    closed = Settings(refresh_tokens=("own.er.token",), allow_passthrough=False)
    with pytest.raises(WrongCredential, match=r"the gateway has none\. Set API_KEYS"):
        caller(closed, "sk-1")


@pytest.mark.parametrize(
    "credential",
    ["", "a.b", "a.b.c.d", "a.b.c,x", ",", "a.b.ç", "a.b.c d.e.f", "..", "a..c", "a.b." + "c" * 4093],
)
def test_what_has_not_the_form_of_tokens_opens_nothing(credential: str) -> None:
    with pytest.raises(AuthenticationFailed):
        caller(OPEN, credential)


def test_a_header_goes_before_what_was_brought() -> None:
    assert caller(OPEN, "a.b.c", "d.e.f").refresh_tokens == ("a.b.c",)


def test_of_several_keys_in_the_address_the_first_counts() -> None:
    assert identify(make_request(query="key=sk-1&key=x"), OWNER).key == "sk-1"
    with pytest.raises(AuthenticationFailed):
        identify(make_request(query="key=x&key=sk-1"), OWNER)


def test_a_credential_with_strange_characters_is_compared_all_the_same() -> None:
    with pytest.raises(AuthenticationFailed):
        identify(make_request(headers=[("x-api-key", "schlüssel")]), OWNER)
    with pytest.raises(AuthenticationFailed):
        identify(make_request(query="key=%ff%00"), OWNER)


def test_a_caller_is_shown_without_tokens() -> None:
    shown = repr(caller(OWNER, "sk-1"))
    assert "own.er" not in shown
    assert "sk-1" not in shown


def test_a_credential_of_many_tokens_is_refused() -> None:
    tokens = ",".join(f"a.b.c{number}" for number in range(MAX_TOKENS + 1))
    with pytest.raises(AuthenticationFailed, match=r"at most 16 .* got 17\."):
        caller(OPEN, tokens)
    assert len(caller(OPEN, tokens.rpartition(",")[0]).refresh_tokens) == MAX_TOKENS


def test_a_token_counts_once_however_often_it_is_named() -> None:
    assert caller(OPEN, "a.b.c," * 100 + "d.e.f").refresh_tokens == ("a.b.c", "d.e.f")


# Keys that are given as their hashes


def hashed(key: str) -> str:
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


@pytest.mark.parametrize("spell", [str, str.upper], ids=["lower", "upper"])
def test_a_hashed_key_is_opened_by_the_key_and_never_by_its_hash(spell: type[str]) -> None:
    entry = "sha256:" + spell(hashed("sk-3").removeprefix("sha256:"))
    settings = Settings(refresh_tokens=("own.er.token",), api_keys=("sk-1", entry), allow_passthrough=True)
    assert caller(settings, "sk-3") == Caller(("own.er.token",), is_owner=True, key="sk-3")
    assert caller(settings, "sk-1").is_owner
    for wrong in (entry, entry.lower(), entry.removeprefix("sha256:"), "sk-2", hashed(entry), "sha256:"):
        with pytest.raises(AuthenticationFailed):
            caller(settings, wrong)


def test_a_clear_key_is_not_opened_by_its_hash() -> None:
    for wrong in (hashed("sk-1"), hashlib.sha256(b"sk-1").hexdigest()):
        with pytest.raises(AuthenticationFailed):
            caller(OWNER, wrong)


def test_every_key_is_compared_and_each_comparison_is_of_equal_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("hmac.compare_digest", compare)
    settings = Settings(api_keys=("a", "a-much-longer-key" * 9, hashed("b")))
    for credential in ("a", "b", "a-much-longer-key" * 9, "x" * 1000):
        compared.clear()
        assert is_api_key(credential, settings) == (credential[0] != "x")
        assert len(compared) == 3, "the first that matches ends nothing"
        assert {len(text) for pair in compared for text in pair} == {32}


def test_what_opens_nothing_is_told_apart_from_what_was_never_sent() -> None:
    with pytest.raises(WrongCredential):
        caller(OWNER, "sk-3")
    with pytest.raises(AuthenticationFailed) as caught:
        caller(OWNER)
    assert not isinstance(caught.value, WrongCredential)
