"""The facts about one request, for its line in the log and for its `server-timing`.

A context variable holds them, so each layer adds its own facts and passes nothing up. It must not hold the
caller's words or a secret.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from lib.chat.events import Finished, Notice, ReplyEvent
from lib.errors import GatewayError


class Trace:
    """The facts about one request. The layers that serve it write; the edge reads at the end."""

    __slots__ = (
        "account",
        "attempts",
        "code",
        "events",
        "failure_status",
        "finish",
        "model",
        "notices",
        "request_id",
        "timings",
        "upstream_code",
        "upstream_status",
    )

    def __init__(self, request_id: str = "") -> None:
        self.request_id = request_id
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
        self.code = ""
        """Our code of the error that the caller got in place of (the rest of) the answer."""
        self.failure_status = 0
        self.upstream_code: int | None = None
        """The number of the upstream's last refusal, even if a later attempt succeeded."""
        self.upstream_status: int | None = None

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

    def _note(self, event: ReplyEvent) -> None:
        if isinstance(event, Notice):
            self.notices[event.kind] += 1
        else:
            assert isinstance(event, Finished)
            self.finish = event.reason

    def refused(self, error: GatewayError) -> None:
        """Note the upstream's number and status, if the upstream refused."""
        if error.number is not None or error.http_status is not None:
            self.upstream_code, self.upstream_status = error.number, error.http_status

    def failed(self, error: GatewayError) -> None:
        """Note the caller's error, as a status or in a stream."""
        self.refused(error)
        self.code, self.failure_status = error.code, error.status


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
