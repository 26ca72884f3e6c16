"""The meaning of chatglm.cn's refusals, in a JSON answer or inside a stream (web, 2024 … 2026)."""

from __future__ import annotations

import msgspec

from lib.errors import (
    AccessTokenRefused,
    AccountBusy,
    GatewayError,
    InvalidRequest,
    Throttled,
    UpstreamProtocolError,
    UpstreamRejected,
)
from lib.upstreams.chatglm.wire.protocol import UNDECODABLE, Envelope, Event, without_tokens

STALE_SIGNATURE = 40014
"""The signature is stale, was used before, or is wrong: one number for all three (one observer, 2026)."""

THROTTLED_S = 30.0
"""An account rests so long after the upstream says "too frequent" (two observers, 2026)."""


_decode_envelope = msgspec.json.Decoder(Envelope).decode


def read_envelope(status_code: int, content_type: str, body: bytes) -> Envelope:
    """Return the successful answer of a JSON endpoint; raise the error that another answer means."""
    try:
        envelope = _decode_envelope(body)
    except UNDECODABLE:
        raise unreadable(status_code, content_type) from None
    if status_code == 200 and envelope.number == 0:
        return envelope
    raise refusal(status_code, envelope)


def unreadable(status_code: int, content_type: str) -> GatewayError:
    """Return the error for an answer without JSON. Most often it is a firewall's page (403 or 405, 2026)."""
    kind = content_type.partition(";")[0].strip() or "a body of no declared type"
    if status_code == 429:
        return _throttled(status_code)
    if status_code == 200 and "json" in kind:
        message = "The upstream answered with broken JSON."
        return UpstreamProtocolError(message, http_status=status_code)
    return UpstreamProtocolError(
        f"The upstream answered HTTP {status_code} with {kind} instead of JSON.",
        retry="again" if status_code >= 500 else "never",  # a firewall refuses a second try, too
        http_status=status_code,
    )


def refusal(status_code: int, envelope: Envelope) -> GatewayError:
    """Return the error for a JSON answer that is not a success."""
    if envelope.validation_error is not None:
        return UpstreamProtocolError(
            "The upstream did not accept the form of the request.", retry="never", http_status=status_code
        )
    if envelope.number:
        error = coded_error(envelope.number, envelope.words, http_status=status_code)
        if status_code == 403 and type(error) is UpstreamRejected:
            # Forbidden for this account. The number does not say why; another account may do it.
            return error.retrying("elsewhere")
        return error
    if status_code == 429:
        return _throttled(status_code)
    return UpstreamRejected(
        f"The upstream answered HTTP {status_code}: {envelope.words}.",
        retry="again" if status_code >= 500 else "never",
        http_status=status_code,
    )


def coded_error(number: int, words: str, *, http_status: int | None = None) -> GatewayError:
    """Return the error for a number of the upstream, in a JSON answer or inside a stream."""
    # With HTTP 5xx the upstream broke down before it read the token. A fresh token would not help, and the
    # call would be repeated with it: a video would be ordered twice.
    broke_down = http_status is not None and http_status >= 500
    error = _meaning(number, f"The upstream answered {number}: {words}.", words, broke_down=broke_down)
    return error.numbered(number or None, http_status)


def _meaning(number: int, message: str, words: str, *, broke_down: bool) -> GatewayError:
    match number:
        case 40102 | 40103 if not broke_down:
            return AccessTokenRefused(message)
        case 40012:  # After bursts (2026). An early retry makes it worse.
            return Throttled(message, retry_after_s=THROTTLED_S)
        case 10061 if "其他对话" in words:
            return AccountBusy(message, retry_after_s=3)
        case 10061 | 10062:
            return Throttled(message, retry_after_s=THROTTLED_S)
        case 10040:
            return InvalidRequest(message, code="context_length_exceeded", param="messages")
        case 40001 | 40002 | 40011 | 40014:
            return UpstreamRejected(f"{message} The upstream expects another signature or other headers now.")
        case _:  # 10025 and others are transient.
            return UpstreamRejected(message, retry="again")


def _throttled(status_code: int) -> GatewayError:
    return Throttled(
        f"The upstream answered HTTP {status_code}.", retry_after_s=THROTTLED_S, http_status=status_code
    )


def may_be_the_paths(error: GatewayError) -> bool:
    """Tell whether the path may be gone: the refusal is 404, 405, or a number that we do not know."""
    if isinstance(error, AccessTokenRefused):
        return False
    if error.http_status in (404, 405):
        return True
    return type(error) is UpstreamRejected and error.retry == "again" and (error.http_status or 0) < 500


def is_stale(error: GatewayError) -> bool:
    """Tell whether the upstream refused the signature, and so did nothing yet: our clock may be wrong."""
    return error.number == STALE_SIGNATURE and (error.http_status or 0) < 500


def stream_error(event: Event) -> GatewayError:
    """Return the error for an event of status `error`."""
    for said in (event.last_error, event.error):
        if isinstance(said, dict) and said:
            number, words = said.get("error_code"), without_tokens(said.get("err_msg") or "no message")
            return coded_error(number if isinstance(number, int) else 0, words)
    return UpstreamRejected(
        "The upstream ended its answer with an error, and did not explain it.", retry="again"
    )


def is_unexplained(event: Event) -> bool:
    """Tell whether an `error` event names no error, as after an intercepted call (2026-08)."""
    return not any(isinstance(said, dict) and said for said in (event.last_error, event.error))
