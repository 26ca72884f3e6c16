"""The application of GET /health: a short answer for everyone, a long one for the owner."""

from __future__ import annotations

from contextlib import AsyncExitStack

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lib.dialects.health import is_asked, render_health
from lib.dialects.openai_errors import error_body
from lib.flows.health import look, look_deep
from lib.settings import current
from lib.upstreams.choose import services_of
from lib.web.app import create_app
from lib.web.call import call_of
from lib.web.streaming import EventStreamResponse, spaced_frames

NO_STORE = {"cache-control": "no-store"}


def health_app() -> Starlette:
    """Make the app. Its path is always open: an overloaded process must still report its health."""
    return create_app(Route("/health", get_health), error_body=error_body, open_paths=("/health",))


async def get_health(request: Request) -> Response:
    asked = request.query_params
    if is_asked(asked.get("stream")):
        heartbeat_s = call_of(request, owner_only=True).settings.heartbeat_s
        resources = AsyncExitStack()
        return EventStreamResponse(spaced_frames(), NO_STORE, resources=resources, heartbeat_s=heartbeat_s)
    if is_asked(asked.get("deep")):
        call = call_of(request, owner_only=True)
        report = await look_deep(
            call.services,
            is_fresh=is_asked(asked.get("fresh")),
            streams="aws.event" not in request.scope,  # Mangum sets it, and sends everything at the end.
            deadline_at=call.deadline_at,
        )
        return Response(render_health(report), 200, NO_STORE, media_type="application/json")
    report_for_all = await look(services_of(current()))
    return Response(render_health(report_for_all), 200, NO_STORE, media_type="application/json")
