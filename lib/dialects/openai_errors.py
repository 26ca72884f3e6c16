"""Errors in OpenAI's shape: one object with four keys, of which `param` and `code` may be null."""

from __future__ import annotations

import msgspec

from lib import sse
from lib.errors import GatewayError


class _Error(msgspec.Struct):
    message: str
    type: str
    param: str | None
    code: str | None


class _Body(msgspec.Struct):
    error: _Error


def error_body(error: GatewayError) -> bytes:
    return msgspec.json.encode(_Body(_Error(error.message, error.type, error.param, error.code)))


def error_event(error: GatewayError) -> bytes:
    """Tell a stream's reader, whose status is long sent; nothing may follow it, not even [DONE]."""
    return sse.encode_data(error_body(error))
