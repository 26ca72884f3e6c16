"""The outermost layer: request ids, the log line, a client that leaves, and what nobody else caught.

Pure ASGI: Starlette's BaseHTTPMiddleware would hide a disconnect from the streams inside.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lib.errors import ConfigurationError, GatewayError, ShuttingDown
from lib.settings import current
from lib.web.ending import told_as_error, under_way
from lib.web.logs import configure_logging
from lib.web.sockets import send_at_once

EXPOSED_HEADERS = (
    "x-request-id",
    "x-glm-model",
    "x-glm-account",
    "x-glm-usage",
    "server-timing",
    "retry-after",
    "openai-poll-after-ms",
    "x-should-retry",
)
_LOGGED_HEADERS = ("x-glm-model", "x-glm-account", "server-timing")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

log = logging.getLogger("glm_gateway")


class Edge:
    """Wraps a handler's app; sees every answer go out, and the client go away."""

    def __init__(self, app: ASGIApp, *, error_body: Callable[[GatewayError], bytes]) -> None:
        self._app = app
        self._error_body = error_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            send_at_once()
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await _Exchange(scope, receive, send, self._error_body).run(self._app)


class _Exchange:
    """One request and its answer."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, error_body: Callable[[GatewayError], bytes]
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._error_body = error_body
        self._began_at = time.monotonic()
        self._status = 0
        self._bytes_sent = 0
        self._is_complete = False
        self._has_left = False
        self._request_id = _request_id(scope)
        self._watcher: asyncio.Task[None] | None = None
        self._served: dict[str, str] = {}

    async def run(self, app: ASGIApp) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        try:
            configure_logging(_log_level())
            with told_as_error(), under_way(lambda: self._is_complete):
                await app(self._scope, self._read, self._write)
        except asyncio.CancelledError:
            if not self._has_left or task.uncancel() > 0:
                raise
        except ClientDisconnect:
            self._has_left = True
        except ShuttingDown as error:
            if not self._status:  # else the server breaks the connection off: it takes no more of the answer
                await self._fail(error)
        except Exception as error:  # the one place: whatever it is, the client gets an answer in its dialect
            log.exception("unexpected error", extra={"request_id": self._request_id})
            await self._fail(GatewayError(f"The gateway failed ({type(error).__name__})."))
        finally:
            if self._watcher is not None:
                self._watcher.cancel()
            self._log()

    async def _read(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body") and self._watcher is None:
            self._watcher = asyncio.ensure_future(self._watch())
        return message

    async def _watch(self) -> None:
        """Cancel the request when its client goes away; who holds something upstream lets go of it then."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._is_complete:
            self._has_left = True
            self._task.cancel()

    async def _write(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self._request_id
            self._served = {name: headers[name] for name in _LOGGED_HEADERS if name in headers}
        elif message["type"] == "http.response.body":
            self._bytes_sent += len(message.get("body", b""))
            self._is_complete = not message.get("more_body", False)
        await self._send(message)

    async def _fail(self, error: GatewayError) -> None:
        """Answer with the error, or break off: a body that ends early must not look complete."""
        if self._status:
            raise error from None
        headers = [(b"content-type", b"application/json"), (b"access-control-allow-origin", b"*")]
        await self._write({"type": "http.response.start", "status": error.status, "headers": headers})
        await self._write({"type": "http.response.body", "body": self._error_body(error)})

    def _log(self) -> None:
        log.info(
            "request",
            extra={
                "request_id": self._request_id,
                "method": self._scope["method"],
                "path": self._scope["path"],
                "status": self._status,
                "bytes": self._bytes_sent,
                "seconds": round(time.monotonic() - self._began_at, 3),
                "client_left": self._has_left,
                **self._served,
            },
        )


def _log_level() -> str:
    """Return the level that is set; wrong settings are told by whoever needs them, and /ping needs none."""
    try:
        return current().log_level
    except ConfigurationError:
        return "INFO"


def _request_id(scope: Scope) -> str:
    """Take the caller's id where it is harmless, for logs on both sides to be matched by."""
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
