"""Embeddings and rankings over a live server and the simulated official API."""

from __future__ import annotations

import array
import base64
from typing import Any

import httpx
import pytest
from openai import OpenAI

from lib.chat.vectors import MAX_DIMENSIONS
from lib.upstreams.official.wire.keys import Key
from lib.web.overload import LOAD, LoadLimits
from simulator.official.app import Official
from simulator.official.errors import error_body
from simulator.official.vectors import make_vector
from tests.support.client import KEY, Client, error_of
from tests.support.live import LiveGateway
from tests.support.waiting import wait_until

EMBEDDINGS, RERANK = "/v1/embeddings", "/v1/rerank"


def embed(client: Client, **fields: Any) -> httpx.Response:
    return client.post(EMBEDDINGS, {"model": "embedding-3", "input": "a", **fields})


def bodies(official: Official, path: str) -> list[Any]:
    return [call.json for call in official.calls_to(path)]


def test_a_text_becomes_its_vector(official_client: Client, official: Official, official_key: str) -> None:
    answer = embed(official_client, input="hello", dimensions=256)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": make_vector("hello", 256)}],
        "model": "embedding-3",
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    }
    assert bodies(official, "embeddings") == [{"model": "embedding-3", "input": ["hello"], "dimensions": 256}]
    assert answer.headers["x-glm-model"] == "embedding-3"
    assert (answer.headers["x-glm-upstream"], answer.headers["x-glm-usage"]) == ("api", "reported")
    assert answer.headers["x-glm-account"] == Key(official_key).label


def test_base64_is_the_same_vector_as_float32(official_client: Client) -> None:
    [entry] = embed(official_client, input=["x"], dimensions=512, encoding_format="base64").json()["data"]
    packed = array.array("f", base64.b64decode(entry["embedding"]))
    assert packed == array.array("f", make_vector("x", 512))


@pytest.mark.parametrize("count", [1, 64, 65, 200])
def test_any_number_of_texts_comes_back_in_order(
    official_client: Client, official: Official, count: int
) -> None:
    texts = [f"text {number}" for number in range(count)]
    answer = embed(official_client, input=texts, dimensions=256).json()
    assert [entry["index"] for entry in answer["data"]] == list(range(count))
    assert [entry["embedding"] for entry in answer["data"]] == [make_vector(text, 256) for text in texts]
    batches = sorted(len(body["input"]) for body in bodies(official, "embeddings"))
    assert batches == sorted(min(64, count - start) for start in range(0, count, 64))
    used = [sum(map(len, texts[start : start + 64])) // 4 + 1 for start in range(0, count, 64)]
    assert answer["usage"]["total_tokens"] == sum(used)


@pytest.mark.parametrize(
    ("name", "served"),
    [
        ("text-embedding-3-small", "embedding-3"),
        ("", "embedding-3"),
        ("Embedding-2", "embedding-2"),
        ("api/embedding-2", "embedding-2"),
    ],
)
def test_any_other_name_is_served_and_echoed(
    official_client: Client, official: Official, name: str, served: str
) -> None:
    answer = embed(official_client, model=name)
    assert answer.json()["model"] == (name or served)
    assert answer.headers["x-glm-model"] == served
    assert bodies(official, "embeddings")[0]["model"] == served


def test_a_name_after_api_is_sent_as_it_stands(official_client: Client) -> None:
    refused = embed(official_client, model="api/embedding-9")
    assert (refused.status_code, error_of(refused)["code"]) == (404, "model_not_found")


def test_the_account_has_no_such_model(official_client: Client, official: Official) -> None:
    refused = embed(official_client, model="web/embedding-3")
    assert (refused.status_code, error_of(refused)["code"]) == (404, "model_not_found")
    assert official.calls == []


@pytest.mark.parametrize(
    ("model", "dimensions", "allowed"),
    [("embedding-3", 300, "256 or 512 or 1024 or 2048"), ("embedding-2", 512, "1024")],
)
def test_dimensions_that_the_model_does_not_make_are_refused(
    official_client: Client, official: Official, model: str, dimensions: int, allowed: str
) -> None:
    refused = embed(official_client, model=model, dimensions=dimensions)
    assert (refused.status_code, error_of(refused)["param"]) == (400, "dimensions")
    assert allowed in error_of(refused)["message"]
    assert official.calls == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (EMBEDDINGS, {"input": "a"}),
        (RERANK, {"query": "q", "documents": ["d"]}),
        ("/v1/audio/speech", {"input": "a"}),
    ],
)
def test_without_a_key_the_refusal_names_the_setting(client: Client, path: str, body: Any) -> None:
    refused = client.post(path, body)
    assert refused.status_code == 400
    assert error_of(refused)["code"] == "official_key_missing"
    assert "GLM_API_KEYS" in error_of(refused)["message"]
    refused = client.post(path, body | {"model": "api/embedding-3"})
    assert (refused.status_code, error_of(refused)["code"]) == (404, "model_not_found")
    assert "GLM_API_KEYS" in error_of(refused)["message"]


def test_a_callers_own_key_serves_the_caller(
    official_client: Client, official: Official, gateway: LiveGateway, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("ALLOW_PASSTHROUGH", "true")
    own = official.add_key()
    client = Client(official_client._http, gateway.url, own)
    assert embed(client).status_code == 200
    assert [call.uid for call in official.calls_to("embeddings")] == [own.partition(".")[0]]


def test_texts_are_refused_where_the_key_has_no_balance(
    official_client: Client, official: Official, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("GLM_API_KEYS", official.add_key(has_balance=False))
    refused = embed(official_client)
    assert (refused.status_code, error_of(refused)["code"]) == (429, "insufficient_quota")


def test_a_second_key_serves_if_the_first_has_no_balance(
    official_client: Client, official: Official, official_key: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("GLM_API_KEYS", f"{official.add_key(has_balance=False)},{official_key}")
    answer = embed(official_client, input=["a"] * 100)
    assert answer.status_code == 200
    assert answer.headers["x-glm-account"] == Key(official_key).label


def test_embeddings_are_for_china_alone(official_client: Client, official: Official) -> None:
    official.region = "zai"
    refused = embed(official_client)
    assert (refused.status_code, error_of(refused)["code"]) == (404, "model_not_found")
    assert "open.bigmodel.cn" in error_of(refused)["message"]


def test_the_sdk_reads_vectors(sdk: OpenAI) -> None:
    made = sdk.embeddings.create(model="embedding-3", input=["a", "b"], dimensions=256)
    assert [entry.embedding for entry in made.data] == [
        pytest.approx(make_vector(text, 256), rel=1e-6) for text in ("a", "b")
    ]
    made = sdk.embeddings.create(model="embedding-3", input="a", dimensions=256, encoding_format="float")
    assert made.data[0].embedding == make_vector("a", 256)
    assert made.usage.total_tokens == 1


DOCUMENTS = ["the cat sat", "a dog ran", "cat and mouse"]


def test_the_best_documents_come_first(official_client: Client, official: Official) -> None:
    body = {"model": "rerank", "query": "the cat", "documents": DOCUMENTS, "top_n": 2}
    answer = official_client.post(RERANK, body)
    assert answer.status_code == 200, answer.text
    ranking = answer.json()
    assert [result["index"] for result in ranking["results"]] == [0, 2]
    assert [result["relevance_score"] for result in ranking["results"]] == [1.0, 0.5]
    assert all("document" not in result for result in ranking["results"])
    assert ranking["id"]
    assert bodies(official, "rerank") == [
        {"model": "rerank", "query": "the cat", "documents": DOCUMENTS, "top_n": 2}
    ]


def test_documents_come_back_if_asked_for(official_client: Client) -> None:
    body = {"model": "bge-reranker", "query": "dog", "documents": DOCUMENTS, "return_documents": True}
    ranking = official_client.post(RERANK, body).json()
    assert ranking["results"][0]["document"] == {"text": "a dog ran"}
    assert ranking["model"] == "bge-reranker"


@pytest.mark.parametrize("path", [EMBEDDINGS, RERANK])
def test_a_refusal_of_the_api_is_told(official_client: Client, official: Official, path: str) -> None:
    official.fail(path.rpartition("/")[2], status=400, body=error_body("1214"))
    body = {"input": "a", "query": "q", "documents": ["d"]}
    refused = official_client.post(path, body)
    assert (refused.status_code, error_of(refused)["code"]) == (400, "invalid_value")


def test_vectors_that_are_not_those_of_the_texts_are_an_error(
    official_client: Client, official: Official
) -> None:
    entry = {"object": "embedding", "index": 1, "embedding": [0.5]}
    official.fail("embeddings", status=200, body={"data": [entry], "usage": {}})
    refused = embed(official_client)
    assert (refused.status_code, error_of(refused)["code"]) == (502, "upstream_error")
    assert KEY not in refused.text


def test_vectors_that_are_too_long_are_not_decoded(official_client: Client, official: Official) -> None:
    """16 MB of them would become 250 MB of objects."""
    for length, status in ((MAX_DIMENSIONS, 200), (2 * MAX_DIMENSIONS, 502)):
        entry = {"object": "embedding", "index": 0, "embedding": [0] * length}
        official.fail("embeddings", status=200, body={"data": [entry], "usage": {}})
        assert embed(official_client).status_code == status


@pytest.mark.parametrize("places", [[0, 0], [0, 2], [-1], [0, 1, 0]])
def test_a_ranking_that_names_a_document_twice_or_none_is_an_error(
    official_client: Client, official: Official, places: list[int]
) -> None:
    """2 MB of results could repeat a document of 30 MB sixty thousand times."""
    results = [{"index": place, "relevance_score": 0.5} for place in places]
    official.fail("rerank", status=200, body={"results": results})
    body = {"query": "q", "documents": ["d" * 1000, "e"], "return_documents": True}
    refused = official_client.post(RERANK, body)
    assert (refused.status_code, error_of(refused)["code"]) == (502, "upstream_error")


def test_vectors_take_their_place_in_the_memory_of_all_requests(
    official_client: Client,
    official: Official,
    environment: pytest.MonkeyPatch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment.setenv("MAX_BODY_BYTES", "100000")
    monkeypatch.setattr(LOAD, "limits", LoadLimits(max_body_bytes=100_000, small_body_bytes=1_000))
    refused = embed(official_client, input=["a"] * 10)
    assert (refused.status_code, error_of(refused)["code"]) == (503, "overloaded")
    assert official.calls_to("embeddings") == []
    wait_until(lambda: LOAD.body_bytes == 0)
    assert embed(official_client, input=["a"] * 5).status_code == 200
    assert embed(official_client, input=["a"] * 10, encoding_format="base64").status_code == 200
