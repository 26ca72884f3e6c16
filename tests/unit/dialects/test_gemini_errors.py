"""Errors in Google's shape: the table of names, the statuses, our code as the reason."""

from __future__ import annotations

import json

import pytest

from lib import errors
from lib.dialects.gemini_errors import ERROR_FORM, error_body, name_of, status_of
from lib.errors import GatewayError


def test_an_error_to_the_byte() -> None:
    error = errors.InvalidRequest("Wrong “role”.", param="contents[0].role")
    told = (
        '{"error":{"code":400,"message":"Wrong “role”.","status":"INVALID_ARGUMENT","details":['
        '{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"invalid_value","domain":"glm-gateway",'
        '"metadata":{"param":"contents[0].role"}}]}}'
    )
    assert error_body(error).decode() == told
    assert ERROR_FORM.body(error, "req-1").decode() == told


def test_the_time_to_wait_is_told_in_the_body_too() -> None:
    details = json.loads(error_body(errors.Throttled("x", retry_after_s=30.0)))["error"]["details"]
    assert details[0] == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "rate_limit_exceeded",
        "domain": "glm-gateway",
        "metadata": {},
    }
    assert details[1:] == [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "30s"}]
    assert json.loads(error_body(errors.Throttled("x", retry_after_s=0.1)))["error"]["details"][1] == {
        "@type": "type.googleapis.com/google.rpc.RetryInfo",
        "retryDelay": "1s",
    }


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (errors.InvalidRequest("x"), 400, "INVALID_ARGUMENT"),
        (errors.AuthenticationFailed("x"), 401, "UNAUTHENTICATED"),
        (errors.AccountRefused("x"), 401, "UNAUTHENTICATED"),
        (errors.NotFound("x"), 404, "NOT_FOUND"),
        (errors.MethodNotAllowed("x"), 405, "NOT_FOUND"),
        (errors.RequestTimeout("x"), 408, "INVALID_ARGUMENT"),
        (errors.RequestTooLarge("x"), 413, "INVALID_ARGUMENT"),
        (errors.UnsupportedEncoding("x"), 415, "INVALID_ARGUMENT"),
        (errors.Throttled("x"), 429, "RESOURCE_EXHAUSTED"),
        (errors.Throttled("x", number=1302), 429, "RESOURCE_EXHAUSTED"),
        (errors.Throttled("x", number=1305), 503, "UNAVAILABLE"),
        (errors.UpstreamRejected("x", number=1312), 503, "UNAVAILABLE"),
        (GatewayError("x"), 500, "INTERNAL"),
        (errors.UpstreamError("x"), 502, "UNAVAILABLE"),
        (errors.NoAccountAvailable("x"), 503, "UNAVAILABLE"),
        (errors.Overloaded("x"), 503, "UNAVAILABLE"),
        (errors.ShuttingDown("x"), 503, "UNAVAILABLE"),
        (errors.UpstreamTimeout("x"), 504, "DEADLINE_EXCEEDED"),
    ],
)
def test_every_kind_has_its_name_and_status(error: GatewayError, status: int, name: str) -> None:
    assert (status_of(error), name_of(error)) == (status, name)
    body = json.loads(error_body(error))["error"]
    assert (body["code"], body["status"]) == (status, name)


def test_statuses_that_no_error_of_ours_has() -> None:
    class Forbidden(GatewayError):
        status = 403

    class Odd(GatewayError):
        status = 599

    assert (name_of(Forbidden("x")), name_of(Odd("x"))) == ("PERMISSION_DENIED", "INTERNAL")
