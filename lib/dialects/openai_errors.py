"""Errors in OpenAI's shape: one object with four keys. `param` and `code` may be null."""

from __future__ import annotations

import msgspec

from lib import sse
from lib.errors import AuthenticationFailed, GatewayError, InvalidRequest, PermissionDenied, Throttled


class _Error(msgspec.Struct):
    message: str
    type: str
    param: str | None
    code: str | None


class _Body(msgspec.Struct):
    error: _Error


def error_body(error: GatewayError, *, param: str | None = None) -> bytes:
    """Write the error. `param` replaces the error's own place, for a dialect with other field names."""
    param = error.param if param is None else param
    return msgspec.json.encode(_Body(_Error(error.message, type_of(error), param, error.code)))


def error_event(error: GatewayError) -> bytes:
    """Make a stream's error event. It is the last event of the stream: not even [DONE] follows."""
    return sse.encode_data(error_body(error))


def type_of(error: GatewayError) -> str:
    """Return OpenAI's name for the kind of error."""
    match error:
        case InvalidRequest():
            return "invalid_request_error"
        case AuthenticationFailed():
            return "authentication_error"
        case PermissionDenied():
            return "permission_error"
        case Throttled():
            return "rate_limit_error"
        case _:
            return "api_error"
