"""Making the `Call` of a request: its caller, the services, its deadline, its trace."""

from __future__ import annotations

from starlette.requests import Request

from lib.settings import current
from lib.trace import current_trace
from lib.upstreams.choose import services_of
from lib.upstreams.interface import Call
from lib.web.caller import identify
from lib.web.deadline import deadline_of


def call_of(request: Request) -> Call:
    """Raise AuthenticationFailed if the request has no credential that opens anything."""
    settings = current()
    return Call(
        services=services_of(settings),
        caller=identify(request, settings),
        trace=current_trace(),
        deadline_at=deadline_of(request, settings),
    )
