"""The errors that the gateway answers with. docs/errors.md has the table of statuses and codes.

GatewayError
├── InvalidRequest 400          NotFound 404 · MethodNotAllowed 405 · RequestTimeout 408
│                               IdempotencyKeyReused 409 · RequestTooLarge 413 · UnsupportedEncoding 415
├── AuthenticationFailed 401    AccountRefused 401: the upstream does not serve this account
├── Throttled 429               AccountBusy 429
├── NoAccountAvailable 503
├── ShuttingDown 503            Overloaded 503
└── UpstreamError 502           UpstreamRejected · -ProtocolError · -Unreachable · -NotReached · -Timeout 504
                                InvalidModelOutput

A message may reach any client, so it holds no token. The log holds only the `summary`, without a prompt.
"""

from __future__ import annotations

from typing import Literal, Self

Retry = Literal["never", "elsewhere", "again"]
"""How to retry before the first content: `never`, on another account (`elsewhere`), or on any account, also
the same one (`again`)."""


class GatewayError(Exception):
    """An answer of the gateway in place of the upstream's, in the caller's dialect. An error is a value.

    Nothing changes an error after it is made, because several requests may wait for one task and get one
    error. `at`, `retrying` and `numbered` return a changed copy. Raise it `from` the first.
    """

    status = 500
    code: str = "internal_error"
    retry: Retry = "never"
    may_quote = False
    """The message may hold words of the caller, or words of the upstream that repeat them."""

    message: str
    param: str | None
    retry_after_s: float | None
    number: int | None
    """The upstream's own number for the failure (10061, 40102), if it named one."""
    http_status: int | None
    """The status of the upstream's answer, if it refused by HTTP and not inside a stream."""

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
        self.__dict__.update(
            message=message,
            code=code if code is not None else type(self).code,
            param=param,
            retry_after_s=retry_after_s,
            retry=retry if retry is not None else type(self).retry,
            number=number,
            http_status=http_status,
        )

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("__"):  # Python itself sets __traceback__, __context__ and their like.
            raise AttributeError(f"{type(self).__name__}.{name} cannot be set: an error is a value")
        super().__setattr__(name, value)

    def at(self, param: str | None) -> Self:
        """Return a copy that names the place in the request."""
        return self._copy(param=param)

    def retrying(self, retry: Retry) -> Self:
        """Return a copy that says how to retry."""
        return self._copy(retry=retry)

    def numbered(self, number: int | None, http_status: int | None) -> Self:
        """Return a copy with the upstream's own number and its status."""
        return self._copy(number=number, http_status=http_status)

    def _copy(self, **changes: object) -> Self:
        made = type(self).__new__(type(self), self.message)
        made.__dict__.update(self.__dict__ | changes)
        return made

    @property
    def summary(self) -> str:
        """The part of the error that the log may hold."""
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
    """The caller sends its body too slowly."""

    status = 408
    code = "request_timeout"


class Conflict(InvalidRequest):
    """The present state does not allow the request; `code` names the reason."""

    status = 409
    code = "conflict"


class IdempotencyKeyReused(Conflict):
    """The key came with another request before."""

    code = "idempotency_key_reused"


class UnsupportedEncoding(InvalidRequest):
    """The body is compressed. A small one could grow to any size, so the gateway takes none."""

    status = 415
    code = "unsupported_encoding"


class AuthenticationFailed(GatewayError):
    """The request has no credential, or a wrong one."""

    status = 401
    code = "invalid_api_key"


class AccountRefused(AuthenticationFailed):
    """The upstream does not serve this account: it is expired, blocked or a guest's (see `code`)."""

    code = "refresh_token_expired"
    retry: Retry = "elsewhere"


class Throttled(GatewayError):
    """The upstream wants fewer requests of this account. `retry_after_s` is the time to wait."""

    may_quote = True
    status = 429
    code = "rate_limit_exceeded"
    retry: Retry = "elsewhere"


class AccountBusy(Throttled):
    """Another generation of this account is running."""

    code = "account_busy"
    retry: Retry = "again"


class NoAccountAvailable(GatewayError):
    """Every account of the owner is refused or blocked. Only the owner can repair that."""

    status = 503
    code = "no_account_available"


class ShuttingDown(GatewayError):
    """The server ends, and does not wait for this answer any longer."""

    status = 503
    code = "shutting_down"


class Overloaded(GatewayError):
    """This process is full. It has done nothing for the request."""

    status = 503
    code = "overloaded"


class UpstreamError(GatewayError):
    """The upstream failed. `code` is ours, `number` is the upstream's own."""

    status = 502
    code = "upstream_error"


class UpstreamRejected(UpstreamError):
    """The upstream refused the request in its own words."""

    may_quote = True


class UpstreamProtocolError(UpstreamError):
    """The upstream's answer breaks its own protocol: HTML, broken JSON, a stream without its end."""

    retry: Retry = "again"


class InvalidModelOutput(UpstreamError):
    """The request requires a call or JSON. The model's answer does not have it, even in a second turn."""

    may_quote = True
    code = "invalid_model_output"


class UpstreamUnreachable(UpstreamError):
    """The connection broke before the whole answer came. The upstream may have done the work."""

    retry: Retry = "again"


class UpstreamNotReached(UpstreamUnreachable):
    """The gateway could not connect. It sent nothing, so the upstream did nothing."""


class UpstreamTimeout(UpstreamError):
    status = 504
    code = "upstream_timeout"


class AccessTokenRefused(UpstreamRejected):
    """The upstream wants a new access token (40102, 40103). One refresh and one repetition may help."""


class ConfigurationError(GatewayError):
    """The owner's settings are wrong. The message names each wrong setting, and shows no value."""

    code = "invalid_configuration"
