"""GET /health: what is configured, whether the store works; to a key with `?deep=1`, everything."""

from contextlib import AsyncExitStack

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lib.dialects.health import is_asked, render_health
from lib.dialects.openai_errors import error_body
from lib.flows.health import look, look_deep
from lib.settings import current
from lib.web.app import create_app
from lib.web.caller import identify_owner
from lib.web.deadline import deadline_of
from lib.web.streaming import EventStreamResponse, spaced_frames

NO_STORE = {"cache-control": "no-store"}


async def get_health(request: Request) -> Response:
    settings, asked = current(), request.query_params
    if is_asked(asked.get("stream")):
        identify_owner(request, settings)
        return EventStreamResponse(
            spaced_frames(), NO_STORE, resources=AsyncExitStack(), heartbeat_s=settings.heartbeat_s
        )
    if is_asked(asked.get("deep")):
        identify_owner(request, settings)
        streams = "aws.event" not in request.scope  # which Mangum sets, and then sends everything at the end
        fresh, deadline = is_asked(asked.get("fresh")), deadline_of(request, settings)
        report = await look_deep(settings, is_fresh=fresh, streams=streams, deadline_at=deadline)
        return Response(render_health(report), 200, NO_STORE, media_type="application/json")
    return Response(render_health(await look(settings)), 200, NO_STORE, media_type="application/json")


app = create_app(Route("/health", get_health), error_body=error_body, is_always_open=True)
