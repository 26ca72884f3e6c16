"""Check a call's signature, headers and bearer (protocol.md §1.3 to §1.5)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .accounts import NOBODY, Account, AccountBook, Bearer

SIGN_SECRET = "8a1317a7468aa3ad86e997d08f3f31cb"
MAX_CLOCK_SKEW_MS = 5 * 60 * 1000

_HEX32 = re.compile(r"[0-9a-f]{32}")
_SIGNATURE_HEADERS = ("x-timestamp", "x-nonce", "x-sign")
_REQUIRED_HEADERS = ("app-name", "x-app-platform", "x-app-version", "x-device-id", "x-request-id")
_EXPECTED_HEADERS = ("x-app-fr", "x-lang", "x-device-model", "x-device-brand", "origin", "referer")
"""The web sends these too. It is not known if the upstream insists on them: a call without them is noted."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error answer."""

    http_status: int
    status: int
    message: str
    violation: str | None = None
    """None if a correct gateway could not have avoided it; an expired token is such a case."""


class Nonces:
    """Remember the nonces of the last minutes; the timestamp check refuses older ones."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def take(self, nonce: str, now_ms: int) -> bool:
        """Take a nonce; return False if it was seen before."""
        for old, seen_at_ms in list(self._oldest(2)):
            if now_ms - seen_at_ms > 2 * MAX_CLOCK_SKEW_MS:
                del self._seen[old]
        if nonce in self._seen:
            return False
        self._seen[nonce] = now_ms
        return True

    def _oldest(self, count: int) -> Iterator[tuple[str, int]]:
        # Two per call are enough to keep up with one new nonce per call.
        for _, entry in zip(range(count), self._seen.items(), strict=False):
            yield entry


def has_check_digit(timestamp: str) -> bool:
    digits = [int(digit) for digit in timestamp]
    return digits[-2] == (sum(digits) - digits[-2]) % 10


def sign(timestamp: str, nonce: str, secret: str = SIGN_SECRET) -> str:
    return hashlib.md5(f"{timestamp}-{nonce}-{secret}".encode(), usedforsecurity=False).hexdigest()


def check_signature(
    headers: Mapping[str, str], *, now_ms: int, nonces: Nonces, may_be_stale: bool = False
) -> Refusal | None:
    missing = [name for name in _SIGNATURE_HEADERS if not headers.get(name)]
    if len(missing) == len(_SIGNATURE_HEADERS):
        return _bad_request(40001, "unsigned")
    if missing:
        return _bad_request(40011, f"signature headers missing: {', '.join(missing)}")
    timestamp, nonce, signature = (headers[name] for name in _SIGNATURE_HEADERS)
    if not re.fullmatch(r"[0-9]{13}", timestamp):
        return _bad_request(40014, f"X-Timestamp is not 13 digits: {timestamp!r}")
    if not has_check_digit(timestamp):
        return _bad_request(40014, f"check digit of X-Timestamp is wrong: {timestamp}")
    if not _HEX32.fullmatch(nonce):
        return _bad_request(40014, f"nonce is not 32 lower-case hex digits: {nonce!r}")
    if signature != sign(timestamp, nonce):
        return _bad_request(40014, "X-Sign is wrong")
    if not may_be_stale and abs(now_ms - int(timestamp)) > MAX_CLOCK_SKEW_MS:
        return _bad_request(40014, f"signature is stale: {timestamp}")
    if not nonces.take(nonce, now_ms):
        return _bad_request(40014, "nonce reused")
    return None


def check_headers(headers: Mapping[str, str]) -> Refusal | None:
    if not headers.get("user-agent"):
        return _bad_request(40002, "User-Agent missing")
    missing = [name for name in _REQUIRED_HEADERS if not headers.get(name)]
    if missing:
        return _bad_request(40001, f"headers missing: {', '.join(missing)}")
    return None


def odd_headers(headers: Mapping[str, str], *, method: str, accept: str) -> Iterator[str]:
    """Name the differences from a browser's headers that the upstream is not known to refuse."""
    missing = [name for name in _EXPECTED_HEADERS if name not in headers]
    if missing:
        yield f"headers missing: {', '.join(missing)}"
    if not headers["user-agent"].startswith("Mozilla/"):
        yield f"User-Agent is not a browser's: {headers['user-agent']!r}"
    yield from (
        f"{name} is not 32 hex digits: {headers[name]!r}"
        for name in ("x-device-id", "x-request-id")
        if not _HEX32.fullmatch(headers[name])
    )
    if headers["app-name"] != "chatglm":
        yield f"App-Name is {headers['app-name']!r}"
    if accept not in headers.get("accept", ""):
        yield f"Accept has no {accept}: {headers.get('accept')!r}"
    is_typed = headers.get("content-type", "").startswith(("application/json", "multipart/form-data"))
    if method == "POST" and not is_typed:
        yield f"Content-Type is {headers.get('content-type')!r}"


def check_bearer(headers: Mapping[str, str], *, bearer: Bearer, book: AccountBook) -> Account | Refusal:
    if bearer == "none":
        return NOBODY
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not token:
        return Refusal(401, 40103, "user needs login", "no bearer")
    found = book.read_unexpired(token)
    if found is None:
        return _unauthorized()
    account, actual_type = found
    if actual_type != bearer:
        return _unauthorized(f"{actual_type} token used as {bearer} token")
    if bearer == "access":
        account.rotation_is_used |= token == account.newest_access_token
        return account if token in account.access_tokens else _unauthorized()
    if account.accepts_refresh_token(token):
        return account
    if token in account.refused_tokens:
        return _unauthorized()
    return _unauthorized(f"rotated refresh token of account {account.uid} used again")


def _unauthorized(violation: str | None = None) -> Refusal:
    return Refusal(401, 40102, "unauthorized user(40102)", violation)


def _bad_request(status: int, violation: str) -> Refusal:
    return Refusal(400, status, f"bad request({status})", violation)
