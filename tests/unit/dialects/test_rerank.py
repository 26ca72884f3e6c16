"""Requests for a ranking in Jina's and Cohere's form, and its answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lib.chat.events import Started
from lib.chat.vectors import Ranked, Ranking, RankingRequest
from lib.dialects.rerank import MAX_DOCUMENTS, parse_ranking_request, render_ranking
from lib.errors import InvalidRequest

STARTED = Started("id", model="embedding-3", account="0badcafe")


def parse(**fields: Any) -> RankingRequest:
    return parse_ranking_request(json.dumps({"query": "q", "documents": ["x", "y"], **fields}).encode())


def test_documents_are_texts_or_objects_with_a_text() -> None:
    assert parse() == RankingRequest(query="q", documents=("x", "y"))
    assert parse(documents=["x", {"text": "y", "id": 7}]).documents == ("x", "y")


def test_all_fields_are_read_and_null_says_nothing() -> None:
    asked = parse(model="rerank", top_n=1.0, return_documents=True)
    wanted = RankingRequest(query="q", documents=("x", "y"), model="rerank", top_n=1, return_documents=True)
    assert asked == wanted
    assert parse(model=None, top_n=None, return_documents=None) == parse()


def test_more_results_than_documents_are_all_of_them() -> None:
    assert parse(top_n=10).top_n == 2


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"query": " "}, "query"),
        ({"query": 1}, "query"),
        ({"documents": []}, "documents"),
        ({"documents": ["x"] * (MAX_DOCUMENTS + 1)}, "documents"),
        ({"documents": [1]}, "documents"),
        ({"documents": [{"title": "x"}]}, "documents"),
        ({"top_n": 0}, "top_n"),
        ({"top_n": 1.5}, "top_n"),
    ],
)
def test_a_mistake_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(**fields)
    assert (caught.value.param or "").startswith(param)


RANKING = Ranking(results=(Ranked(1, 0.9), Ranked(0, 0.25)), prompt_tokens=5, total_tokens=6, started=STARTED)


def test_results_come_with_their_documents_only_if_asked_for() -> None:
    body = json.loads(render_ranking(RANKING, parse(), answer_id="r1", model="m"))
    assert body == {
        "id": "r1",
        "model": "m",
        "results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.25}],
        "usage": {"prompt_tokens": 5, "total_tokens": 6},
        "object": "list",
    }
    body = json.loads(render_ranking(RANKING, parse(return_documents=True), answer_id="r1", model="m"))
    assert [result["document"] for result in body["results"]] == [{"text": "y"}, {"text": "x"}]
