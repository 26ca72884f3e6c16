"""One handler file's ASGI application: its routes, and around them what every answer has."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from lib.dialects.interface import ErrorForm
from lib.errors import GatewayError, MethodNotAllowed, NotFound
from lib.trace import current_trace
from lib.web.edge import EXPOSED_HEADERS, Edge
from lib.web.guessing import GUESSES, WrongCredential
from lib.web.overload import LOAD, Admission
from lib.web.refusal import ErrorBody, FormOf, own_form, status_and_body

Endpoint = Callable[[Request], Awaitable[Response]]

MOST_SHOWN_CHARS = 200
"""Of a path or a method that nobody has."""


def create_app(
    *routes: Route, error_body: ErrorBody, form_of: FormOf = own_form, open_paths: Iterable[str] = ()
) -> Starlette:
    """Make the app of one handler file; every route answers below `/api` too, the file's own path.

    `form_of` chooses another form of errors than `error_body` for some requests. `open_paths` answer although
    the process takes no other request.
    """

    def tell(error: GatewayError, scope: Scope) -> Response:
        return error_response(error, error_body, form_of(scope))

    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, GatewayError)
        if isinstance(error, WrongCredential):
            error = await GUESSES.slow_down(error)
        return tell(error, request.scope)

    async def refuse_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if request.method == "OPTIONS" and error.status_code == 405:
            return Response(status_code=204, headers=error.headers)
        response = tell(_as_ours(request, error), request.scope)
        response.headers.update(error.headers or {})
        return response

    admission = Middleware(
        Admission,
        refuse=tell,
        load=LOAD,
        open_paths=frozenset(path for own in open_paths for path in (own, f"/api{own}")),
    )
    app = Starlette(
        routes=[_to_the_end(route) for route in (*routes, *map(_below_api, routes))],
        middleware=[
            Middleware(Edge, error_body=error_body, form_of=form_of),
            # Any page may call, with its user's own key; no cookie is ever read, so no credentials.
            Middleware(
                CORSMiddleware,
                allow_origins=["*"],
                allow_methods=["*"],
                allow_headers=["*"],
                expose_headers=EXPOSED_HEADERS,
                max_age=86400,
            ),
            admission,
        ],
        exception_handlers={GatewayError: refuse, HTTPException: refuse_http},
    )
    app.router.redirect_slashes = False  # a redirected POST loses its body with many clients
    return app


def error_response(error: GatewayError, error_body: ErrorBody, form: ErrorForm | None = None) -> Response:
    current_trace().failed(error)
    headers = {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, round(error.retry_after_s + 0.5)))
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.status == 408:
        headers["connection"] = "close"  # else the server would wait for the rest of the body
    if error.status == 415:
        headers["accept-encoding"] = "identity"
    status, body = status_and_body(error, error_body, form)
    return Response(body, status, headers, media_type="application/json")


def _to_the_end(route: Route) -> Route:
    """Let it match nothing but its path: Starlette's `$` takes a line end after it, too (`/ping%0a`)."""
    route.path_regex = re.compile(route.path_regex.pattern.removesuffix("$") + r"\Z")
    return route


def _below_api(route: Route) -> Route:
    return Route("/api" + route.path.rstrip("/"), route.endpoint, methods=list(route.methods or ()))


def _as_ours(request: Request, error: HTTPException) -> GatewayError:
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        return MethodNotAllowed(f"{_shown(request.method)} is not allowed here; allowed: {allowed}.")
    # Not request.url: it cannot be made of every Host that a stranger may send.
    return NotFound(f"There is nothing at {_shown(request.scope['path'])!r}.")


def _shown(text: str) -> str:
    return text if len(text) <= MOST_SHOWN_CHARS else text[:MOST_SHOWN_CHARS] + "…"
