from __future__ import annotations

import base64
import hashlib

import pytest

from lib.errors import AccountRefused
from lib.upstreams.chatglm.accounts.account import parse_account, parse_accounts, read_expiry, token_expiry
from tests.unit.upstreams.chatglm.accounts.fakes import make_jwt


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_claims_are_read_from_the_token() -> None:
    token = make_jwt(
        type="refresh", uid="65a", device_id="0123456789abcdef0123456789abcdef", exp=1_790_000_000
    )
    account = parse_account(token)
    assert account.refresh_token == token
    assert account.uid == "65a"
    assert account.label == sha256("65a")[:8]
    assert account.key == sha256(token)
    assert account.device_id == "0123456789abcdef0123456789abcdef"
    assert account.expires_at == 1_790_000_000.0


def test_space_around_a_token_is_not_part_of_it() -> None:
    token = make_jwt(uid="65a")
    assert parse_account(f" {token}\n") == parse_account(token)


def test_a_numeric_uid_is_a_uid() -> None:
    assert parse_account(make_jwt(uid=42)).uid == "42"


@pytest.mark.parametrize("uid", ["", None, True, ["65a"]])
def test_without_a_uid_the_label_is_of_the_token(uid: object) -> None:
    token = make_jwt(uid=uid)
    account = parse_account(token)
    assert account.uid is None
    assert account.label == sha256(token)[:8]


@pytest.mark.parametrize(
    "device_id", [None, 7, "", "short", "0" * 65, "0123456789\r\nX-Evil: 1", "设备设备设备设备"]
)
def test_a_device_id_that_is_no_header_value_is_replaced_by_a_stable_one(device_id: object) -> None:
    token = make_jwt(uid="65a", device_id=device_id)
    account = parse_account(token)
    assert len(account.device_id) == 32
    assert int(account.device_id, 16) >= 0
    assert account.device_id == parse_account(token).device_id
    assert account.device_id != parse_account(make_jwt(uid="65a", device_id=device_id, jti=2)).device_id
    assert not account.key.startswith(account.device_id)


def payload(text: str | bytes) -> str:
    raw = text if isinstance(text, bytes) else text.encode()
    return f"head.{base64.urlsafe_b64encode(raw).decode()}.tail"


JUNK = [
    "",
    "junk",
    "a.b.c",
    "...",
    "智谱.清言.",
    "\udcff.\udcff.",
    "a.=.c",
    payload("no json"),
    payload(b"\xff\xfe{"),
    payload("[1]"),
    payload('"text"'),
    payload("[" * 100_000),
    payload('{"exp": ' + "9" * 5000 + "}"),
]


@pytest.mark.parametrize("token", JUNK)
def test_junk_is_an_account_of_which_nothing_is_known(token: str) -> None:
    account = parse_account(token)
    assert (account.uid, account.expires_at) == (None, None)
    assert account.label == account.key[:8]
    assert len(account.device_id) == 32


@pytest.mark.parametrize(
    "exp", [None, "1790000000", True, 0, -1, float("nan"), float("inf"), 1_790_000_000_000, [1]]
)
def test_an_expiry_that_is_no_date_is_none(exp: object) -> None:
    jwt = make_jwt(exp=exp)
    assert read_expiry(jwt) is None
    assert token_expiry(jwt, now=1000.0) == 4600.0


def test_the_expiry_is_the_tokens_own_word() -> None:
    assert token_expiry(make_jwt(exp=1_790_000_000.5), now=1000.0) == 1_790_000_000.5


def test_an_access_token_is_refused_with_the_name_of_the_right_cookie() -> None:
    token = make_jwt(type="access", uid="65a")
    with pytest.raises(AccountRefused, match="chatglm_refresh_token") as caught:
        parse_account(token)
    assert caught.value.code == "invalid_api_key"
    assert token not in str(caught.value)


def test_of_several_tokens_of_one_account_the_first_counts() -> None:
    first, again, other = make_jwt(uid="a", jti=1), make_jwt(uid="a", jti=2), make_jwt(uid="b")
    accounts = parse_accounts([first, other, again])
    assert [account.refresh_token for account in accounts] == [first, other]


def test_nothing_secret_or_personal_is_in_the_repr() -> None:
    token = make_jwt(uid="someone", device_id="secretdevice")
    text = repr(parse_account(token))
    assert "label=" in text
    for secret in (token, sha256(token), "someone", "secretdevice"):
        assert secret not in text
