"""The form of a simulator's own endpoints, for a test or a benchmark in another process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

BASE = "/__simulator__/"

Act = Callable[[dict[str, Any]], dict[str, Any]]
"""Take the order, with the names of the path in it, and return the answer."""


def control_route(method: str, path: str, act: Act, *, unknown_status: int = 400) -> Route:
    """Answer a mistake in the order with 400, and a KeyError with `unknown_status`."""

    async def answer(request: Request) -> Response:
        raw = await request.body()
        try:
            order = msgspec.json.decode(raw, type=dict[str, Any]) if raw else {}
            value, status = act(order | request.path_params), 200
        except KeyError as error:
            value, status = {"error": str(error)}, unknown_status
        except (ValueError, TypeError) as error:
            value, status = {"error": str(error)}, 400
        return Response(msgspec.json.encode(value), status, media_type="application/json")

    return Route(BASE + path, answer, methods=[method])
