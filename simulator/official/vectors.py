"""models, embeddings, rerank, tokenizer and web_search (official.md §1.1 and §6)."""

from __future__ import annotations

import hashlib
import math
import time
import uuid
from typing import Any

from simulator.records import Call
from simulator.steps import Json

from .errors import Refused
from .gate import body_of
from .scenes.good import SOURCES
from .state import Key, OfficialState
from .table import EMBEDDING_MODELS, MODELS

MAX_INPUTS = 64
MAX_DOCUMENTS = 128
MAX_INPUT_CHARACTERS = 3072 * 4
"""3,072 tokens, counted roughly."""
MAX_QUERY = 70


def models(state: OfficialState, call: Call, key: Key) -> Json:  # noqa: ARG001
    """List the models; the free ones are missing although they answer (2026-08). It needs no balance."""
    shown = [model.id for model in MODELS.values() if model.in_list]
    data = [{"id": name, "object": "model", "created": 1759276800, "owned_by": "z-ai"} for name in shown]
    return {"object": "list", "data": data}


def embeddings(state: OfficialState, call: Call, key: Key) -> Json:
    body = body_of(call)
    sizes = EMBEDDING_MODELS.get(str(body.get("model")))
    if sizes is None or state.region == "zai":
        raise Refused("1211")
    state.charge(key, is_free=False)
    inputs = [body["input"]] if isinstance(body.get("input"), str) else body.get("input")
    if not isinstance(inputs, list) or not inputs or not all(isinstance(text, str) for text in inputs):
        raise Refused("1214", "input must be a text or a list of texts")
    if len(inputs) > MAX_INPUTS or any(not 0 < len(text) <= MAX_INPUT_CHARACTERS for text in inputs):
        raise Refused("1214", f"input: at most {MAX_INPUTS} texts of 3072 tokens")
    size = body.get("dimensions", sizes[-1])
    if size not in sizes:
        raise Refused("1214", f"dimensions must be one of {sizes}")
    for name in sorted(set(body) - {"model", "input", "dimensions"}):
        state.note(f"embeddings: unknown field {name}")
    data = [
        {"object": "embedding", "index": index, "embedding": make_vector(text, size)}
        for index, text in enumerate(inputs)
    ]
    return {"model": body["model"], "object": "list", "data": data, "usage": _usage(*inputs)}


def make_vector(text: str, size: int) -> list[float]:
    """Make a vector of length 1, the same for the same text."""
    seed = hashlib.shake_256(text.encode()).digest(size)
    raw = [byte - 127.5 for byte in seed]
    norm = math.sqrt(sum(value * value for value in raw))
    return [round(value / norm, 8) for value in raw]


def rerank(state: OfficialState, call: Call, key: Key) -> Json:
    body = body_of(call)
    if body.get("model") != "rerank" or state.region == "zai":
        raise Refused("1211")
    state.charge(key, is_free=False)
    query, documents = body.get("query"), body.get("documents")
    if (
        not isinstance(query, str)
        or not isinstance(documents, list)
        or not 0 < len(documents) <= MAX_DOCUMENTS
    ):
        raise Refused("1214", f"query and documents (at most {MAX_DOCUMENTS})")
    wanted = set(query.lower().split())
    scores = [len(wanted & set(str(text).lower().split())) / (len(wanted) or 1) for text in documents]
    order = sorted(range(len(documents)), key=lambda index: -scores[index])
    results: list[Json] = [{"index": index, "relevance_score": scores[index]} for index in order]
    if body.get("return_documents"):
        results = [result | {"document": documents[result["index"]]} for result in results]
    usage = _usage(query, *map(str, documents))
    return {
        "results": results[: body.get("top_n", len(results))],
        "usage": usage,
        "request_id": uuid.uuid4().hex,
    }


def tokenizer(state: OfficialState, call: Call, key: Key) -> Json:
    body = body_of(call)
    if body.get("model") not in MODELS:
        raise Refused("1211")
    state.charge(key, is_free=False)
    texts = [str(message.get("content")) for message in body.get("messages") or ()]
    usage = _usage(*texts)
    return {"id": uuid.uuid4().hex, "created": int(time.time()), "usage": usage}


def web_search(state: OfficialState, call: Call, key: Key) -> Json:
    body = body_of(call)
    state.charge(key, is_free=False)
    query = body.get("search_query")
    if not isinstance(query, str) or not 0 < len(query) <= MAX_QUERY:
        raise Refused("1214", f"search_query: at most {MAX_QUERY} characters")
    intent = [{"query": query, "intent": "SEARCH_ALL", "keywords": query}]
    found: list[Any] = SOURCES[: int(body.get("count", 10))]
    return {
        "id": uuid.uuid4().hex,
        "created": int(time.time()),
        "search_intent": intent if body.get("search_intent") else [],
        "search_result": found,
    }


def _usage(*texts: str) -> Json:
    tokens = sum(len(text) for text in texts) // 4 + 1
    return {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
