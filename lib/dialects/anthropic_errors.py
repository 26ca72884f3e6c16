"""Errors in Anthropic's shape, with the request's id in the body and the status 529 for an overload."""

from __future__ import annotations

from typing import Literal

import msgspec

from lib import sse
from lib.dialects.interface import OVERLOADED_NUMBERS, ErrorForm
from lib.errors import GatewayError, Overloaded, ShuttingDown

OVERLOADED_STATUS = 529

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    OVERLOADED_STATUS: "overloaded_error",
}


class _Error(msgspec.Struct):
    type: str
    message: str
    code: str
    """The gateway's own name for the error; Anthropic has no such field."""
    param: str | None


class _Body(msgspec.Struct, kw_only=True):
    type: Literal["error"] = "error"
    error: _Error
    request_id: str | None


def status_of(error: GatewayError) -> int:
    if isinstance(error, Overloaded | ShuttingDown) or error.number in OVERLOADED_NUMBERS:
        return OVERLOADED_STATUS
    return error.status


def type_of(error: GatewayError) -> str:
    """Return Anthropic's name for the kind of error."""
    status = status_of(error)
    return _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")


def error_body(error: GatewayError, request_id: str = "") -> bytes:
    told = _Error(type_of(error), error.message, error.code, error.param)
    return msgspec.json.encode(_Body(error=told, request_id=request_id or None))


def error_event(error: GatewayError, request_id: str) -> bytes:
    """Tell a stream's reader, whose status is long sent; nothing may follow it."""
    return b"event: error\n" + sse.encode_data(error_body(error, request_id))


ERROR_FORM = ErrorForm(body=error_body, status=status_of)
