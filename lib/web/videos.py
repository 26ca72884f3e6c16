"""The application of /v1/videos (OpenAI's form) and /v1/videos/generations (the older bridges' form)."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from lib.dialects.openai_errors import error_body
from lib.dialects.openai_videos import (
    parse_creation,
    parse_generation,
    parse_variant,
    render_deleted,
    render_generation,
    render_video,
)
from lib.flows.videos import (
    address_of,
    after_sending,
    failure_of,
    look_at_video,
    make_video,
    remove_video,
)
from lib.upstreams.interface import Call
from lib.web.app import create_app
from lib.web.body import read_body
from lib.web.call import body_limit, call_of
from lib.web.form import read_form
from lib.web.headers import upstream_headers
from lib.web.media import POLL_AGAIN, AnswerThen, asked_once, attempt_of


def videos_app() -> Starlette:
    """Serve OpenAI's paths and the older ones. The older ones stand below OpenAI's, so they come first."""
    generations, videos = "/v1/videos/generations", "/v1/videos"
    return create_app(
        Route(generations, asked_once(create_generation, error_body), methods=["POST"]),
        Route(f"{generations}/{{video_id}}", get_generation),
        Route(videos, asked_once(create_video, error_body), methods=["POST"]),
        Route(f"{videos}/{{video_id}}", get_video),
        Route(f"{videos}/{{video_id}}", delete_video, methods=["DELETE"]),
        Route(f"{videos}/{{video_id}}/content", get_content),
        error_body=error_body,
    )


async def create_video(request: Request) -> Response:
    call, attempt = call_of(request), attempt_of(request.headers)
    with await read_form(request, limit=await body_limit(request, call)) as form:
        frame = form.files.get("input_reference")
        order = parse_creation(form.json, form.texts, has_file=frame is not None)
        state = await make_video(order, call, frame=frame, attempt=attempt)
    return Response(render_video(state), 200, _headers(call), media_type="application/json")


async def get_video(request: Request) -> Response:
    call = call_of(request)
    state = await look_at_video(request.path_params["video_id"], call)
    return AnswerThen(render_video(state), 200, _headers(call), then=after_sending(state, call))


async def get_content(request: Request) -> Response:
    call = call_of(request)
    variant = parse_variant(request.query_params.get("variant"))
    state = await look_at_video(request.path_params["video_id"], call)
    return RedirectResponse(address_of(state, variant), 302, {"cache-control": "no-store"})


async def delete_video(request: Request) -> Response:
    video_id = request.path_params["video_id"]
    await remove_video(video_id, call_of(request))
    return Response(render_deleted(video_id), media_type="application/json")


async def create_generation(request: Request) -> Response:
    call = call_of(request)
    order = parse_generation(await read_body(request, limit=await body_limit(request, call)))
    state = await make_video(order, call, attempt=attempt_of(request.headers))
    if (failure := failure_of(state)) is not None:
        raise failure
    status = 200 if state.is_over else 202
    return AnswerThen(render_generation(state), status, _headers(call), then=after_sending(state, call))


async def get_generation(request: Request) -> Response:
    call = call_of(request)
    state = await look_at_video(request.path_params["video_id"], call)
    return AnswerThen(render_generation(state), 200, _headers(call), then=after_sending(state, call))


def _headers(call: Call) -> dict[str, str]:
    return POLL_AGAIN | upstream_headers(call.trace)
