"""Drawing (protocol.md §5): the config, and the pictures' address."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator.drawing import make_picture
from simulator.records import Call

from .accounts import Account
from .catalogue import ASPECT_RATIOS, DRAWING_STYLES
from .registry import endpoint
from .state import State


@endpoint("GET", "drawing-api/v1/drawing/config")
def drawing_config(state: State, call: Call, account: Account) -> Any:  # noqa: ARG001
    return {
        "aspect_ratio": [{"key": ratio, "name": ratio} for ratio in ASPECT_RATIOS],
        "style": [{"key": key, "name": name, "icon": f"{key}.png"} for key, name in DRAWING_STYLES.items()],
        "scene": [{"key": "none", "name": "无"}],
    }


def file_routes(state: State) -> list[Route]:
    """Serve the CDN's pictures and videos; `Simulator.file_base` may point here."""

    async def picture(request: Request) -> Response:
        fault = state.take_fault("testpath", None)
        if fault is not None and fault.reply is not None:
            return Response(b"", fault.reply.status)
        return Response(make_picture(request.path_params["name"]), media_type="image/png")

    return [Route("/testpath/{name}", picture, methods=["GET"])]
