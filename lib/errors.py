"""What the gateway says when it cannot answer; the table of statuses and codes is docs/errors.md.

GatewayError
├── InvalidRequest 400          NotFound 404 · MethodNotAllowed 405 · RequestTimeout 408
│                               RequestTooLarge 413 · UnsupportedEncoding 415
├── AuthenticationFailed 401    AccountRefused 401: an account that the upstream will not serve
├── Throttled 429               AccountBusy 429
├── NoAccountAvailable 503
├── ShuttingDown 503            Overloaded 503
└── UpstreamError 502           UpstreamRejected · -ProtocolError · -Unreachable · -NotReached · -Timeout 504

A message may reach any client: it holds no token. What may be logged is its `summary`, without a prompt.
"""

from __future__ import annotations

from typing import Literal

Retry = Literal["never", "elsewhere", "again"]
"""What may help before the first content: nothing; another account; any account, this one too."""


class GatewayError(Exception):
    """Anything the gateway says in place of an answer, in the caller's dialect."""

    status = 500
    code: str = "internal_error"
    retry: Retry = "never"
    may_quote = False
    """Whether its message may hold what a caller sent, or the upstream's words, which may say that again."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        retry: Retry | None = None,
        number: int | None = None,
        http_status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code if code is not None else type(self).code
        self.param = param
        self.retry_after_s = retry_after_s
        self.retry = retry if retry is not None else type(self).retry
        self.number = number
        """The upstream's own for what went wrong (10061, 40102), where it named one."""
        self.http_status = http_status
        """Of the upstream's answer, where it answered by HTTP and not inside a stream."""

    @property
    def summary(self) -> str:
        """What may be logged of it."""
        if not self.may_quote:
            return self.message
        return f"{type(self).__name__} ({self.number or self.http_status or self.code})"


class InvalidRequest(GatewayError):
    """The caller must change the request; `param` names the place, as `messages[0].role`."""

    may_quote = True
    status = 400
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


class RequestTimeout(InvalidRequest):
    """The caller did not send its body in any reasonable time."""

    status = 408
    code = "request_timeout"


class UnsupportedEncoding(InvalidRequest):
    """The body is compressed: what it grows to is not for its sender to decide."""

    status = 415
    code = "unsupported_encoding"


class AuthenticationFailed(GatewayError):
    """Nobody that we know: no credential, a wrong key."""

    status = 401
    code = "invalid_api_key"


class AccountRefused(AuthenticationFailed):
    """One account that the upstream will not serve: expired, a guest's, blocked (see `code`)."""

    code = "refresh_token_expired"
    retry: Retry = "elsewhere"


class Throttled(GatewayError):
    """The upstream wants fewer requests of this account; `retry_after_s` says from when."""

    may_quote = True
    status = 429
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


class Overloaded(GatewayError):
    """This process has as much under way as it takes; nothing of the request was done."""

    status = 503
    code = "overloaded"


class UpstreamError(GatewayError):
    """The upstream failed; `code` is ours, `number` the upstream's own."""

    status = 502
    code = "upstream_error"


class UpstreamRejected(UpstreamError):
    """The upstream answered, in its own words, that it will not or cannot."""

    may_quote = True


class UpstreamProtocolError(UpstreamError):
    """What came is not what the upstream speaks: HTML, broken JSON, a stream cut short."""

    retry: Retry = "again"


class UpstreamUnreachable(UpstreamError):
    """The connection broke before the whole answer was here; whether anything was done, nobody knows."""

    retry: Retry = "again"


class UpstreamNotReached(UpstreamUnreachable):
    """No connection came about: nothing was sent, and nothing can have been done."""


class UpstreamTimeout(UpstreamError):
    status = 504
    code = "upstream_timeout"


class AccessTokenRefused(UpstreamRejected):
    """The upstream wants a fresh access token (40102, 40103): one refresh and one repetition may help."""


class ConfigurationError(GatewayError):
    """The owner's settings are wrong; the message names every one of them and shows no value of a secret."""

    code = "invalid_configuration"
