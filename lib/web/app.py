"""The ASGI application of one handler file: its routes, and the layers around every answer."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import chain

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from lib.dialects.interface import ErrorForm
from lib.errors import AccountRefused, GatewayError, MethodNotAllowed, NotFound, QuotaExceeded
from lib.trace import current_trace
from lib.web.edge import EXPOSED_HEADERS, Edge
from lib.web.guessing import GUESSES, WrongCredential
from lib.web.overload import LOAD, Admission
from lib.web.paths import MeantPaths, shown, words_about, words_of_absent
from lib.web.refusal import ErrorBody, FormOf, own_form, status_and_body

Endpoint = Callable[[Request], Awaitable[Response]]


def create_app(
    *routes: Route, error_body: ErrorBody, form_of: FormOf = own_form, open_paths: Iterable[str] = ()
) -> Starlette:
    """Make the app of one handler file. Every route also answers below `/api`, the file's own path.

    `form_of` chooses another form of errors than `error_body` for some requests. `open_paths` answer even if
    the process is full.
    """

    def tell(error: GatewayError, scope: Scope) -> Response:
        return error_response(error, error_body, form_of(scope))

    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, GatewayError)
        if isinstance(error, WrongCredential | AccountRefused):
            error = await GUESSES.slow_down(error)
        return tell(error, request.scope)

    async def refuse_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = _allowed(request)
            if request.method == "OPTIONS":
                return Response(status_code=204, headers=headers)
        response = tell(_as_ours(request, error, headers), request.scope)
        response.headers.update(headers)
        return response

    admission = Middleware(
        Admission,
        refuse=tell,
        load=LOAD,
        open_paths=frozenset(path for own in open_paths for path in (own, f"/api{own}")),
    )
    all_routes = [_to_the_end(route) for route in (*routes, *chain.from_iterable(map(_below_api, routes)))]
    app = Starlette(
        routes=all_routes,
        middleware=[
            Middleware(MeantPaths, routes=all_routes),
            Middleware(Edge, error_body=error_body, form_of=form_of),
            # Any page may call with its user's own key. We read no cookie, so no credentials are allowed.
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
    app.router.redirect_slashes = False  # Many clients lose the body of a redirected POST.
    return app


def error_response(error: GatewayError, error_body: ErrorBody, form: ErrorForm | None = None) -> Response:
    current_trace().failed(error)
    headers = {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, round(error.retry_after_s + 0.5)))
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.status == 401 or isinstance(error, QuotaExceeded):
        # A client seen in November 2026 repeats a 401 for minutes, silently, unless the answer forbids it.
        headers["x-should-retry"] = "false"
    if error.status == 408:
        headers["connection"] = "close"  # Without it the server would wait for the rest of the body.
    if error.status == 415:
        headers["accept-encoding"] = "identity"
    status, body = status_and_body(error, error_body, form)
    return Response(body, status, headers, media_type="application/json")


def _to_the_end(route: Route) -> Route:
    """Let the route match its path only. Starlette's `$` also accepts a line end after it (`/ping%0a`)."""
    route.path_regex = re.compile(route.path_regex.pattern.removesuffix("$") + r"\Z")
    return route


def _below_api(route: Route) -> Iterator[Route]:
    """Make the routes below the file's own path. `/api` and `/api/` are two spellings of the first."""
    paths = ("/api", "/api/") if route.path == "/" else (f"/api{route.path}",)
    for path in paths:
        yield Route(path, route.endpoint, methods=list(route.methods or ()))


def _allowed(request: Request) -> str:
    """Name the methods of a path. Starlette names those of its first route alone."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    path = next(route.path for route in routes if route.matches(request.scope)[0] is not Match.NONE)
    methods = {method for route in routes if route.path == path for method in route.methods or ()}
    return ", ".join(sorted(methods))


def _as_ours(request: Request, error: HTTPException, headers: Mapping[str, str]) -> GatewayError:
    # An action on a model of Google's has the form of a model's path, which takes GET.
    if error.status_code == 405 and not words_of_absent(request.scope["path"]):
        return MethodNotAllowed(f"This path does not take {shown(request.method)}. Use {headers['Allow']}.")
    return NotFound(words_about(request))
