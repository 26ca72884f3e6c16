"""The facts about one request on its way, for its line in the log and for its Server-Timing.

The edge makes a trace and hands it down in the `Call`. A context variable holds it too, for log lines and for
the few places that have no call. Nothing that a caller wrote and nothing secret belongs in it.
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
    """The upstream's own refusal, also if another attempt then succeeded."""

    code: int | None = None
    status: int | None = None


class Failure(msgspec.Struct, frozen=True):
    """The error that the caller got in place of an answer, or of the rest of it."""

    code: str = ""
    status: int = 0


class Trace:
    """One request's facts. Each layer writes the ones that it alone knows; the edge reads all at the end."""

    def __init__(self, request_id: str = "") -> None:
        self.request_id = request_id
        self.account = ""
        """The label of the account that was tried last."""
        self.model = ""
        """The model that served, in the upstream's words."""
        self.attempts = 0
        """So many times an account was leased for an answer."""
        self.events = 0
        """The replies consisted of so many neutral events."""
        self.finish = ""
        self.notices: Counter[str] = Counter()
        self.timings: dict[str, float] = {}
        """Seconds, by their use: `wait`, `token`, `files`, `first`."""
        self.failure = Failure()
        self.refusal = Refusal()

    def tried(self, account: str) -> None:
        self.account = account
        self.attempts += 1

    def spend(self, on: str, seconds: float) -> None:
        """Add up: an account that refused has taken its time, too."""
        self.timings[on] = self.timings.get(on, 0.0) + seconds

    def take(self, events: Sequence[ReplyEvent]) -> None:
        self.events += len(events)
        for event in events:
            kind = type(event)  # The cheapest question: there is one event for every few characters.
            if kind is Notice or kind is Finished:
                self._note(event)

    def refused(self, error: GatewayError) -> None:
        """Note the upstream's own words, if it was the upstream that refused."""
        if error.number is not None or error.http_status is not None:
            self.refusal = Refusal(error.number, error.http_status)

    def failed(self, error: GatewayError) -> None:
        """Note the error that the caller gets, as a status or after one."""
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
    """Return the request's trace; outside of any request, one that no code reads."""
    return _current.get(None) or Trace()


@contextmanager
def traced(request_id: str) -> Iterator[Trace]:
    """Have one trace for everything that this task does meanwhile, and for every task that it starts."""
    trace = Trace(request_id)
    token = _current.set(trace)
    try:
        yield trace
    finally:
        _current.reset(token)
