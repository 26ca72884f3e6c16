"""The list of models, as the official SDK reads it."""

from __future__ import annotations

import json

from openai.types import Model

from lib.dialects.openai_models import render_model, render_models

EXPECTED = b'{"id":"glm-5.3","object":"model","created":1790000000,"owned_by":"chatglm"}'


def test_one_model() -> None:
    assert render_model("glm-5.3", 1790000000) == EXPECTED
    assert Model.model_validate_json(EXPECTED).id == "glm-5.3"


def test_a_list_of_models() -> None:
    assert render_models(["glm-5.3"], 1790000000) == b'{"object":"list","data":[' + EXPECTED + b"]}"
    names = ["glm-5.3", "智能体"]
    assert [Model(**model).id for model in json.loads(render_models(names, 1))["data"]] == names
    assert render_models([], 1) == b'{"object":"list","data":[]}'
