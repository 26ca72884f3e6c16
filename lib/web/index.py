"""The application of `/`: the page and its files, the API's document, `/ping`, and the 404 of all else."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from lib.dialects.openai_errors import error_body
from lib.web.address import outer_path
from lib.web.app import create_app
from lib.web.openapi import openapi_document
from lib.web.page_files import ASK_AGAIN, HEADERS, TYPES, read_page
from lib.web.refusal import form_by_path

NO_ROBOTS = "User-agent: *\nDisallow: /\n"
DEMO_KEY = "glm_gateway.demo_key"
"""The demo's server sets this name in the scope. No setting does, so no other gateway can publish a key."""


class PageFile(Convertor[str]):
    """The name of a file in the page's folder: no path can leave it."""

    regex = r"[a-z-]{1,40}\.(?:css|js|svg)|favicon\.ico"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("page_file", PageFile())


def index_app() -> Starlette:
    return create_app(
        Route("/", get_page),
        Route("/index", get_page),
        Route("/ping", get_ping),
        Route("/openapi.json", get_document),
        Route("/robots.txt", get_robots),
        Route("/{name:page_file}", get_file),
        error_body=error_body,
        form_of=form_by_path,
        open_paths=("/ping",),
    )


async def get_page(request: Request) -> Response:
    """Answer with the page, at an address from which its relative addresses lead to its files."""
    path = outer_path(request)
    if not path.endswith(("/", "/index")):
        # Relative, so that it holds below every prefix that a proxy removed.
        return RedirectResponse(f"{path.rpartition('/')[2]}/", 307, {**HEADERS, "cache-control": ASK_AGAIN})
    html = read_page().document(request.scope.get(DEMO_KEY, ""))
    return Response(html, 200, {**HEADERS, "cache-control": ASK_AGAIN}, media_type=TYPES[".html"])


async def get_file(request: Request) -> Response:
    page = read_page()
    file = page.file(request.path_params["name"])
    cache_control = page.cache_control(request.query_params.get("v"))
    return Response(file.body, 200, {**HEADERS, "cache-control": cache_control}, media_type=file.media_type)


async def get_ping(_: Request) -> Response:
    return PlainTextResponse("pong")


async def get_document(request: Request) -> Response:
    return openapi_document(request)


async def get_robots(_: Request) -> Response:
    return PlainTextResponse(NO_ROBOTS)
