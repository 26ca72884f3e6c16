"""POST /v1/videos/generations, GET /v1/videos/generations/{id}: videos, as the older bridges have them."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lib.dialects.openai_errors import error_body
from lib.dialects.openai_videos import parse_generation, render_generation
from lib.settings import current
from lib.upstreams.chatglm.videos.jobs import after_sending, failure_of, look_at_video, make_video
from lib.upstreams.chatglm.videos.orders import attempt_of
from lib.web.app import create_app
from lib.web.body import read_body
from lib.web.caller import identify
from lib.web.deadline import deadline_of
from lib.web.ending import told_as_error
from lib.web.media import POLL_AGAIN, AnswerThen, asked_once


async def create_generation(request: Request) -> Response:
    settings = current()
    caller = identify(request, settings)
    deadline_at = deadline_of(request, settings)
    wanted = parse_generation(await read_body(request, limit=settings.max_body_bytes))
    attempt = attempt_of(request.headers)
    state = await make_video(
        wanted, caller, settings, attempt=attempt, deadline_at=deadline_at, ending=told_as_error
    )
    failure = failure_of(state)
    if failure is not None:
        raise failure
    status = 200 if state.is_over else 202
    then = after_sending(state, caller, settings)
    return AnswerThen(render_generation(state), status, POLL_AGAIN, then=then)


async def get_generation(request: Request) -> Response:
    settings = current()
    caller = identify(request, settings)
    state = await look_at_video(request.path_params["video_id"], caller, settings)
    then = after_sending(state, caller, settings)
    return AnswerThen(render_generation(state), 200, POLL_AGAIN, then=then)


app = create_app(
    Route("/v1/videos/generations", asked_once(create_generation, error_body), methods=["POST"]),
    Route("/v1/videos/generations/{video_id}", get_generation),
    error_body=error_body,
)
