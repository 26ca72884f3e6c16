"""Errors in Google's shape: the canonical name of a status, and the gateway's own code as a reason."""

from __future__ import annotations

import msgspec

from lib.dialects.interface import OVERLOADED_NUMBERS, ErrorForm
from lib.errors import GatewayError

DOMAIN = "glm-gateway"

_NAMES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class _ErrorInfo(
    msgspec.Struct, kw_only=True, tag_field="@type", tag="type.googleapis.com/google.rpc.ErrorInfo"
):
    reason: str
    """The gateway's own name for the error."""
    domain: str = DOMAIN
    metadata: dict[str, str]
    """`param` names the place of a mistake in the request."""


class _RetryInfo(msgspec.Struct, tag_field="@type", tag="type.googleapis.com/google.rpc.RetryInfo"):
    retry_delay: str = msgspec.field(name="retryDelay")
    """Seconds, as `30s`. Google's clients read it here and not in the header."""


class _Error(msgspec.Struct):
    code: int
    """The HTTP status."""
    message: str
    status: str
    details: list[_ErrorInfo | _RetryInfo]


class _Body(msgspec.Struct):
    error: _Error


def status_of(error: GatewayError) -> int:
    return 503 if error.number in OVERLOADED_NUMBERS else error.status


def name_of(error: GatewayError) -> str:
    """Return Google's name for the kind of error."""
    status = status_of(error)
    return _NAMES.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL")


def error_body(error: GatewayError, _request_id: str = "") -> bytes:
    told = _Error(status_of(error), error.message, name_of(error), _details(error))
    return msgspec.json.encode(_Body(told))


def _details(error: GatewayError) -> list[_ErrorInfo | _RetryInfo]:
    metadata = {} if error.param is None else {"param": error.param}
    details: list[_ErrorInfo | _RetryInfo] = [_ErrorInfo(reason=error.code, metadata=metadata)]
    if error.retry_after_s is not None:
        details.append(_RetryInfo(f"{max(1, round(error.retry_after_s + 0.5))}s"))
    return details


ERROR_FORM = ErrorForm(body=error_body, status=status_of)
