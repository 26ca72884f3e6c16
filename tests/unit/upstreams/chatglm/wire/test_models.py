from typing import Any

import pytest

from lib.chat.names import is_agent_id
from lib.chat.request import ChatRequest
from lib.upstreams.chatglm.wire.models import (
    BUILT_IN_MODELS,
    Target,
    names_unknown_model,
    offered_names,
    resolve,
)

AGENT = "65c046a531d3fcb034918abe"


def target(model: str, *, search_by_default: bool = False, **request: Any) -> Target:
    return resolve(
        ChatRequest(model=model, messages=(), **request),
        known=(*BUILT_IN_MODELS, "glm-6-max"),
        default_model="the-default",
        default_web_search=search_by_default,
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("glm-5.3", Target(model="glm-5.3")),
        ("GLM-5.3-Flash", Target(model="glm-5.3-flash")),
        ("gpt-4o", Target(model="the-default")),
        ("", Target(model="the-default")),
        ("glm-5.3-think", Target(model="glm-5.3", mode="thinking")),
        ("glm-zero-preview", Target(model="the-default", mode="thinking")),
        ("glm-5.3-deepthink", Target(model="glm-5.3", mode="deep_thinking")),
        ("glm-5.3-deep-think", Target(model="glm-5.3", mode="deep_thinking")),
        ("glm-5.3-max", Target(model="glm-5.3", mode="deep_thinking")),
        ("glm-6-max", Target(model="glm-6-max")),  # a model of that name is that model
        ("web/deepresearch", Target(model="the-default", mode="deep_research")),
        ("web/deep-research", Target(model="the-default", mode="deep_research")),
        ("web/GLM-5.3-think", Target(model="glm-5.3", mode="thinking")),
        ("deepresearch", Target(model="the-default")),
        ("qwen-max", Target(model="the-default")),
        ("o3-search", Target(model="the-default")),
        ("claude-opus-5-thinking", Target(model="the-default", mode="thinking")),
        ("glm-5.3-serach", Target(model="glm-5.3", web_search=True)),
        ("glm-5.3-deep-reserach", Target(model="glm-5.3", mode="deep_research")),
        ("glm-5.3-search", Target(model="glm-5.3", web_search=True)),
        ("gpt-4o-search-preview", Target(model="the-default")),
        (
            "glm-5.3-think-search-silent",
            Target(model="glm-5.3", mode="thinking", web_search=True),
        ),
        (AGENT, Target(model="the-default", agent_id=AGENT)),
        (f"{AGENT}-think", Target(model="the-default", agent_id=AGENT, mode="thinking")),
        ("glm-research-max-deep", Target(model="the-default", mode="deep_thinking")),
    ],
)
def test_a_name_says_what_serves_and_how(name: str, expected: Target) -> None:
    assert target(name) == expected


@pytest.mark.parametrize(
    ("effort", "mode"),
    [
        ("none", "fast"),
        ("minimal", "fast"),
        ("low", "fast"),
        ("medium", "thinking"),
        ("high", "thinking"),
        ("xhigh", "deep_thinking"),
        ("max", "deep_thinking"),
    ],
)
def test_reasoning_effort_wins_over_the_name(effort: Any, mode: str) -> None:
    assert target("glm-5.3-deepresearch", effort=effort).mode == mode


def test_the_web_is_searched_only_when_asked() -> None:
    assert target("glm-5.3").web_search is False
    assert target("glm-5.3", web_search=True).web_search is True
    assert target("glm-5.3", search_by_default=True).web_search is True
    assert target("glm-5.3-nosearch", search_by_default=True).web_search is False
    assert target("glm-5.3-search", web_search=False).web_search is False


def test_only_the_upstreams_own_names_are_worth_asking_it_about() -> None:
    assert names_unknown_model("glm-7-turbo-think", BUILT_IN_MODELS)
    assert not names_unknown_model("glm-5.3-think", BUILT_IN_MODELS)
    assert not names_unknown_model("gpt-4o", BUILT_IN_MODELS)
    assert not names_unknown_model(AGENT, BUILT_IN_MODELS)


def test_every_offered_name_means_its_model() -> None:
    names = offered_names(BUILT_IN_MODELS)
    assert "glm-5.3-flash-deepresearch" in names
    assert {target(name).model for name in names} == set(BUILT_IN_MODELS)
    assert len(set(map(target, names))) == len(names)


def test_an_agents_id_has_24_to_64_characters() -> None:
    assert is_agent_id("a" * 24)
    assert is_agent_id("a" * 64)
    assert not is_agent_id("a" * 23)
    assert not is_agent_id("a" * 65)
