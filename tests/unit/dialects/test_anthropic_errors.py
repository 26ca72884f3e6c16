"""Errors in Anthropic's shape: the table of types, the statuses, the request's id."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lib import errors
from lib.dialects.anthropic_errors import error_body, error_event, status_of, type_of
from lib.errors import GatewayError


def test_an_error_to_the_byte() -> None:
    error = errors.InvalidRequest("Wrong “role”.", param="messages[0].role")
    told = (
        '{"type":"error","error":{"type":"invalid_request_error","message":"Wrong “role”.",'
        '"code":"invalid_value","param":"messages[0].role"},"request_id":"req-1"}'
    )
    assert error_body(error, "req-1").decode() == told
    assert error_event(error, "req-1").decode() == f"event: error\ndata: {told}\n\n"


def test_an_error_outside_of_any_request_has_no_id() -> None:
    told: dict[str, Any] = json.loads(error_body(errors.UpstreamTimeout("Silence.")))
    assert told["request_id"] is None
    assert told["error"]["param"] is None


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (errors.InvalidRequest("x"), 400, "invalid_request_error"),
        (errors.AuthenticationFailed("x"), 401, "authentication_error"),
        (errors.AccountRefused("x"), 401, "authentication_error"),
        (errors.NotFound("x"), 404, "not_found_error"),
        (errors.ConversationNotFound("x"), 404, "not_found_error"),
        (errors.MethodNotAllowed("x"), 405, "not_found_error"),
        (errors.RequestTimeout("x"), 408, "invalid_request_error"),
        (errors.RequestTooLarge("x"), 413, "request_too_large"),
        (errors.UnsupportedEncoding("x"), 415, "invalid_request_error"),
        (errors.Throttled("x"), 429, "rate_limit_error"),
        (errors.Throttled("x", number=1302), 429, "rate_limit_error"),
        (errors.Throttled("x", number=1305), 529, "overloaded_error"),
        (errors.UpstreamRejected("x", number=1312), 529, "overloaded_error"),
        (GatewayError("x"), 500, "api_error"),
        (errors.UpstreamError("x"), 502, "api_error"),
        (errors.NoAccountAvailable("x"), 503, "api_error"),
        (errors.Overloaded("x"), 529, "overloaded_error"),
        (errors.ShuttingDown("x"), 529, "overloaded_error"),
        (errors.UpstreamTimeout("x"), 504, "api_error"),
    ],
)
def test_every_kind_has_its_type_and_status(error: GatewayError, status: int, kind: str) -> None:
    assert (status_of(error), type_of(error)) == (status, kind)


def test_what_is_forbidden_is_a_permission_error() -> None:
    class Forbidden(GatewayError):
        status = 403

    assert type_of(Forbidden("x")) == "permission_error"
