"""The meaning of the official API's errors, in a JSON answer or inside a stream (official.md §5, 2026-11)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from lib.errors import (
    AccountRefused,
    GatewayError,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    QuotaExceeded,
    Throttled,
    UpstreamProtocolError,
    UpstreamRejected,
)
from lib.receiving import Answer

BREAKDOWNS = frozenset((500, 1200, 1230, 1234))
TOO_MANY = frozenset((1302, 1303))
"""Too many requests of this key and model at once."""
OVERLOADED = frozenset((1305, 1312))
"""The model is overloaded. The key cannot change that."""
LIMIT_REACHED = frozenset((1304, 1308, 1310))
"""A limit of a day, five hours or a week is reached. The text says when it ends."""
NO_BALANCE = 1113
REPEATED_ID = 1231
SEARCH_BUSY = 1701

DEFAULT_REST_S = 60.0
"""A key and model rest so long if a reached limit does not say when it ends."""
OVERLOADED_REST_S = 5.0
MAX_WORDS = 200
MAX_SEARCHED = 2_000
"""Secrets are looked for in so much of a text: the time of the search grows with its square."""

MAX_REST_S = 32 * 86400.0
"""The longest limit is a month's. A later time is a mistake, which must not close the key for good."""

_SECRET = re.compile(
    r"bearer\s+[\w.~+/=-]{8,}|eyJ[\w.-]*|sk-[\w-]{8,}|[0-9a-f]{32}(?:\.\w+)?|\b[\w-]{20,}\.\w{8,}",
    re.IGNORECASE,
)
"""Tokens, and keys of the vendor's form and of others: GLM_API_BASE_URL may be another service's."""
_TIME = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}")
_VENDOR_ZONE = timedelta(hours=8)
"""The texts name no zone. The vendor counts in UTC+8 (observed 2026-08-31)."""


class _Told(msgspec.Struct):
    code: int | str | None = None
    message: str | None = None


class _Envelope(msgspec.Struct):
    error: _Told | str | None = None
    code: int | str | None = None
    message: str | None = None
    msg: str | None = None
    status: int | str | None = None


_decode = msgspec.json.Decoder(_Envelope).decode
_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def check(answer: Answer, *, now: float) -> Answer:
    """Return a success; raise the error that another answer means. HTTP 200 may hold an error, too."""
    is_json = "json" in answer.content_type or answer.body.lstrip()[:1] == b"{"
    if answer.status_code == 200 and not is_json:
        return answer
    try:
        envelope = _decode(answer.body)
    except _UNDECODABLE:
        if answer.status_code == 200 and answer.body.strip():
            return answer  # Another shape; its reader will say what is wrong with it.
        raise _unreadable(answer) from None
    told = _told_in(envelope)
    if answer.status_code == 200 and told is None:
        return answer
    raise error_of(told or _Told(), http_status=answer.status_code, now=now)


def no_events(answer: Answer) -> GatewayError:
    """Return the error for a whole answer in place of a stream of events."""
    kind = answer.content_type.partition(";")[0].strip() or "a body of no declared type"
    return UpstreamProtocolError(f"Expected a stream of the official API, got {kind}.", retry="never")


def error_in(chunk: Any, *, now: float) -> GatewayError | None:
    """Return the error that a piece of a stream holds, or None."""
    try:
        told = _told_in(msgspec.convert(chunk, _Envelope))
    except msgspec.ValidationError:
        return None
    return None if told is None else error_of(told, http_status=None, now=now)


def _told_in(envelope: _Envelope) -> _Told | None:
    match envelope.error:
        case _Told() as told:
            return told
        case str() as words:
            return _Told(envelope.code if envelope.code is not None else envelope.status, words)
    if envelope.code not in (None, 0, 200, "0", "200"):
        return _Told(envelope.code, envelope.message or envelope.msg)
    return None


def _unreadable(answer: Answer) -> GatewayError:
    """Return the error for an answer without JSON. Most often it is a firewall's page."""
    kind = answer.content_type.partition(";")[0].strip() or "a body of no declared type"
    status = answer.status_code
    if status == 429:
        return Throttled("The official API answered HTTP 429.", retry_after_s=1.0, http_status=status)
    if status >= 500:
        return _broke_down(f"The official API answered HTTP {status} with {kind}.").numbered(None, status)
    return UpstreamProtocolError(
        f"The official API answered HTTP {status} with {kind} instead of JSON.",
        retry="never",
        http_status=status,
    )


def error_of(told: _Told, *, http_status: int | None, now: float) -> GatewayError:
    number = _number_of(told.code)
    words = without_secrets(told.message or "no message")
    shown = number if number is not None else f"HTTP {http_status}" if http_status else "an error"
    meaning = _meaning(number, http_status or 0, words, now)
    return meaning(f"The official API answered {shown}: {words}").numbered(number, http_status)


def without_secrets(said: str) -> str:
    """Return the API's words. Callers and logs read them, so keys and tokens in them are replaced."""
    return _SECRET.sub("…", said[:MAX_SEARCHED])[:MAX_WORDS].rstrip(".") + "."


def _number_of(code: int | str | None) -> int | None:
    if isinstance(code, str):
        return int(code) if code.isascii() and code.isdigit() and len(code) < 9 else None
    return code


Meaning = Callable[[str], GatewayError]


def _meaning(number: int | None, status: int, words: str, now: float) -> Meaning:
    match number:
        case 1000 | 1001 | 1002 | 1003 | 1004 | 1005:
            return _refused_key
        case 1113:
            return _no_balance
        case 1110 | 1111 | 1112 | 1120 | 1121 | 1220 | 434:
            return PermissionDenied
        case 1211:
            return lambda message: NotFound(message, code="model_not_found", param="model")
        case 1210 | 1212 | 1213 | 1214 | 1215 | 1221 | 1222 | 1231 | 1702 | 1703:
            return InvalidRequest
        case 1261:
            return lambda message: InvalidRequest(message, code="context_length_exceeded", param="messages")
        case 1300 | 1301:
            return lambda message: InvalidRequest(message, code="content_filter")
        case 1302 | 1303 | 1701:
            return lambda message: Throttled(message, retry_after_s=1.0)
        case 1305 | 1312:
            return lambda message: Throttled(message, retry_after_s=OVERLOADED_REST_S)
        case 1304 | 1308 | 1310:
            rest_s = rest_in(words, now)
            return lambda message: Throttled(message, retry_after_s=rest_s, retry="never")
        case int() if number == 1309 or 1311 <= number <= 1321:
            return lambda message: QuotaExceeded(
                f"{message} This is a limit of the key's plan.", retry="never"
            )
        case 500 | 1200 | 1230 | 1234:
            return _broke_down
    return _meaning_of_status(status)


def _meaning_of_status(status: int) -> Meaning:
    """Return the meaning of a number that we do not know."""
    if status == 401:
        return _refused_key
    if status == 403:
        return PermissionDenied
    if status == 429:
        return lambda message: Throttled(message, retry_after_s=1.0)
    if status == 404:
        return lambda message: UpstreamRejected(f"{message} Check GLM_API_BASE_URL.", retry="never")
    if 400 <= status < 500:
        return InvalidRequest
    return _broke_down


def _refused_key(message: str) -> GatewayError:
    return AccountRefused(f"{message} The key is wrong or expired.", code="invalid_api_key")


def _no_balance(message: str) -> GatewayError:
    hint = "The key has no balance for this model. Is it a key of the Coding Plan? Those do not serve here."
    return QuotaExceeded(f"{message} {hint}")


def _broke_down(message: str) -> GatewayError:
    return UpstreamRejected(message, retry="again")


def rest_in(words: str, now: float) -> float:
    """Return the seconds until the time in the text, English or Chinese."""
    found = _TIME.search(words)
    if found is None:
        return DEFAULT_REST_S
    try:
        local = datetime.strptime(found[0], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return DEFAULT_REST_S
    rest_s = (local - _VENDOR_ZONE).timestamp() - now
    return max(1.0, rest_s) if rest_s <= MAX_REST_S else DEFAULT_REST_S
