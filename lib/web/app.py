"""One handler file's ASGI application: its routes, and around them what every answer has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lib.errors import GatewayError, MethodNotAllowed, NotFound
from lib.web.edge import EXPOSED_HEADERS, Edge

ErrorBody = Callable[[GatewayError], bytes]
Endpoint = Callable[[Request], Awaitable[Response]]


def create_app(*routes: Route, error_body: ErrorBody) -> Starlette:
    """Make the app of one handler file; every route answers below `/api` too, the file's own path."""

    async def refuse(_: Request, error: Exception) -> Response:
        assert isinstance(error, GatewayError)
        return error_response(error, error_body)

    async def refuse_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if request.method == "OPTIONS" and error.status_code == 405:
            return Response(status_code=204, headers=error.headers)
        response = error_response(_as_ours(request, error), error_body)
        response.headers.update(error.headers or {})
        return response

    app = Starlette(
        routes=[*routes, *map(_below_api, routes)],
        middleware=[
            Middleware(Edge, error_body=error_body),
            # Any page may call, with its user's own key; no cookie is ever read, so no credentials.
            Middleware(
                CORSMiddleware,
                allow_origins=["*"],
                allow_methods=["*"],
                allow_headers=["*"],
                expose_headers=EXPOSED_HEADERS,
                max_age=86400,
            ),
        ],
        exception_handlers={GatewayError: refuse, HTTPException: refuse_http},
    )
    app.router.redirect_slashes = False  # a redirected POST loses its body with many clients
    return app


def error_response(error: GatewayError, error_body: ErrorBody) -> Response:
    headers = {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, round(error.retry_after_s + 0.5)))
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    return Response(error_body(error), error.status, headers, media_type="application/json")


def _below_api(route: Route) -> Route:
    return Route("/api" + route.path.rstrip("/"), route.endpoint, methods=list(route.methods or ()))


def _as_ours(request: Request, error: HTTPException) -> GatewayError:
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        return MethodNotAllowed(f"{request.method} is not allowed here; allowed: {allowed}.")
    return NotFound(f"There is nothing at {request.url.path!r}.")
