"""POST /v1/rerank: the request and the answer of Jina and Cohere, which other clients took over."""

from __future__ import annotations

import msgspec

from lib.chat.vectors import Ranking, RankingRequest
from lib.dialects.fields import read_model
from lib.dialects.json_body import decode_body, invalid_value
from lib.errors import InvalidRequest

MAX_DOCUMENTS = 128
"""The upstream's own limit (2026-09)."""


class _Document(msgspec.Struct):
    text: str


class _Body(msgspec.Struct):
    query: str
    documents: list[str | _Document]
    model: str | None = None
    top_n: int | float | None = None
    return_documents: bool | None = None


class _Result(msgspec.Struct, omit_defaults=True):
    index: int
    relevance_score: float
    document: _Document | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int
    total_tokens: int


class _Answer(msgspec.Struct):
    id: str
    model: str
    results: list[_Result]
    usage: _Usage
    object: str = "list"


_decoder = msgspec.json.Decoder(_Body)


def parse_ranking_request(body: bytes) -> RankingRequest:
    """Raise InvalidRequest, and nothing else, for any mistake in the body."""
    wire = decode_body(body, _decoder)
    if not wire.query.strip():
        raise invalid_value("query", "a text that is not empty", wire.query)
    if not 0 < len(wire.documents) <= MAX_DOCUMENTS:
        raise InvalidRequest(
            f"Invalid value for 'documents': expected 1 to {MAX_DOCUMENTS} documents, "
            f"got {len(wire.documents)}.",
            param="documents",
        )
    return RankingRequest(
        query=wire.query,
        documents=tuple(text if isinstance(text, str) else text.text for text in wire.documents),
        model=read_model(wire.model),
        top_n=_top_n(wire.top_n, len(wire.documents)),
        return_documents=bool(wire.return_documents),
    )


def render_ranking(ranking: Ranking, asked: RankingRequest, *, answer_id: str, model: str) -> bytes:
    results = [
        _Result(
            ranked.index,
            ranked.score,
            _Document(asked.documents[ranked.index]) if asked.return_documents else None,
        )
        for ranked in ranking.results
    ]
    usage = _Usage(ranking.prompt_tokens, ranking.total_tokens)
    return msgspec.json.encode(_Answer(answer_id, model, results, usage))


def _top_n(number: float | None, documents: int) -> int | None:
    """Read the number of results. More than there are documents means all of them."""
    if number is None:
        return None
    if number < 1 or number != int(number):
        raise invalid_value("top_n", "a whole number from 1", str(number))
    return min(int(number), documents)
