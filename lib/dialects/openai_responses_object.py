"""The response around its items: its state, its usage, its error, and the request's fields again."""

from __future__ import annotations

from typing import Literal, assert_never

import msgspec

from lib.chat.events import Finished, Usage
from lib.dialects.interface import Rendering
from lib.dialects.openai_errors import type_of
from lib.dialects.openai_responses_items import WireItem
from lib.dialects.openai_responses_request import AskedResponse
from lib.errors import GatewayError, InvalidRequest, Throttled


class _InputDetails(msgspec.Struct):
    cached_tokens: int
    cache_write_tokens: int = 0


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int


class _Usage(msgspec.Struct):
    input_tokens: int
    input_tokens_details: _InputDetails
    output_tokens: int
    output_tokens_details: _OutputDetails
    total_tokens: int


class _Error(msgspec.Struct):
    code: str
    """One of OpenAI's own words."""
    message: str
    type: str
    param: str | None
    reason: str
    """The gateway's code, as docs/errors.md lists it."""


class _Incomplete(msgspec.Struct):
    reason: Literal["max_output_tokens", "content_filter"]


class _Response(msgspec.Struct, kw_only=True):
    """A response without the fields that repeat the request."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    completed_at: int | None = None
    error: _Error | None = None
    incomplete_details: _Incomplete | None = None
    model: str
    output: list[WireItem]
    usage: _Usage | None = None


_PARAMS = {
    "conversation_id": "previous_response_id",
    "max_tokens": "max_output_tokens",
    "messages": "input",
}

_encode = msgspec.json.Encoder().encode


def ongoing(asked: AskedResponse, how: Rendering, name: str) -> bytes:
    """Write the response as it is before its first item."""
    response = _Response(id=name, created_at=how.created, model=how.model, status="in_progress", output=[])
    return _response(asked, response)


def ended(asked: AskedResponse, how: Rendering, name: str, *, output: list[WireItem], end: Finished) -> bytes:
    """Write the response of a reply that has its ending."""
    is_whole = is_complete(end)
    response = _Response(
        id=name,
        created_at=how.created,
        model=how.model,
        status="completed" if is_whole else "incomplete",
        completed_at=how.now() if is_whole else None,
        incomplete_details=_incomplete(end),
        output=output,
        usage=_usage(end.usage),
    )
    return _response(asked, response)


def failed(
    asked: AskedResponse, how: Rendering, name: str, *, output: list[WireItem], error: GatewayError
) -> bytes:
    """Write the response of a reply that broke off."""
    response = _Response(
        id=name,
        created_at=how.created,
        model=how.model,
        status="failed",
        error=_error(error),
        output=output,
    )
    return _response(asked, response)


def param_of(error: GatewayError) -> str | None:
    """Name the place of a mistake as this dialect does: an upstream knows the neutral words alone."""
    return None if error.param is None else _PARAMS.get(error.param, error.param)


def is_complete(end: Finished) -> bool:
    return _incomplete(end) is None


def _response(asked: AskedResponse, response: _Response) -> bytes:
    return _encode(response)[:-1] + b"," + asked.echo + b"}"


def _incomplete(end: Finished) -> _Incomplete | None:
    match end.reason:
        case "length":
            return _Incomplete("max_output_tokens")
        case "content_filter":
            return _Incomplete("content_filter")
        case "stop" | "tool_calls":
            return None
        case _:
            assert_never(end.reason)


def _usage(usage: Usage) -> _Usage:
    return _Usage(
        input_tokens=usage.prompt_tokens,
        input_tokens_details=_InputDetails(usage.cached_tokens),
        output_tokens=usage.completion_tokens,
        output_tokens_details=_OutputDetails(usage.reasoning_tokens),
        total_tokens=usage.total_tokens,
    )


def _error(error: GatewayError) -> _Error:
    return _Error(_code(error), error.message, type_of(error), param_of(error), error.code)


def _code(error: GatewayError) -> str:
    """Return OpenAI's word: the SDK's type of a response's error has a closed list of them."""
    if error.code == "context_length_exceeded":
        return error.code  # not in that list, but OpenAI sends it, and Codex shortens its history by it
    if isinstance(error, Throttled):
        return "rate_limit_exceeded"
    return "invalid_prompt" if isinstance(error, InvalidRequest) else "server_error"
