"""The simulated chatglm.cn as one object: its state, its direction, and its ASGI application."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.routing import Router

from .chatglm import endpoints, uploads, videos
from .chatglm.chats import ChatGate
from .chatglm.control import control_routes
from .chatglm.direction import Direction
from .chatglm.drawing import file_routes
from .chatglm.gate import gate_routes, refuse_unknown_path
from .chatglm.state import SceneLike

__all__ = ["SceneLike", "Simulator"]

_REGISTERED = (endpoints, uploads, videos)
"""These modules register their endpoints when they are imported."""


@dataclass(eq=False, kw_only=True)
class Simulator(Direction):
    """chatglm.cn, imitated."""

    app: Router = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        routes = [*gate_routes(self), ChatGate.route(self), *control_routes(self), *file_routes(self)]
        self.app = Router(routes, default=refuse_unknown_path(self))
