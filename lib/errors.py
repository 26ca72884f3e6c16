"""What the gateway says when it cannot answer; the table of statuses and codes is docs/errors.md.

GatewayError
├── InvalidRequest 400          NotFound 404 · MethodNotAllowed 405 · RequestTimeout 408
│                               RequestTooLarge 413 · UnsupportedEncoding 415
├── AuthenticationFailed 401    AccountRefused 401: an account that the upstream will not serve
├── Throttled 429               AccountBusy 429
├── NoAccountAvailable 503
├── ShuttingDown 503            Overloaded 503
└── UpstreamError 502           UpstreamRejected · -ProtocolError · -Unreachable · -NotReached · -Timeout 504
                                InvalidModelOutput

A message may reach any client: it holds no token. What may be logged is its `summary`, without a prompt.
"""

from __future__ import annotations

from typing import Literal, Self

Retry = Literal["never", "elsewhere", "again"]
"""How to retry before the first content: `never`, on another account (`elsewhere`), or on any account, also
the same one (`again`)."""


class GatewayError(Exception):
    """Anything the gateway says in place of an answer, in the caller's dialect. An error is a value.

    Nothing changes an error after it is made: several requests may wait for one task and get its one error.
    `at`, `retrying` and `numbered` return a changed copy, to be raised `from` the first.
    """

    status = 500
    code: str = "internal_error"
    retry: Retry = "never"
    may_quote = False
    """The message may hold the caller's words, or the upstream's, which may repeat the caller's."""

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
        """Return a copy that tells the upstream's own number, and its status."""
        return self._copy(number=number, http_status=http_status)

    def _copy(self, **changes: object) -> Self:
        made = type(self).__new__(type(self), self.message)
        made.__dict__.update(self.__dict__ | changes)
        return made

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


class InvalidModelOutput(UpstreamError):
    """The model's answer lacks the call, or is not the JSON, that the request insists on, asked twice."""

    may_quote = True
    code = "invalid_model_output"


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
