"""The application of `/`: the page, the API's document, `/ping`, `/robots.txt`, and the 404 of all else."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from lib.dialects.openai_errors import error_body
from lib.web.app import create_app
from lib.web.openapi import openapi_document
from lib.web.refusal import form_by_path
from lib.web.welcome import welcome_page

NO_ROBOTS = "User-agent: *\nDisallow: /\n"


def index_app() -> Starlette:
    return create_app(
        Route("/", get_page),
        Route("/index", get_page),
        Route("/ping", get_ping),
        Route("/openapi.json", get_document),
        Route("/robots.txt", get_robots),
        error_body=error_body,
        form_of=form_by_path,
        open_paths=("/ping",),
    )


async def get_page(request: Request) -> Response:
    return welcome_page(request)


async def get_ping(_: Request) -> Response:
    return PlainTextResponse("pong")


async def get_document(request: Request) -> Response:
    return openapi_document(request)


async def get_robots(_: Request) -> Response:
    return PlainTextResponse(NO_ROBOTS)
