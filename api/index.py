"""GET /: a page for whoever opens the address in a browser; GET /openapi.json; the 404 of all other paths."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lib.dialects.openai_errors import error_body
from lib.web.app import create_app
from lib.web.openapi import openapi_document
from lib.web.welcome import welcome_page


async def get_index(request: Request) -> Response:
    return welcome_page(request)


async def get_openapi(request: Request) -> Response:
    return openapi_document(request)


app = create_app(
    Route("/", get_index),
    Route("/index", get_index),
    Route("/openapi.json", get_openapi),
    error_body=error_body,
)
