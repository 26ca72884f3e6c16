"""Signatures against AWS's own test vectors (aws-sig-v4-test-suite), those of them that POST to / ."""

from __future__ import annotations

from calendar import timegm

import pytest

from lib.store.sigv4 import Credentials, sign

KEY = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
AT = float(timegm((2015, 8, 30, 12, 36, 0)))
SESSION_TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8Y"
    "UuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8"
    "YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2IC"
    "CR/oLxBA=="
)
HOST = {"Host": "example.amazonaws.com"}


@pytest.mark.parametrize(
    ("headers", "body", "token", "names", "signature"),
    [
        (
            {},
            b"",
            "",
            "host;x-amz-date",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            {"My-Header1": "value1"},
            b"",
            "",
            "host;my-header1;x-amz-date",
            "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
        ),
        (
            {"My-Header1": "VALUE1"},
            b"",
            "",
            "host;my-header1;x-amz-date",
            "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
        ),
        (
            {"Content-Type": "application/x-www-form-urlencoded"},
            b"Param1=value1",
            "",
            "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
        (
            {},
            b"",
            SESSION_TOKEN,
            "host;x-amz-date;x-amz-security-token",
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
        ),
    ],
    ids=[
        "post-vanilla",
        "post-header-key-sort",
        "post-header-value-case",
        "post-x-www-form-urlencoded",
        "post-sts-header-before",
    ],
)
def test_a_published_vector_is_signed_as_published(
    headers: dict[str, str], body: bytes, token: str, names: str, signature: str
) -> None:
    signed = sign(
        HOST | headers, body, Credentials(*KEY, token), region="us-east-1", service="service", now=AT
    )
    assert signed["x-amz-date"] == "20150830T123600Z"
    assert signed.get("x-amz-security-token", "") == token
    assert signed["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )


def test_spaces_in_a_header_count_once() -> None:
    values = {
        sign({**HOST, "My-Header1": value}, b"", Credentials(*KEY), region="us-east-1", service="s", now=AT)[
            "authorization"
        ]
        for value in ("a b c", "  a   b c ")
    }
    assert len(values) == 1


def test_credentials_are_not_shown() -> None:
    assert "wJalr" not in repr(Credentials(*KEY, "token"))
    assert "token" not in repr(Credentials(*KEY, "token"))
