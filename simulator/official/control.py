"""The simulator's own endpoints, for a test or a benchmark in another process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .direction import Direction

BASE = "/__simulator__/"


def control_routes(sim: Direction) -> list[Route]:
    def play(order: dict[str, Any]) -> dict[str, Any]:
        sim.play(order.pop("scene"), **order)
        return {}

    def fail(order: dict[str, Any]) -> dict[str, Any]:
        sim.fail(order.pop("path_suffix"), **order)
        return {}

    def reset(order: dict[str, Any]) -> dict[str, Any]:
        sim.reset(**order)
        return {}

    return [
        Route(BASE + "state", _endpoint(lambda _: sim.state()), methods=["GET"]),
        Route(BASE + "keys", _endpoint(lambda order: {"key": sim.add_key(**order)}), methods=["POST"]),
        Route(BASE + "play", _endpoint(play), methods=["POST"]),
        Route(BASE + "fail", _endpoint(fail), methods=["POST"]),
        Route(BASE + "reset", _endpoint(reset), methods=["POST"]),
    ]


def _endpoint(act: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        raw = await request.body()
        try:
            value, status = act(msgspec.json.decode(raw, type=dict[str, Any]) if raw else {}), 200
        except (ValueError, TypeError, KeyError) as error:
            value, status = {"error": str(error)}, 400
        return Response(msgspec.json.encode(value), status, media_type="application/json")

    return answer
