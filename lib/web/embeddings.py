"""The application of POST /v1/embeddings and POST /v1/rerank."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lib.chat.vectors import EmbeddingRequest, Embeddings
from lib.dialects.openai_embeddings import parse_embedding_request, render_embeddings
from lib.dialects.openai_errors import error_body
from lib.dialects.rerank import parse_ranking_request, render_ranking
from lib.web.app import create_app
from lib.web.body import read_body
from lib.web.call import body_limit, call_of
from lib.web.headers import reply_headers
from lib.web.overload import share_of
from lib.web.pieces import PiecesResponse


def embeddings_app(embeddings: str, *, rerank: str) -> Starlette:
    return create_app(
        Route(embeddings, create_embeddings, methods=["POST"]),
        Route(rerank, create_ranking, methods=["POST"]),
        error_body=error_body,
    )


async def create_embeddings(request: Request) -> Response:
    call = call_of(request)
    limit = await body_limit(request, call)
    asked = parse_embedding_request(await read_body(request, limit=limit))
    # The vectors count like a body: a small request may ask for 128 MiB of them.
    share_of(request).hold_more(asked.memory_bytes, limit=limit)
    made = await call.services.vectors.embed(asked, call)
    headers = reply_headers(made.started, upstream="api")
    return PiecesResponse(_pieces(made, asked), headers, media_type="application/json")


async def create_ranking(request: Request) -> Response:
    call = call_of(request)
    asked = parse_ranking_request(await read_body(request, limit=await body_limit(request, call)))
    ranking = await call.services.vectors.rank(asked, call)
    started = ranking.started
    content = render_ranking(ranking, asked, answer_id=started.id, model=asked.model or started.model)
    return Response(content, headers=reply_headers(started, upstream="api"), media_type="application/json")


async def _pieces(made: Embeddings, asked: EmbeddingRequest) -> AsyncIterator[bytes]:
    for piece in render_embeddings(made, asked.form, asked.model or made.started.model):
        yield piece
