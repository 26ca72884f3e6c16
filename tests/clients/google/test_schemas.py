"""Google's published types hold our answers: they refuse every field that they do not have."""

from __future__ import annotations

from typing import Any

import pytest
from google.genai import types

from tests.support.client import Client
from tests.support.dialects import GOOGLE

FUNCTION = {"name": "save", "parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}}
ASKED: dict[str, dict[str, Any]] = {
    "text": {},
    "[scene:text chars=90 think=60]": {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}},
    "[scene:web_search]": {"tools": [{"googleSearch": {}}]},
    "[scene:intervene]": {},
    "[scene:text chars=900]": {"generationConfig": {"maxOutputTokens": 5}},
    "Take any tool.": {
        "tools": [{"functionDeclarations": [FUNCTION]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
    },
}


@pytest.mark.parametrize("prompt", ASKED)
def test_an_answer_is_of_its_type(client: Client, prompt: str) -> None:
    response = client.post(f"{GOOGLE}:generateContent", {"contents": prompt, **ASKED[prompt]})
    answer = types.GenerateContentResponse.model_validate_json(response.text)
    assert answer.candidates
    assert answer.candidates[0].finish_reason


@pytest.mark.parametrize("prompt", ASKED)
def test_every_chunk_is_of_its_type(client: Client, prompt: str) -> None:
    response = client.post(f"{GOOGLE}:streamGenerateContent?alt=sse", {"contents": prompt, **ASKED[prompt]})
    records = [record.strip() for record in response.text.split("\n\n") if record.strip()]
    chunks = [
        types.GenerateContentResponse.model_validate_json(record.removeprefix("data: ")) for record in records
    ]
    assert chunks[-1].candidates
    assert chunks[-1].candidates[0].finish_reason


def test_a_count_is_of_its_type(client: Client) -> None:
    response = client.post(f"{GOOGLE}:countTokens", {"contents": "Hi"})
    assert types.CountTokensResponse.model_validate_json(response.text).total_tokens
