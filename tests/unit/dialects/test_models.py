"""Models in the three forms, as the official SDK reads OpenAI's; the facts that each of them tells."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types import Model

from lib.chat.models import Listed, ModelFacts, facts_of
from lib.dialects import anthropic_models, gemini_models
from lib.dialects.openai_models import render_model, render_models

CREATED = 1790640000
EXPECTED = (
    b'{"id":"glm-5.3","object":"model","created":1790640000,"owned_by":"chatglm","context_length":1000000,'
    b'"max_output_tokens":128000,"supports_tools":true,"supports_structured_output":true}'
)


def test_one_model() -> None:
    assert render_model(Listed("glm-5.3"), CREATED) == EXPECTED
    assert Model.model_validate_json(EXPECTED).id == "glm-5.3"


def test_a_list_of_models() -> None:
    assert render_models([Listed("glm-5.3")], CREATED) == b'{"object":"list","data":[' + EXPECTED + b"]}"
    names = ["glm-5.3", "智能体"]
    assert [
        Model(**model).id for model in json.loads(render_models([Listed(name) for name in names], 1))["data"]
    ] == names
    assert render_models([], 1) == b'{"object":"list","data":[]}'


def test_a_model_without_facts_says_nothing_of_them() -> None:
    told = json.loads(render_model(Listed("gpt-4o"), CREATED))
    assert set(told) == {
        "id", "object", "created", "owned_by", "supports_tools", "supports_structured_output",
    }  # fmt: skip


def test_anthropics_form() -> None:
    model = (
        '{"type":"model","id":"glm-5.3","display_name":"glm-5.3","created_at":"2026-09-29T00:00:00Z",'
        '"max_input_tokens":1000000,"max_tokens":128000,"lifecycle":"active"}'
    )
    assert anthropic_models.render_model(Listed("glm-5.3"), CREATED).decode() == model
    assert anthropic_models.render_models([Listed("glm-5.3")], CREATED).decode() == (
        f'{{"data":[{model}],"has_more":false,"first_id":"glm-5.3","last_id":"glm-5.3"}}'
    )
    names = json.loads(anthropic_models.render_models([Listed("a"), Listed("b")], CREATED))
    assert (names["first_id"], names["last_id"]) == ("a", "b")
    nothing: dict[str, Any] = {"data": [], "has_more": False, "first_id": None, "last_id": None}
    assert json.loads(anthropic_models.render_models([], CREATED)) == nothing
    assert json.loads(anthropic_models.render_model(Listed("x"), CREATED))["max_tokens"] is None


def test_googles_form() -> None:
    model = (
        '{"name":"models/glm-5.3","version":"001","displayName":"glm-5.3","inputTokenLimit":1000000,'
        '"outputTokenLimit":128000,"supportedGenerationMethods":["generateContent","streamGenerateContent",'
        '"countTokens"]}'
    )
    assert gemini_models.render_model(Listed("glm-5.3"), CREATED).decode() == model
    assert gemini_models.render_models([Listed("glm-5.3")], CREATED).decode() == f'{{"models":[{model}]}}'
    assert "inputTokenLimit" not in json.loads(gemini_models.render_model(Listed("api/x"), CREATED))


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("glm-5.3", ModelFacts(1_000_000, 128_000)),
        (" GLM-5.3-Flash ", ModelFacts(1_000_000, 128_000)),
        ("glm-5.3-flash-think-search", ModelFacts(1_000_000, 128_000)),
        ("glm-4.5-air:deep_research", ModelFacts(128_000, 96_000)),
        ("api/glm-4.5-flash", ModelFacts(128_000, 96_000)),
        ("web/glm-5.3-nosearch", ModelFacts(1_000_000, 128_000)),
        ("glm-4.1v-thinking-flash", ModelFacts(64_000, 16_000)),
        ("glm-4.5-another", None),
        ("glm", None),
        ("gpt-4o", None),
        ("", None),
    ],
)
def test_the_facts_are_those_of_the_model_that_a_name_means(name: str, facts: ModelFacts | None) -> None:
    assert facts_of(name) == facts
