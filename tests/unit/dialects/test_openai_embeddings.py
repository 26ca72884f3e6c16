"""OpenAI's requests for embeddings, and the answers with numbers or base64."""

from __future__ import annotations

import json
import struct
from array import array
from base64 import b64decode
from typing import Any

import pytest

from lib.chat.events import Started
from lib.chat.vectors import EmbeddingRequest, Embeddings
from lib.dialects.openai_embeddings import MAX_INPUTS, _base64, parse_embedding_request, render_embeddings
from lib.errors import InvalidRequest

STARTED = Started("id", model="embedding-3", account="0badcafe")


def parse(**fields: Any) -> EmbeddingRequest:
    return parse_embedding_request(json.dumps({"input": "a", **fields}).encode())


def test_one_text_or_a_list_of_texts() -> None:
    assert parse() == EmbeddingRequest(inputs=("a",))
    assert parse(input=["a", "b"]).inputs == ("a", "b")


def test_all_fields_are_read_and_null_says_nothing() -> None:
    asked = parse(model="embedding-2", dimensions=512.0, encoding_format="base64", user="me")
    assert asked == EmbeddingRequest(inputs=("a",), model="embedding-2", dimensions=512, form="base64")
    assert parse(model=None, dimensions=None, encoding_format=None) == parse()


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"input": []}, "invalid_value", "input"),
        ({"input": ""}, "invalid_value", "input"),
        ({"input": ["a", ""]}, "invalid_value", "input[1]"),
        ({"input": [1, 2, 3]}, "unsupported_parameter", "input[0]"),
        ({"input": [[1, 2], [3]]}, "unsupported_parameter", "input[0]"),
        ({"input": ["a"] * (MAX_INPUTS + 1)}, "invalid_value", "input"),
        ({"input": None}, "invalid_value", "input"),
        ({"input": [None]}, "invalid_value", "input"),
        ({"dimensions": 0}, "invalid_value", "dimensions"),
        ({"dimensions": 1.5}, "invalid_value", "dimensions"),
        ({"dimensions": 1e300}, None, None),
        ({"encoding_format": "int8"}, "invalid_value", "encoding_format"),
        ({"model": "m" * 300}, "invalid_value", "model"),
    ],
)
def test_a_mistake_is_named(fields: dict[str, Any], code: str | None, param: str | None) -> None:
    if code is None:
        assert parse(**fields).dimensions == int(1e300)
        return
    with pytest.raises(InvalidRequest) as caught:
        parse(**fields)
    assert caught.value.code == code
    assert (caught.value.param or "").startswith(param or "")


def test_the_refusal_of_tokens_names_langchains_switch() -> None:
    with pytest.raises(InvalidRequest, match="check_embedding_ctx_length=False"):
        parse(input=[[9906]])


def made(kind: str, *vectors: list[float]) -> Embeddings:
    packed = tuple(array(kind, vector) for vector in vectors)
    return Embeddings(vectors=packed, prompt_tokens=3, total_tokens=4, started=STARTED)


def test_numbers_come_back_as_the_upstream_wrote_them() -> None:
    body = b"".join(render_embeddings(made("d", [0.1, -0.02675454], [1.0, 2e-05]), "float", "m"))
    assert json.loads(body) == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.1, -0.02675454]},
            {"object": "embedding", "index": 1, "embedding": [1.0, 2e-05]},
        ],
        "model": "m",
        "usage": {"prompt_tokens": 3, "total_tokens": 4},
    }


def test_base64_is_float32_with_the_lowest_byte_first() -> None:
    body = json.loads(b"".join(render_embeddings(made("f", [0.5, -2.0]), "base64", "m")))
    packed = b64decode(body["data"][0]["embedding"])
    assert struct.unpack("<2f", packed) == (0.5, -2.0)


def test_each_vector_is_a_piece_of_its_own() -> None:
    pieces = list(render_embeddings(made("d", [1.0], [2.0], [3.0]), "float", "m"))
    assert len(pieces) == 5


def test_a_machine_with_the_highest_byte_first_swaps_them() -> None:
    vector = array("f", [0.5])
    assert b64decode(_base64(vector, "big")[1:-1]) == array("f", [0.5]).tobytes()[::-1]
    assert vector == array("f", [0.5])
