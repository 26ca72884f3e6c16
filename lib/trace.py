"""What is learnt of one request on its way: for its line in the log, and for its Server-Timing.

A context variable, so that each layer notes what it alone knows, and none has to hand it up. Nothing that a
caller wrote and nothing secret belongs in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from lib.chat.events import Finished, Notice, ReplyEvent
from lib.errors import GatewayError


class Trace:
    """One request's; whoever serves it writes, and the edge reads when all is done."""

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
        """The label of the account that was tried last."""
        self.model = ""
        """What served, in the upstream's words."""
        self.attempts = 0
        """How often an account was leased for an answer."""
        self.events = 0
        """How many neutral events the replies consisted of."""
        self.finish = ""
        self.notices: Counter[str] = Counter()
        self.timings: dict[str, float] = {}
        """Seconds, by what they were spent on: `wait`, `token`, `files`, `first`."""
        self.code = ""
        """Ours, of what the caller was told in place of (the rest of) an answer."""
        self.failure_status = 0
        self.upstream_code: int | None = None
        """The number that the upstream refused with, also where another attempt then succeeded."""
        self.upstream_status: int | None = None

    def tried(self, account: str) -> None:
        self.account = account
        self.attempts += 1

    def spend(self, on: str, seconds: float) -> None:
        """Add up: an account that refused has taken its time, too."""
        self.timings[on] = self.timings.get(on, 0.0) + seconds

    def take(self, events: Sequence[ReplyEvent]) -> None:
        self.events += len(events)
        for event in events:
            kind = type(event)  # the cheapest question: there is one of these for every few characters
            if kind is Notice or kind is Finished:
                self._note(event)

    def _note(self, event: ReplyEvent) -> None:
        if isinstance(event, Notice):
            self.notices[event.kind] += 1
        else:
            assert isinstance(event, Finished)
            self.finish = event.reason

    def refused(self, error: GatewayError) -> None:
        """Note what the upstream itself said, if it was the upstream that refused."""
        if error.number is not None or error.http_status is not None:
            self.upstream_code, self.upstream_status = error.number, error.http_status

    def failed(self, error: GatewayError) -> None:
        """Note what the caller is told, as a status or after one."""
        self.refused(error)
        self.code, self.failure_status = error.code, error.status


_current: ContextVar[Trace] = ContextVar("glm_gateway_trace")


def current_trace() -> Trace:
    """Return the request's; outside of any request one that nobody reads."""
    return _current.get(None) or Trace()


@contextmanager
def traced(request_id: str) -> Iterator[Trace]:
    """Have one trace for all that this task does meanwhile, and for all that it starts."""
    trace = Trace(request_id)
    token = _current.set(trace)
    try:
        yield trace
    finally:
        _current.reset(token)
