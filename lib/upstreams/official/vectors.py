"""Embeddings and rankings of the official API (official documents, 2026-09)."""

from __future__ import annotations

from array import array
from typing import Any

import msgspec

from lib.chat.events import Started
from lib.chat.vectors import EmbeddingRequest, Embeddings, Ranked, Ranking, RankingRequest
from lib.errors import InvalidRequest, UpstreamProtocolError
from lib.tasks import each
from lib.upstreams.interface import Call
from lib.upstreams.official import names
from lib.upstreams.official.asking import Limits, decode, post, started, told_of_regions
from lib.upstreams.official.gateway import OfficialGateway

MAX_BATCH = 64
"""One call takes so many texts."""
AT_ONCE = 4
"""So many calls of one request run side by side. The key's gate may allow fewer."""
EMBEDDING_LIMITS = Limits(timeout_s=60.0, max_bytes=16 * 1024 * 1024)
"""64 vectors of 2,048 numbers have some 3 MB."""
RERANK_LIMITS = Limits(timeout_s=60.0)


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    total_tokens: int = 0


class _Vector(msgspec.Struct):
    index: int
    embedding: list[float]


class _Embeddings(msgspec.Struct):
    data: list[_Vector]
    usage: _Usage = msgspec.field(default_factory=_Usage)


class _Ranked(msgspec.Struct):
    index: int
    relevance_score: float


class _Ranking(msgspec.Struct):
    results: list[_Ranked]
    usage: _Usage = msgspec.field(default_factory=_Usage)
    request_id: str = ""
    id: str = ""


class _Batch(msgspec.Struct, frozen=True):
    vectors: list[array[float]]
    usage: _Usage
    started: Started


_embeddings = msgspec.json.Decoder(_Embeddings)
_ranking = msgspec.json.Decoder(_Ranking)


class OfficialVectors:
    """Measures texts."""

    def __init__(self, gateway: OfficialGateway) -> None:
        self._gateway = gateway

    async def embed(self, request: EmbeddingRequest, call: Call) -> Embeddings:
        """Ask for 64 texts at a time, and put the vectors together in the order of the texts."""
        names.require_key(call.caller, request.model)
        model = names.served_by(request.model, names.EMBEDDINGS, "embedding-3")
        _require_dimensions(model, request.dimensions)

        async def embed_batch(texts: tuple[str, ...]) -> _Batch:
            body: dict[str, Any] = {"model": model, "input": texts}
            if request.dimensions is not None:
                body["dimensions"] = request.dimensions
            with told_of_regions():
                told = await post(
                    self._gateway, call, "embeddings", body, model=model, limits=EMBEDDING_LIMITS
                )
            made = decode(told.answer, _embeddings)
            vectors = _in_order(made.data, len(texts), "f" if request.form == "base64" else "d")
            return _Batch(vectors, made.usage, started(told, call, model=model))

        inputs = request.inputs
        batches = [inputs[start : start + MAX_BATCH] for start in range(0, len(inputs), MAX_BATCH)]
        done = await each(batches, embed_batch, at_once=AT_ONCE)
        return Embeddings(
            vectors=tuple(vector for batch in done for vector in batch.vectors),
            prompt_tokens=sum(batch.usage.prompt_tokens for batch in done),
            total_tokens=sum(batch.usage.total_tokens for batch in done),
            started=done[0].started,
        )

    async def rank(self, request: RankingRequest, call: Call) -> Ranking:
        names.require_key(call.caller, request.model)
        model = names.served_by(request.model, names.RERANK, "rerank")
        body: dict[str, Any] = {"model": model, "query": request.query, "documents": request.documents}
        if request.top_n is not None:
            body["top_n"] = request.top_n
        with told_of_regions():
            told = await post(self._gateway, call, "rerank", body, model=model, limits=RERANK_LIMITS)
        made = decode(told.answer, _ranking)
        places = [result.index for result in made.results]
        if len(set(places)) < len(places) or not set(places) <= set(range(len(request.documents))):
            raise UpstreamProtocolError(
                "The official API ranked documents that were not sent, or one of them twice.", retry="never"
            )
        return Ranking(
            results=tuple(Ranked(result.index, result.relevance_score) for result in made.results),
            prompt_tokens=made.usage.prompt_tokens,
            total_tokens=made.usage.total_tokens,
            started=started(told, call, model=model, answer_id=made.request_id or made.id),
        )


def _require_dimensions(model: str, wanted: int | None) -> None:
    """Refuse a number that the model does not make. The API knows about a model that is not in our table."""
    known = names.EMBEDDINGS.get(model)
    if wanted is not None and known is not None and wanted not in known:
        allowed = " or ".join(map(str, known))
        raise InvalidRequest(
            f"Invalid value for 'dimensions': {model} makes vectors of {allowed} numbers, not of {wanted}.",
            param="dimensions",
        )


def _in_order(data: list[_Vector], count: int, kind: str) -> list[array[float]]:
    """Pack the vectors by their places. Each text must have one."""
    by_place = {vector.index: vector.embedding for vector in data}
    if len(data) != count or set(by_place) != set(range(count)):
        raise UpstreamProtocolError(
            f"Expected {count} vectors of the official API, got {len(data)} or not those.", retry="never"
        )
    return [array(kind, by_place[place]) for place in range(count)]
