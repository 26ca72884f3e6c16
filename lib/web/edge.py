"""The outermost layer: request ids, the log line, clients that leave, unexpected errors.

It is pure ASGI, because Starlette's BaseHTTPMiddleware would hide a disconnect from the streams inside.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lib.errors import ConfigurationError, GatewayError, ShuttingDown
from lib.settings import LogFormat, current
from lib.tasks import start
from lib.trace import traced
from lib.web.ending import told_as_error, under_way
from lib.web.headers import printable_model, server_timing
from lib.web.logs import configure_logging
from lib.web.refusal import ErrorBody, FormOf, own_form, status_and_body
from lib.web.sockets import send_at_once

EXPOSED_HEADERS = (
    "x-request-id",
    "request-id",
    "x-glm-model",
    "x-glm-account",
    "x-glm-usage",
    "x-glm-notice",
    "server-timing",
    "retry-after",
    "openai-poll-after-ms",
    "x-should-retry",
)
MAX_METHOD_CHARS, MAX_PATH_CHARS = 16, 80
"""The log cuts longer methods and paths: a stranger chooses them. It has a path only if no route matches."""
QUIET_ROUTES = ("/ping", "/health")
"""Monitors ask these all the time. Their successes are logged at DEBUG only."""
MILLISECONDS = ("wait", "token", "files", "first")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

log = logging.getLogger("glm_gateway")


class Edge:
    """Wraps a handler's app. It sees every answer and every disconnect."""

    def __init__(self, app: ASGIApp, *, error_body: ErrorBody, form_of: FormOf = own_form) -> None:
        self._app = app
        self._error_body = error_body
        self._form_of = form_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            send_at_once()
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await _Exchange(scope, receive, send, self._refuse).run(self._app)

    def _refuse(self, scope: Scope, error: GatewayError) -> tuple[int, bytes]:
        return status_and_body(error, self._error_body, self._form_of(scope))


class _Sent:
    """The part of an answer that was sent so far."""

    def __init__(self) -> None:
        self.status = 0
        self.size = 0
        self.is_stream = False
        self.is_complete = False


class _Exchange:
    """One request and its answer."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        refuse: Callable[[Scope, GatewayError], tuple[int, bytes]],
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._refuse = refuse
        self._began_at = time.monotonic()
        self._sent = _Sent()
        self._has_left = False
        self._request_id = _request_id(scope)
        self._watcher: asyncio.Task[None] | None = None

    async def run(self, app: ASGIApp) -> None:
        with traced(self._request_id) as self._trace:
            await self._run(app)

    async def _run(self, app: ASGIApp) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        try:
            configure_logging(*_log_choice())
            with told_as_error(), under_way(lambda: self._sent.is_complete):
                await app(self._scope, self._read, self._write)
        except asyncio.CancelledError:
            if not self._has_left or task.uncancel() > 0:
                raise
        except ClientDisconnect:
            self._has_left = True
        except ShuttingDown as error:
            self._trace.failed(error)
            if (
                not self._sent.status
            ):  # After the status, the server closes the connection without more bytes.
                await self._fail(error)
        except Exception as error:  # This is the only such place: the client gets an answer in its dialect.
            log.exception("unexpected error")
            await self._fail(
                GatewayError(
                    f"The gateway has a fault ({type(error).__name__}). Please report it with its log line."
                )
            )
        finally:
            if self._watcher is not None:
                self._watcher.cancel()
            self._log()

    async def _read(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body") and self._watcher is None:
            self._watcher = start(self._watch())
        return message

    async def _watch(self) -> None:
        """Cancel the request when its client disconnects. The cancellation frees the account."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._sent.is_complete:
            self._has_left = True
            self._task.cancel()

    async def _write(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._sent.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self._request_id
            headers["request-id"] = self._request_id  # Anthropic's SDKs read this one.
            headers["x-content-type-options"] = "nosniff"  # A browser must not show an answer as a page.
            # Every stream says so. Its type does not tell: one dialect streams a JSON array.
            self._sent.is_stream = headers.get("x-accel-buffering") == "no"
            self._add_timing(headers)
        elif message["type"] == "http.response.body":
            self._sent.size += len(message.get("body", b""))
            self._sent.is_complete = not message.get("more_body", False)
        await self._send(message)

    def _add_timing(self, headers: MutableHeaders) -> None:
        """Add `server-timing` if the request asked the upstream."""
        timings = self._trace.timings
        if timings or (self._trace.account and not self._sent.is_stream):
            total_s = None if self._sent.is_stream else time.monotonic() - self._began_at
            headers["server-timing"] = server_timing(timings, total_s=total_s)

    async def _fail(self, error: GatewayError) -> None:
        """Answer with the error. After the status, raise it: a cut body must not look complete."""
        self._trace.failed(error)
        if self._sent.status:
            raise error from None
        headers = [(b"content-type", b"application/json"), (b"access-control-allow-origin", b"*")]
        status, body = self._refuse(self._scope, error)
        await self._write({"type": "http.response.start", "status": status, "headers": headers})
        await self._write({"type": "http.response.body", "body": body})

    def _log(self) -> None:
        outcome = self._trace.failure.status or self._sent.status
        line = self._line()
        is_check = line.get("route") in QUIET_ROUTES and outcome < 400
        level = logging.WARNING if outcome >= 500 else logging.DEBUG if is_check else logging.INFO
        log.log(level, "request", extra=line)

    def _line(self) -> dict[str, Any]:
        """Describe the request and its result. docs/observability.md lists the fields."""
        trace = self._trace
        line: dict[str, Any] = {
            "request_id": self._request_id,
            "method": self._scope["method"][:MAX_METHOD_CHARS],
            **_place(self._scope),
            "status": self._sent.status,
            "stream": self._sent.is_stream,
            "bytes": self._sent.size,
            "seconds": round(time.monotonic() - self._began_at, 3),
            "client_left": self._has_left,
        }
        if_known: dict[str, Any] = {
            "code": trace.failure.code,
            "upstream_code": trace.refusal.code,
            "upstream_status": trace.refusal.status,
            "account": trace.account,
            "attempts": trace.attempts,
            "model": printable_model(trace.model),
            "events": trace.events,
            "finish": trace.finish,
            "notices": dict(trace.notices),
        }
        line |= {name: value for name, value in if_known.items() if value}
        known = trace.timings
        return line | {f"{on}_ms": round(known[on] * 1000, 1) for on in MILLISECONDS if on in known}


def _place(scope: Scope) -> dict[str, str]:
    """Name the route, because a path may hold ids. Name the path if no route matches."""
    routes = scope["app"].routes if "app" in scope else ()
    for route in routes:
        if route.matches(scope)[0] is not Match.NONE:
            path = route.path.removeprefix("/api") or "/"
            return {"route": path.replace("{name:model}", "{name}")}
    return {"path": scope["path"][:MAX_PATH_CHARS]}


def _log_choice() -> tuple[str, LogFormat]:
    """Return the level and the format. Wrong settings are no error here, because /ping must work without."""
    try:
        settings = current()
    except ConfigurationError:
        return "INFO", "auto"
    return settings.log_level, settings.log_format


def _request_id(scope: Scope) -> str:
    """Keep the caller's id if it is harmless: it connects the caller's log with ours."""
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
