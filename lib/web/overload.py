"""How much one process takes on at a time: beyond that it says so at once, and queues nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from lib.errors import ConfigurationError, GatewayError, Overloaded
from lib.settings import current
from lib.web.caller import credential_of, is_api_key

MOST_REQUESTS = 1000
"""Under way in one process: twice the 500 streams that it is tested with (tests/system/load)."""
KEPT_FOR_KEYS = 200
"""Of these, for whoever has a key of API_KEYS: all others together never get them."""
MOST_BODY_BYTES = 256 * 1024 * 1024
"""Of bodies, as far as they came; the requests made of them are about as large once more."""
SMALL_BODY_BYTES = 64 * 1024
"""So small that it is let in although there is no room: all requests of this size are 64 MiB."""
RETRY_AFTER_S = 5.0

_SHARE = "glm_gateway.share"


class Load:
    """What a process has under way."""

    def __init__(self) -> None:
        self.requests = 0
        self.body_bytes = 0

    @contextmanager
    def admit(self, *, kept: int = 0) -> Iterator[Share]:
        """Count a request until the end of the block, however it ends; raises `Overloaded`.

        `kept` places are not for this one.
        """
        if self.requests >= MOST_REQUESTS - kept:
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

    def check_room(self, size: int, *, limit: int) -> None:
        """Raise `Overloaded` where a body that has grown to this size does not fit; it takes no room yet.

        A small body always fits, and one as large as `limit` allows where there is no other.
        """
        grown = max(0, size - self.body_bytes)
        if size > SMALL_BODY_BYTES and self._load.body_bytes + grown > max(MOST_BODY_BYTES, limit):
            raise Overloaded(
                "The gateway holds as much of other requests as it has room for.", retry_after_s=RETRY_AFTER_S
            )

    def hold(self, size: int, *, limit: int) -> None:
        """Take room for what has come of a body, until the request ends; raises `Overloaded`."""
        self.check_room(size, limit=limit)
        grown = max(0, size - self.body_bytes)
        self._load.body_bytes += grown
        self.body_bytes += grown


LOAD = Load()


def share_of(connection: HTTPConnection) -> Share:
    """Return the request's share; one of nothing where nobody counts."""
    share = connection.scope.get(_SHARE)
    return share if isinstance(share, Share) else Share(Load())


class Admission:
    """Lets a request in, or refuses it before anything of it is read.

    The last `KEPT_FOR_KEYS` places are for requests that come with a key of API_KEYS, so nobody without one
    can lock its owner out, however many requests he leaves open and however slowly he sends. It does not
    protect those who bring refresh tokens of their own from each other, for anybody can make up something of
    that shape; nor the room for large bodies, which fills with what strangers really send; nor against who
    has a key.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        refuse: Callable[[GatewayError, Scope], Response],
        load: Load,
        open_paths: frozenset[str] = frozenset(),
    ) -> None:
        self._app = app
        self._refuse = refuse
        self._load = load
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._open_paths:
            await self._app(scope, receive, send)
            return
        try:
            with self._load.admit(kept=self._kept_from(scope)) as scope[_SHARE]:
                await self._app(scope, receive, send)
        except Overloaded as error:  # its own: the app inside answers its errors by itself
            await self._refuse(error, scope)(scope, receive, send)

    def _kept_from(self, scope: Scope) -> int:
        if self._load.requests < MOST_REQUESTS - KEPT_FOR_KEYS:
            return 0  # there is room for anybody
        try:
            settings = current()
        except ConfigurationError:
            return 0  # the app inside says so, and reads nothing
        if not settings.api_keys or is_api_key(credential_of(Request(scope)), settings):
            return 0
        return KEPT_FOR_KEYS
