from __future__ import annotations

import msgspec
import pytest

from lib.chatglm.protocol import Envelope, refusal
from lib.errors import GatewayError, Throttled, UpstreamProtocolError, UpstreamRejected


@pytest.mark.parametrize(
    ("status", "body", "kind", "retry"),
    [
        (429, b'{"message": "slow down"}', Throttled, "elsewhere"),
        (500, b'{"message": "broken"}', UpstreamRejected, "again"),
        (404, b'{"status": 0, "result": null}', UpstreamRejected, "never"),
        (403, b'{"status": 40304, "message": "user is blocked"}', UpstreamRejected, "elsewhere"),
        (200, b'{"code": 19999}', UpstreamRejected, "again"),  # the name that 2024 had for it
        (400, b'{"validation_error": {"body_params": []}}', UpstreamProtocolError, "never"),
    ],
)
def test_a_refusal_says_what_may_help(status: int, body: bytes, kind: type[GatewayError], retry: str) -> None:
    error = refusal(status, msgspec.json.decode(body, type=Envelope))
    assert type(error) is kind
    assert error.retry == retry
