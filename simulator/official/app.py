"""The simulated official API as one object: its state, its direction, and its ASGI application."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from simulator.drawing import make_picture

from . import audio, chats, media, vectors
from .control import control_routes
from .direction import Direction
from .gate import BASE, Gate, Handler, unknown_path

ENDPOINTS: tuple[tuple[str, str, Handler], ...] = (
    ("POST", "chat/completions", chats.complete),
    ("GET", "models", vectors.models),
    ("POST", "embeddings", vectors.embeddings),
    ("POST", "rerank", vectors.rerank),
    ("POST", "tokenizer", vectors.tokenizer),
    ("POST", "web_search", vectors.web_search),
    ("POST", "images/generations", media.images),
    ("POST", "videos/generations", media.videos),
    ("GET", "async-result/{id}", media.async_result),
    ("POST", "audio/transcriptions", audio.transcriptions),
    ("POST", "audio/speech", audio.speech),
)


@dataclass(eq=False, kw_only=True)
class Official(Direction):
    """The official API, imitated."""

    app: Router = field(init=False, repr=False)

    def __post_init__(self) -> None:
        routes = [
            Route(BASE + path, Gate(self, handle), methods=[method]) for method, path, handle in ENDPOINTS
        ]
        self.app = Router([*routes, *control_routes(self), *_file_routes(self)], default=unknown_path(self))


def _file_routes(state: Direction) -> list[Route]:
    """Serve the pictures and videos of answers; `file_base` may point here."""

    async def picture(request: Request) -> Response:
        fault = state.take_fault("testpath", None)
        if fault is not None and fault.reply is not None:
            return Response(b"", fault.reply.status)
        return Response(make_picture(request.path_params["name"]), media_type="image/png")

    return [Route("/testpath/{name}", picture, methods=["GET"])]
