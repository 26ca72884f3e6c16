"""How much one process takes on at a time: beyond that it says so at once, and queues nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from lib.errors import GatewayError, Overloaded

MOST_REQUESTS = 1000
"""Under way in one process: twice the 500 streams that it is tested with (tests/soak)."""
MOST_BODY_BYTES = 256 * 1024 * 1024
"""Of bodies that were read, or are to be; the requests made of them are about as large once more."""
RETRY_AFTER_S = 5.0

_SHARE = "glm_gateway.share"


class Load:
    """What a process has under way."""

    def __init__(self) -> None:
        self.requests = 0
        self.body_bytes = 0

    @contextmanager
    def admit(self) -> Iterator[Share]:
        """Count a request until the end of the block, however it ends; raises `Overloaded`."""
        if self.requests >= MOST_REQUESTS:
            raise Overloaded(
                f"The gateway has {self.requests} requests under way, and takes no more.",
                retry_after_s=RETRY_AFTER_S,
            )
        share = Share(self)
        self.requests += 1
        try:
            yield share
        finally:
            self.requests -= 1
            self.body_bytes -= share.body_bytes


class Share:
    """One request's part of the load."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self.body_bytes = 0

    def hold(self, size: int, *, limit: int) -> None:
        """Take room for a body of this size until the request ends; raises `Overloaded`.

        One body as large as `limit` allows always fits where there is no other.
        """
        grown = max(0, size - self.body_bytes)
        if self._load.body_bytes + grown > max(MOST_BODY_BYTES, limit):
            raise Overloaded(
                "The gateway holds as much of other requests as it has room for.", retry_after_s=RETRY_AFTER_S
            )
        self._load.body_bytes += grown
        self.body_bytes += grown


LOAD = Load()


def share_of(connection: HTTPConnection) -> Share:
    """Return the request's share; one of nothing where nobody counts."""
    share = connection.scope.get(_SHARE)
    return share if isinstance(share, Share) else Share(Load())


class Admission:
    """Lets a request in, or refuses it before anything of it is read."""

    def __init__(self, app: ASGIApp, *, refuse: Callable[[GatewayError], Response], load: Load) -> None:
        self._app = app
        self._refuse = refuse
        self._load = load

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            with self._load.admit() as scope[_SHARE]:
                await self._app(scope, receive, send)
        except Overloaded as error:  # its own: the app inside answers its errors by itself
            await self._refuse(error)(scope, receive, send)
