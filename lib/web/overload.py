"""Limit the work of one process. Beyond the limits it refuses at once and queues nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from lib.errors import ConfigurationError, GatewayError, Overloaded
from lib.settings import current
from lib.web.caller import credential_of, is_api_key

RETRY_AFTER_S = 5.0

_SHARE = "glm_gateway.share"


class LoadLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one process. A test passes its own."""

    max_requests: int = 1000
    """The process serves so many requests at a time: twice the 500 streams of tests/system/load."""
    kept_for_keys: int = 200
    """So many of these places are only for requests with a key of API_KEYS."""
    max_body_bytes: int = 256 * 1024 * 1024
    """The received bytes of all bodies. The requests parsed from them take as much again, and four times
    as much if each text has an emoji: Python then holds it at four bytes a character."""
    small_body_bytes: int = 64 * 1024
    """A body of this size always fits: 1000 of them take 64 MiB."""
    body_idle_s: float = 20.0
    """A body may pause for this long."""
    body_grace_s: float = 30.0
    """A body may take this long before its pace counts."""
    min_body_bytes_per_s: int = 16 * 1024
    """The slowest pace: 32 MiB may take half an hour, a kilobyte 30 s."""


LIMITS = LoadLimits()


class Load:
    """The requests that a process serves now."""

    def __init__(self, limits: LoadLimits = LIMITS) -> None:
        self.limits = limits
        self.requests = 0
        self.body_bytes = 0

    @contextmanager
    def admit(self, *, kept: int = 0) -> Iterator[Share]:
        """Count a request until the end of the block. Raise `Overloaded` if there is no place for it.

        This request cannot have one of the last `kept` places.
        """
        if self.requests >= self.limits.max_requests - kept:
            raise Overloaded(
                f"The gateway is full: it serves {self.requests} requests now. Try again later.",
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
        self.limits = load.limits
        self.body_bytes = 0

    def check_room(self, size: int, *, limit: int) -> None:
        """Raise `Overloaded` if a body of this size does not fit. It takes no room yet.

        A small body always fits. If it is the only one, a body of `limit` bytes fits.
        """
        grown = max(0, size - self.body_bytes)
        room = max(self.limits.max_body_bytes, limit)
        if size > self.limits.small_body_bytes and self._load.body_bytes + grown > room:
            raise Overloaded(
                "Other requests fill the gateway's memory. Try again later.",
                retry_after_s=RETRY_AFTER_S,
            )

    def hold(self, size: int, *, limit: int) -> None:
        """Take room for the received part of a body, until the request ends. Raise `Overloaded`."""
        self.check_room(size, limit=limit)
        grown = max(0, size - self.body_bytes)
        self._load.body_bytes += grown
        self.body_bytes += grown

    def hold_more(self, size: int, *, limit: int) -> None:
        """Take room for an answer that is held whole, beside the body. Raise `Overloaded`."""
        self.hold(self.body_bytes + size, limit=limit)


LOAD = Load()


def share_of(connection: HTTPConnection) -> Share:
    """Return the request's share, or the share of an empty load if the request has none."""
    share = connection.scope.get(_SHARE)
    return share if isinstance(share, Share) else Share(Load())


class Admission:
    """Lets a request in, or refuses it before reading its body.

    The last `kept_for_keys` places are for requests with a key of API_KEYS. So strangers cannot lock the
    owner out, even with many open requests and slow bodies. There are three gaps. Callers with refresh tokens
    of their own can be locked out, because a stranger can invent a string of that form. The bytes of
    strangers can fill the room for large bodies. A caller with a key can take every place.
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
        except Overloaded as error:  # It comes from `admit`: the app inside answers its own errors.
            await self._refuse(error, scope)(scope, receive, send)

    def _kept_from(self, scope: Scope) -> int:
        limits = self._load.limits
        if self._load.requests < limits.max_requests - limits.kept_for_keys:
            return 0  # There is room for every request.
        try:
            settings = current()
        except ConfigurationError:
            return 0  # The app inside answers with this error and reads no body.
        if not settings.api_keys or is_api_key(credential_of(Request(scope)), settings):
            return 0
        return limits.kept_for_keys
