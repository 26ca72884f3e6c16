"""The simulator's own endpoints, for a test or a benchmark in another process."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator.steps import Pause

from .direction import Direction
from .state import SceneLike

BASE = "/__simulator__/"


def control_routes(sim: Direction) -> list[Route]:
    async def state(request: Request) -> Response:  # noqa: ARG001
        return _answer(sim.state())

    async def play(request: Request) -> Response:
        order = await _read(request)
        try:
            sim.play(_read_scene(order.pop("scene")), **order)
        except (ValueError, TypeError, KeyError) as error:
            return _answer({"error": str(error)}, 400)
        return _answer({})

    async def accounts(request: Request) -> Response:
        try:
            refresh_token = sim.add_account(**await _read(request))
        except (ValueError, TypeError) as error:
            return _answer({"error": str(error)}, 400)
        return _answer({"refresh_token": refresh_token, "uid": sim.account(refresh_token).uid})

    async def prompts(request: Request) -> Response:  # noqa: ARG001
        with sim.lock:
            answered = [turn.prompt for chat in sim.conversations.values() for turn in chat.turns]
        return _answer({"prompts": answered})

    async def fail(request: Request) -> Response:
        order = await _read(request)
        try:
            sim.fail(order.pop("path_suffix"), **order)
        except (TypeError, KeyError) as error:
            return _answer({"error": str(error)}, 400)
        return _answer({})

    async def reset(request: Request) -> Response:
        sim.reset(**await _read(request))
        return _answer({})

    async def act_on_account(request: Request) -> Response:
        action = {"revoke": sim.revoke, "block": sim.block, "expire_access_tokens": sim.expire_access_tokens}
        try:
            action[request.path_params["action"]](request.path_params["uid"])
        except KeyError as error:
            return _answer({"error": str(error)}, 404)
        return _answer({})

    async def log_in(request: Request) -> Response:
        try:
            return _answer({"refresh_token": sim.log_in(request.path_params["uid"])})
        except KeyError as error:
            return _answer({"error": str(error)}, 404)

    return [
        Route(BASE + "state", state, methods=["GET"]),
        Route(BASE + "play", play, methods=["POST"]),
        Route(BASE + "accounts", accounts, methods=["POST"]),
        Route(BASE + "accounts/{uid}/log_in", log_in, methods=["POST"]),
        Route(BASE + "accounts/{uid}/{action}", act_on_account, methods=["POST"]),
        Route(BASE + "prompts", prompts, methods=["GET"]),
        Route(BASE + "fail", fail, methods=["POST"]),
        Route(BASE + "reset", reset, methods=["POST"]),
    ]


def _read_scene(scene: Any) -> SceneLike:
    """Read a name, or a list of events, raw strings and `{"pause_s": number}`."""
    if isinstance(scene, str):
        return scene
    return [_read_step(step) for step in scene]


def _read_step(step: Any) -> Any:
    if isinstance(step, str):
        return step.encode()
    return Pause(step["pause_s"]) if set(step) == {"pause_s"} else step


async def _read(request: Request) -> dict[str, Any]:
    raw = await request.body()
    return msgspec.json.decode(raw, type=dict[str, Any]) if raw else {}


def _answer(value: dict[str, Any], status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
