"""GET /v1/models and GET /v1/models/{id}: the list of models."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lib.dialects.openai_errors import error_body
from lib.dialects.openai_models import render_model, render_models
from lib.flows.models import find_model, list_models
from lib.web.app import create_app
from lib.web.call import call_of

LISTED_SINCE = 1790640000  # 2026-09-29: the upstream's list was observed then. It has no dates of its own.


async def get_models(request: Request) -> Response:
    names = await list_models(call_of(request))
    return Response(render_models(names, LISTED_SINCE), media_type="application/json")


async def get_model(request: Request) -> Response:
    name = await find_model(request.path_params["name"], call_of(request))
    return Response(render_model(name, LISTED_SINCE), media_type="application/json")


app = create_app(
    Route("/v1/models", get_models),
    Route("/v1/models/{name}", get_model),
    error_body=error_body,
)
