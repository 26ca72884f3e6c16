"""Counting a prompt by the vendor's tokenizer, and the estimate that takes its place."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from simulator.official.app import Official
from simulator.official.errors import error_body
from tests.support.client import Client

MESSAGES = "/v1/messages/count_tokens"
WORDS = "Count these words, please, and count them well."
TOLD = len(WORDS) // 4 + 1
"""The simulator counts so."""


def count(client: Client, content: Any = WORDS, **fields: Any) -> httpx.Response:
    body = {"model": "glm-4.6", "messages": [{"role": "user", "content": content}], **fields}
    answer = client.post(MESSAGES, body)
    assert answer.status_code == 200, answer.text
    return answer


def tokens(answer: httpx.Response) -> tuple[int, str]:
    return answer.json()["input_tokens"], answer.headers["x-glm-usage"]


def asked(official: Official) -> list[Any]:
    return [call.json for call in official.calls_to("tokenizer")]


def test_a_prompt_is_counted_by_the_tokenizer(official_client: Client, official: Official) -> None:
    assert tokens(count(official_client)) == (TOLD, "reported")
    assert asked(official) == [{"model": "glm-4.6", "messages": [{"role": "user", "content": WORDS}]}]


def test_google_counts_alike(official_client: Client, official: Official) -> None:
    body = {"contents": [{"role": "user", "parts": [{"text": WORDS}]}]}
    answer = official_client.post("/v1beta/models/glm-4.6:countTokens", body)
    assert (answer.json()["totalTokens"], answer.headers["x-glm-usage"]) == (TOLD, "reported")
    assert len(asked(official)) == 1


def test_without_a_key_the_count_is_an_estimate(client: Client) -> None:
    told, how = tokens(count(client))
    assert told > 5
    assert how == "estimated"


def test_without_a_balance_the_count_is_an_estimate_and_the_key_rests(
    official_client: Client, official: Official, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("GLM_API_KEYS", official.add_key(has_balance=False))
    assert [tokens(count(official_client))[1] for _ in range(3)] == ["estimated"] * 3
    assert len(asked(official)) == 1


@pytest.mark.parametrize("status", [429, 500])
def test_a_failure_is_no_error_and_is_not_repeated(
    official_client: Client, official: Official, status: int
) -> None:
    official.fail("tokenizer", status=status, body=error_body("1305" if status == 429 else "500"), times=9)
    told = [tokens(count(official_client))[1] for _ in range(2)]
    assert told == ["estimated"] * 2
    assert len(asked(official)) <= 2


def test_a_model_that_the_tokenizer_does_not_know_is_counted_as_another(
    official_client: Client, official: Official
) -> None:
    for _ in range(2):
        assert tokens(count(official_client, model="api/glm-7-new")) == (TOLD, "reported")
    assert [body["model"] for body in asked(official)] == ["glm-7-new", "glm-4.6", "glm-4.6"]


def test_any_other_name_is_counted_as_the_default_model(official_client: Client, official: Official) -> None:
    assert tokens(count(official_client, model="claude-opus-5")) == (TOLD, "reported")
    assert asked(official)[0]["model"] == "glm-4.5-flash"


def test_tools_are_added_and_images_are_not(official_client: Client, official: Official) -> None:
    tool = {"name": "look", "description": "Look at a thing.", "input_schema": {"type": "object"}}
    source = {"type": "url", "url": "https://a/b.png"}
    content = [{"type": "text", "text": WORDS}, {"type": "image", "source": source}]
    told, how = tokens(count(official_client, content, tools=[tool]))
    assert told > TOLD
    assert how == "reported"
    assert "tools" not in asked(official)[0]
    assert asked(official)[0]["messages"] == [{"role": "user", "content": WORDS}]


def test_a_very_long_prompt_is_estimated_without_being_sent(
    official_client: Client, official: Official
) -> None:
    assert tokens(count(official_client, "word " * 250_000))[1] == "estimated"
    assert asked(official) == []


def test_a_tokenizer_that_hangs_keeps_a_count_waiting_for_seconds_once(
    official_client: Client, official: Official
) -> None:
    official.fail("tokenizer", delay_s=8.0, times=9)
    assert [tokens(count(official_client))[1] for _ in range(3)] == ["estimated"] * 3
    assert len(asked(official)) == 1
