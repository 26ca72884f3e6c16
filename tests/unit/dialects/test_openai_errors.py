"""The shape of errors: clients insist on all four keys."""

from __future__ import annotations

from lib.dialects.openai_errors import error_body, error_event
from lib.errors import GatewayError, InvalidRequest, UpstreamTimeout


def test_all_four_keys_are_always_there() -> None:
    invalid = InvalidRequest("Not “so”.", param="messages[0].role")
    assert error_body(invalid).decode() == (
        '{"error":{"message":"Not “so”.","type":"invalid_request_error",'
        '"param":"messages[0].role","code":"invalid_value"}}'
    )
    bare = GatewayError("Silence.")
    assert error_body(bare) == (
        b'{"error":{"message":"Silence.","type":"api_error","param":null,"code":"internal_error"}}'
    )


def test_in_a_stream_an_error_is_an_event() -> None:
    error = UpstreamTimeout("Silence\u2028.")
    assert error_event(error) == (
        b'data: {"error":{"message":"Silence\\u2028.","type":"api_error","param":null,'
        b'"code":"upstream_timeout"}}\n\n'
    )
