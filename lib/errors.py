"""What the gateway says when it cannot answer; the table of statuses and codes is docs/errors.md.

GatewayError
├── InvalidRequest 400          RequestTooLarge 413 · NotFound 404 · MethodNotAllowed 405
├── AuthenticationFailed 401    AccountRefused 401: an account that the upstream will not serve
├── Throttled 429               AccountBusy 429
├── NoAccountAvailable 503
├── ShuttingDown 503
└── UpstreamError 502           UpstreamRejected · -ProtocolError · -Unreachable · -Timeout 504

A message may reach any client and any log: it holds no token and nothing of a prompt.
"""

from __future__ import annotations

from typing import Literal

Retry = Literal["never", "elsewhere", "again"]
"""What may help before the first content: nothing; another account; any account, this one too."""


class GatewayError(Exception):
    """Anything the gateway says in place of an answer, in the caller's dialect."""

    status = 500
    type = "api_error"
    code: str | None = "internal_error"
    retry: Retry = "never"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        retry: Retry | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code if code is not None else type(self).code
        self.param = param
        self.retry_after_s = retry_after_s
        self.retry = retry if retry is not None else type(self).retry


class InvalidRequest(GatewayError):
    """The caller must change the request; `param` names the place, as `messages[0].role`."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_value"


class RequestTooLarge(InvalidRequest):
    status = 413
    code = "request_too_large"


class NotFound(InvalidRequest):
    status = 404
    code = "not_found"


class ConversationNotFound(NotFound):
    code = "conversation_not_found"
    retry: Retry = "elsewhere"


class MethodNotAllowed(InvalidRequest):
    status = 405
    code = "method_not_allowed"


class AuthenticationFailed(GatewayError):
    """Nobody that we know: no credential, a wrong key."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class AccountRefused(AuthenticationFailed):
    """One account that the upstream will not serve: expired, a guest's, blocked (see `code`)."""

    code = "refresh_token_expired"
    retry: Retry = "elsewhere"


class Throttled(GatewayError):
    """The upstream wants fewer requests of this account; `retry_after_s` says from when."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    retry: Retry = "elsewhere"


class AccountBusy(Throttled):
    """Another generation of this account is running."""

    code = "account_busy"
    retry: Retry = "again"


class NoAccountAvailable(GatewayError):
    """Every account of the owner is refused or blocked: only the owner can mend that."""

    status = 503
    code = "no_account_available"


class ShuttingDown(GatewayError):
    """The server was told to end, and does not wait for this answer any longer."""

    status = 503
    code = "shutting_down"


class UpstreamError(GatewayError):
    """The upstream failed; `code` is ours, the upstream's own number is in the message."""

    status = 502
    code = "upstream_error"


class UpstreamRejected(UpstreamError):
    """The upstream answered, in its own words, that it will not or cannot."""


class UpstreamProtocolError(UpstreamError):
    """What came is not what the upstream speaks: HTML, broken JSON, a stream cut short."""

    retry: Retry = "again"


class UpstreamUnreachable(UpstreamError):
    """No connection, or one that broke before any answer."""

    retry: Retry = "again"


class UpstreamTimeout(UpstreamError):
    status = 504
    code = "upstream_timeout"


class AccessTokenRefused(UpstreamRejected):
    """The upstream wants a fresh access token (40102, 40103): one refresh and one repetition may help."""


class ConfigurationError(GatewayError):
    """The owner's settings are wrong; the message names every one of them and shows no value of a secret."""

    code = "invalid_configuration"
