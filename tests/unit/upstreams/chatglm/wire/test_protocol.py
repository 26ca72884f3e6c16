from __future__ import annotations

import msgspec
import pytest

from lib.errors import (
    AccessTokenRefused,
    GatewayError,
    Throttled,
    UpstreamNotReached,
    UpstreamProtocolError,
    UpstreamRejected,
)
from lib.upstreams.chatglm.wire.protocol import Envelope
from lib.upstreams.chatglm.wire.refusals import (
    coded_error,
    is_stale,
    may_be_the_paths,
    read_envelope,
    refusal,
    unreadable,
)


@pytest.mark.parametrize(
    ("status", "body", "kind", "retry"),
    [
        (429, b'{"message": "slow down"}', Throttled, "elsewhere"),
        (500, b'{"message": "broken"}', UpstreamRejected, "again"),
        (404, b'{"status": 0, "result": null}', UpstreamRejected, "never"),
        (403, b'{"status": 40304, "message": "user is blocked"}', UpstreamRejected, "elsewhere"),
        (200, b'{"code": 19999}', UpstreamRejected, "again"),  # the name that 2024 had for it
        (400, b'{"validation_error": {"body_params": []}}', UpstreamProtocolError, "never"),
        (401, b'{"status": 40102}', AccessTokenRefused, "never"),
        (200, b'{"status": 40103}', AccessTokenRefused, "never"),
        # What breaks down has not looked at the token; a call that it cost may not be made again.
        (502, b'{"status": 40102}', UpstreamRejected, "again"),
        (503, b'{"status": 10061}', Throttled, "elsewhere"),
    ],
)
def test_a_refusal_says_what_may_help(status: int, body: bytes, kind: type[GatewayError], retry: str) -> None:
    error = refusal(status, msgspec.json.decode(body, type=Envelope))
    assert type(error) is kind
    assert error.retry == retry
    assert error.http_status == status


@pytest.mark.parametrize("number", [10025, 10040, 10061, 10062, 40001, 40012, 40014, 40102])
@pytest.mark.parametrize("http_status", [None, 200, 400, 500])
def test_an_error_knows_the_upstreams_own_number(number: int, http_status: int | None) -> None:
    error = coded_error(number, "words", http_status=http_status)
    assert (error.number, error.http_status) == (number, http_status)


def test_an_error_without_a_number_has_none() -> None:
    assert coded_error(0, "words").number is None
    assert unreadable(403, "text/html").number is None
    assert UpstreamRejected("").number is None


@pytest.mark.parametrize(
    ("status", "content_type", "kind", "retry"),
    [
        (200, "application/json", UpstreamProtocolError, "again"),
        (200, "text/html", UpstreamProtocolError, "never"),
        (403, "application/json", UpstreamProtocolError, "never"),
        (502, "text/html", UpstreamProtocolError, "again"),
        (429, "text/html", Throttled, "elsewhere"),
    ],
)
def test_what_is_no_json_may_be_json_that_broke(
    status: int, content_type: str, kind: type[GatewayError], retry: str
) -> None:
    error = unreadable(status, content_type)
    assert type(error) is kind
    assert (error.retry, error.http_status) == (retry, status)


@pytest.mark.parametrize("status", [b"false", b"true", b'"0"', b"null", b"[]", b"0.0"])
def test_only_a_whole_zero_is_a_success(status: bytes) -> None:
    with pytest.raises(UpstreamRejected):
        read_envelope(200, "application/json", b'{"status": %b, "result": {}}' % status)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (unreadable(404, "text/html"), True),
        (unreadable(405, "text/html"), True),
        (coded_error(404, "not found", http_status=404), True),
        (coded_error(10099, "unknown", http_status=200), True),
        (coded_error(10099, "unknown", http_status=500), False),
        (coded_error(40102, "x", http_status=404), False),
        (coded_error(40001, "x", http_status=400), False),
        (coded_error(10061, "x", http_status=429), False),
        (unreadable(403, "text/html"), False),
        (unreadable(200, "application/json"), False),
        (UpstreamNotReached(""), False),
    ],
)
def test_a_path_that_is_no_more_is_told_from_other_refusals(error: GatewayError, expected: bool) -> None:
    assert may_be_the_paths(error) is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (coded_error(40014, "x", http_status=400), True),
        (coded_error(40014, "x", http_status=200), True),
        (coded_error(40014, "x", http_status=500), False),
        (coded_error(40011, "x", http_status=400), False),
        (UpstreamNotReached(""), False),
    ],
)
def test_a_refused_signature_is_known_by_its_number(error: GatewayError, expected: bool) -> None:
    assert is_stale(error) is expected
