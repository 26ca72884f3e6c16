"""POST /v1/videos, GET and DELETE /v1/videos/{id}, GET /v1/videos/{id}/content: OpenAI's videos."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from lib.dialects.openai_errors import error_body
from lib.dialects.openai_videos import parse_creation, parse_variant, render_deleted, render_video
from lib.settings import current
from lib.upstreams.chatglm.videos.jobs import (
    address_of,
    after_sending,
    look_at_video,
    make_video,
    remove_video,
)
from lib.upstreams.chatglm.videos.orders import attempt_of
from lib.web.app import create_app
from lib.web.caller import identify
from lib.web.deadline import deadline_of
from lib.web.ending import told_as_error
from lib.web.form import read_form
from lib.web.media import POLL_AGAIN, AnswerThen, asked_once


async def create_video(request: Request) -> Response:
    settings, attempt = current(), attempt_of(request.headers)
    caller = identify(request, settings)
    deadline = deadline_of(request, settings)
    with await read_form(request, limit=settings.max_body_bytes) as form:
        frame = form.files.get("input_reference")
        order = parse_creation(form.json, form.texts, has_file=frame is not None)
        state = await make_video(
            order, caller, settings, frame=frame, attempt=attempt, deadline_at=deadline, ending=told_as_error
        )
    return Response(render_video(state), 200, POLL_AGAIN, media_type="application/json")


async def get_video(request: Request) -> Response:
    settings = current()
    caller = identify(request, settings)
    state = await look_at_video(request.path_params["video_id"], caller, settings)
    return AnswerThen(render_video(state), 200, POLL_AGAIN, then=after_sending(state, caller, settings))


async def get_content(request: Request) -> Response:
    settings = current()
    caller = identify(request, settings)
    variant = parse_variant(request.query_params.get("variant"))
    state = await look_at_video(request.path_params["video_id"], caller, settings)
    return RedirectResponse(address_of(state, variant), 302, {"cache-control": "no-store"})


async def delete_video(request: Request) -> Response:
    settings, video_id = current(), request.path_params["video_id"]
    await remove_video(video_id, identify(request, settings), settings)
    return Response(render_deleted(video_id), media_type="application/json")


app = create_app(
    Route("/v1/videos", asked_once(create_video, error_body), methods=["POST"]),
    Route("/v1/videos/{video_id}", get_video),
    Route("/v1/videos/{video_id}", delete_video, methods=["DELETE"]),
    Route("/v1/videos/{video_id}/content", get_content),
    error_body=error_body,
)
