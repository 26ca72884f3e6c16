from __future__ import annotations

from collections.abc import Iterator

import pytest

from lib import errors
from lib.dialects.openai_errors import type_of
from lib.errors import GatewayError

TABLE = {
    # design.md §5: status, type, code; and what may help before the first content
    "GatewayError": (500, "api_error", "internal_error", "never"),
    "InvalidRequest": (400, "invalid_request_error", "invalid_value", "never"),
    "RequestTooLarge": (413, "invalid_request_error", "request_too_large", "never"),
    "NotFound": (404, "invalid_request_error", "not_found", "never"),
    "ConversationNotFound": (404, "invalid_request_error", "conversation_not_found", "elsewhere"),
    "MethodNotAllowed": (405, "invalid_request_error", "method_not_allowed", "never"),
    "RequestTimeout": (408, "invalid_request_error", "request_timeout", "never"),
    "Conflict": (409, "invalid_request_error", "conflict", "never"),
    "IdempotencyKeyReused": (409, "invalid_request_error", "idempotency_key_reused", "never"),
    "UnsupportedEncoding": (415, "invalid_request_error", "unsupported_encoding", "never"),
    "AuthenticationFailed": (401, "authentication_error", "invalid_api_key", "never"),
    "AccountRefused": (401, "authentication_error", "refresh_token_expired", "elsewhere"),
    "Throttled": (429, "rate_limit_error", "rate_limit_exceeded", "elsewhere"),
    "AccountBusy": (429, "rate_limit_error", "account_busy", "again"),
    "NoAccountAvailable": (503, "api_error", "no_account_available", "never"),
    "ShuttingDown": (503, "api_error", "shutting_down", "never"),
    "Overloaded": (503, "api_error", "overloaded", "never"),
    "UpstreamError": (502, "api_error", "upstream_error", "never"),
    "UpstreamRejected": (502, "api_error", "upstream_error", "never"),
    "UpstreamProtocolError": (502, "api_error", "upstream_error", "again"),
    "InvalidModelOutput": (502, "api_error", "invalid_model_output", "never"),
    "UpstreamUnreachable": (502, "api_error", "upstream_error", "again"),
    "UpstreamNotReached": (502, "api_error", "upstream_error", "again"),
    "UpstreamTimeout": (504, "api_error", "upstream_timeout", "never"),
    "AccessTokenRefused": (502, "api_error", "upstream_error", "never"),
    "ConfigurationError": (500, "api_error", "invalid_configuration", "never"),
}


def tree(root: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


@pytest.mark.parametrize("kind", list(tree()), ids=lambda kind: str(kind.__name__))
def test_every_error_has_its_status_its_type_and_its_code(kind: type[GatewayError]) -> None:
    error = kind("What was expected, and what came.")
    assert (error.status, type_of(error), error.code, error.retry) == TABLE[kind.__name__]
    assert (error.param, error.retry_after_s) == (None, None)
    assert error.message == str(error) == "What was expected, and what came."


def test_no_error_of_the_table_is_missing() -> None:
    assert {kind.__name__ for kind in tree()} == set(TABLE)


def test_what_one_error_says_more_precisely_is_its_own() -> None:
    error = errors.Throttled("…", code="c", param="p", retry_after_s=3.0, retry="never")
    assert (error.code, error.param, error.retry_after_s, error.retry) == ("c", "p", 3.0, "never")
    assert errors.Throttled("…").code == "rate_limit_exceeded"
    assert errors.Throttled("…").retry == "elsewhere"


def test_what_may_quote_somebody_is_logged_without_its_words() -> None:
    assert errors.AccountRefused("The token is old.").summary == "The token is old."
    assert errors.UpstreamTimeout("Nothing came.", http_status=504).summary == "Nothing came."
    assert (
        errors.UpstreamRejected("no: words", number=10025, http_status=200).summary
        == "UpstreamRejected (10025)"
    )
    assert errors.AccessTokenRefused("no: words", http_status=401).summary == "AccessTokenRefused (401)"
    assert errors.AccountBusy("no: words").summary == "AccountBusy (account_busy)"
    assert errors.NotFound("There is nothing at 'words'.").summary == "NotFound (not_found)"


@pytest.mark.parametrize("kind", list(tree()), ids=lambda kind: str(kind.__name__))
@pytest.mark.parametrize("name", ["message", "code", "param", "retry_after_s", "retry", "number", "unknown"])
def test_an_error_cannot_be_changed(kind: type[GatewayError], name: str) -> None:
    error = kind("Words.")
    with pytest.raises(AttributeError, match=name):
        setattr(error, name, "changed")
    assert getattr(error, name, None) == getattr(kind("Words."), name, None)


def test_a_changed_error_is_a_copy_of_the_same_type() -> None:
    first = errors.AccountBusy("Words.", code="c", retry_after_s=3.0, number=10061, http_status=200)
    changed = first.at("messages[2]").retrying("never").numbered(1, 403)
    assert type(changed) is errors.AccountBusy
    assert str(changed) == "Words."
    assert vars(changed) == {
        "message": "Words.",
        "code": "c",
        "param": "messages[2]",
        "retry_after_s": 3.0,
        "retry": "never",
        "number": 1,
        "http_status": 403,
    }
    assert (first.param, first.retry, first.number, first.http_status) == (None, "again", 10061, 200)


def test_an_error_can_be_raised_from_another_and_given_notes() -> None:
    first = errors.InvalidRequest("Words.")
    with pytest.raises(errors.InvalidRequest) as raised:
        raise first.at("prompt") from first
    assert raised.value.__cause__ is first
    raised.value.add_note("note")
    assert raised.value.__notes__ == ["note"]
