"""The facts about one request, for its line in the log and for its `server-timing`.

The edge makes a trace and hands it down in the `Call`. A context variable holds it too, for log lines and for
the few places without a call. It must not hold the caller's words or a secret.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import msgspec

from lib.chat.events import Finished, Notice, ReplyEvent
from lib.errors import GatewayError


class Refusal(msgspec.Struct, frozen=True):
    """The upstream's last refusal, even if a later attempt succeeded."""

    code: int | None = None
    status: int | None = None


class Failure(msgspec.Struct, frozen=True):
    """The error that the caller got in place of an answer, or of the rest of it."""

    code: str = ""
    status: int = 0


class LastError(msgspec.Struct, frozen=True):
    """The last failure of this process: of the upstream, the store or the gateway itself."""

    at: str
    """Its time, in UTC."""
    status: int
    code: str
    route: str
    request_id: str


class Recent:
    """The memory of one process. A cold start loses it."""

    last_error: LastError | None = None


RECENT = Recent()


class Trace:
    """The facts about one request. Each layer writes its own facts; the edge reads them at the end."""

    def __init__(self, request_id: str = "") -> None:
        self.request_id = request_id
        self.upstream = ""
        """The name of the upstream that answers."""
        self.fallback = ""
        """The code of the refusal for which the fallback model answers."""
        self.account = ""
        """The label of the last account."""
        self.model = ""
        """The upstream's name of the model."""
        self.attempts = 0
        """The number of account leases."""
        self.events = 0
        """The number of neutral events in all replies."""
        self.finish = ""
        self.notices: Counter[str] = Counter()
        self.timings: dict[str, float] = {}
        """Seconds for each of `wait`, `token`, `files`, `first`."""
        self.failure = Failure()
        self.refusal = Refusal()

    def tried(self, account: str) -> None:
        self.account = account
        self.attempts += 1

    def spend(self, on: str, seconds: float) -> None:
        """Add the seconds: every refused attempt took time, too."""
        self.timings[on] = self.timings.get(on, 0.0) + seconds

    def take(self, events: Sequence[ReplyEvent]) -> None:
        self.events += len(events)
        for event in events:
            kind = type(event)  # `isinstance` is slower, and an event comes for every few characters.
            if kind is Notice or kind is Finished:
                self._note(event)

    def refused(self, error: GatewayError) -> None:
        """Note the upstream's number and status, if the upstream refused."""
        if error.number is not None or error.http_status is not None:
            self.refusal = Refusal(error.number, error.http_status)

    def failed(self, error: GatewayError) -> None:
        """Note the caller's error, as a status or in a stream."""
        self.refused(error)
        self.failure = Failure(error.code, error.status)

    def _note(self, event: ReplyEvent) -> None:
        if isinstance(event, Notice):
            self.notices[event.kind] += 1
        else:
            assert isinstance(event, Finished)
            self.finish = event.reason


_current: ContextVar[Trace] = ContextVar("glm_gateway_trace")


def current_trace() -> Trace:
    """Return the request's trace. Outside of a request, return a new one that is not read."""
    return _current.get(None) or Trace()


@contextmanager
def traced(request_id: str) -> Iterator[Trace]:
    """Use one trace for this task and for the tasks that it starts inside the block."""
    trace = Trace(request_id)
    token = _current.set(trace)
    try:
        yield trace
    finally:
        _current.reset(token)
