"""The guarantees about requests that hold in every dialect: limits, efforts, tools and schemas."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from lib.chat.request import ChatRequest, Effort
from lib.dialects import anthropic, gemini, openai_chat, openai_completions, openai_responses
from lib.dialects.fields import EFFORTS
from lib.dialects.interface import Address
from lib.errors import InvalidRequest

Json = dict[str, Any]
GOOGLE = Address(params={"name": "glm-5.3", "action": "generateContent"})
WRONG = {"type": "object", "properties": 3}


class Requests(NamedTuple):
    """The requests of one dialect, and the places of their parts."""

    parse: Callable[[bytes], ChatRequest]
    plain: Json
    limit: Callable[[Any], Json]
    effort: Callable[[Any], Json] = lambda _: {}
    effort_at: str = ""
    tool: Callable[[str, Json], Json] = lambda _name, _schema: {}
    """The fields that declare a tool after another one that no model here calls, if there is such a tool."""
    name_at: str = ""
    schema_at: str = ""
    form: Callable[[Json], Json] = lambda _: {}
    form_at: str = ""


TURN = [{"role": "user", "content": "Hi"}]
ANTHROPICS = {"type": "web_search_20250305", "name": "web_search"}
OPENAIS = {"type": "web_search"}
REQUESTS = {
    "chat": Requests(
        parse=lambda body: openai_chat.parse(body, Address()).chat,
        plain={"messages": TURN},
        limit=lambda value: {"max_tokens": value},
        effort=lambda word: {"reasoning_effort": word},
        effort_at="reasoning_effort",
        tool=lambda name, schema: {
            "tools": [{"type": "function", "function": {"name": name, "parameters": schema}}]
        },
        name_at="tools[0].function.name",
        schema_at="tools[0].function.parameters.properties",
        form=lambda schema: {
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        },
        form_at="response_format.json_schema.schema.properties",
    ),
    "chat, newer limit": Requests(
        parse=lambda body: openai_chat.parse(body, Address()).chat,
        plain={"messages": TURN},
        limit=lambda value: {"max_completion_tokens": value},
        effort=lambda word: {"reasoning": {"effort": word}},
        effort_at="reasoning.effort",
        tool=lambda name, schema: {"functions": [{"name": name, "parameters": schema}]},
        name_at="functions[0].name",
        schema_at="functions[0].parameters.properties",
    ),
    "completions": Requests(
        parse=lambda body: openai_completions.parse(body, Address()).chat,
        plain={"prompt": "Hi"},
        limit=lambda value: {"max_tokens": value},
    ),
    "responses": Requests(
        parse=lambda body: openai_responses.parse(body, Address()).chat,
        plain={"input": "Hi"},
        limit=lambda value: {"max_output_tokens": value},
        effort=lambda word: {"reasoning": {"effort": word}},
        effort_at="reasoning.effort",
        tool=lambda name, schema: {
            "tools": [OPENAIS, {"type": "function", "name": name, "parameters": schema}]
        },
        name_at="tools[1].name",
        schema_at="tools[1].parameters.properties",
        form=lambda schema: {"text": {"format": {"type": "json_schema", "name": "x", "schema": schema}}},
        form_at="text.format.schema.properties",
    ),
    "responses, in a namespace": Requests(
        parse=lambda body: openai_responses.parse(body, Address()).chat,
        plain={"input": "Hi"},
        limit=lambda value: {"max_output_tokens": value},
        tool=lambda name, schema: {
            "tools": [
                {
                    "type": "namespace",
                    "name": "n",
                    "tools": [{"type": "function", "name": name, "parameters": schema}],
                },
                {"type": "function", "name": "last"},
            ]
        },
        name_at="tools[0].tools[0].name",
        schema_at="tools[0].tools[0].parameters.properties",
    ),
    "messages": Requests(
        parse=lambda body: anthropic.parse(body, Address()).chat,
        plain={"messages": TURN},
        limit=lambda value: {"max_tokens": value},
        effort=lambda word: {"output_config": {"effort": word}},
        effort_at="output_config.effort",
        tool=lambda name, schema: {"tools": [ANTHROPICS, {"name": name, "input_schema": schema}]},
        name_at="tools[1].name",
        schema_at="tools[1].input_schema.properties",
        form=lambda schema: {"output_config": {"format": {"type": "json_schema", "schema": schema}}},
        form_at="output_config.format.schema.properties",
    ),
    "messages, older format": Requests(
        parse=lambda body: anthropic.parse(body, Address()).chat,
        plain={"messages": TURN},
        limit=lambda value: {"max_tokens": value},
        form=lambda schema: {"output_format": {"type": "json_schema", "schema": schema}},
        form_at="output_format.schema.properties",
    ),
    "gemini": Requests(
        parse=lambda body: gemini.parse(body, GOOGLE).chat,
        plain={"contents": "Hi"},
        limit=lambda value: {"generationConfig": {"maxOutputTokens": value}},
        effort=lambda word: {"generationConfig": {"thinkingConfig": {"thinkingLevel": word}}},
        effort_at="generationConfig.thinkingConfig.thinkingLevel",
        tool=lambda name, schema: {
            "tools": [
                {"googleSearch": {}},
                {"functionDeclarations": [{"name": name, "parametersJsonSchema": schema}]},
            ]
        },
        name_at="tools[1].functionDeclarations[0].name",
        schema_at="tools[1].functionDeclarations[0].parameters.properties",
        form=lambda schema: {"generationConfig": {"responseJsonSchema": schema}},
        form_at="generationConfig.responseJsonSchema.properties",
    ),
}  # fmt: skip
EVERY = pytest.mark.parametrize("requests", REQUESTS.values(), ids=REQUESTS)
WITH_EFFORT = pytest.mark.parametrize("name", [name for name, one in REQUESTS.items() if one.effort_at])
WITH_TOOLS = pytest.mark.parametrize("name", [name for name, one in REQUESTS.items() if one.name_at])
WITH_FORM = pytest.mark.parametrize("name", [name for name, one in REQUESTS.items() if one.form_at])


def parsed(requests: Requests, fields: Json) -> ChatRequest:
    return requests.parse(json.dumps({**requests.plain, **fields}).encode())


def refused(requests: Requests, fields: Json) -> tuple[str, str | None]:
    with pytest.raises(InvalidRequest) as caught:
        parsed(requests, fields)
    return caught.value.code, caught.value.param


def place_of(fields: Json) -> str:
    """Return the place of the one value in nested objects."""
    [(name, value)] = fields.items()
    return f"{name}.{place_of(value)}" if isinstance(value, dict) else name


@EVERY
@pytest.mark.parametrize(
    ("value", "meant"), [(7, 7), (7.0, 7), (0, None), (-1, None), (-1.0, None), (None, None), (1e300, None)]
)
def test_a_limit_is_read_as_it_is_meant(requests: Requests, value: float | None, meant: int | None) -> None:
    assert parsed(requests, requests.limit(value)).max_tokens == meant


@EVERY
@pytest.mark.parametrize("value", [1.5, -0.5, 100.9])
def test_a_fraction_is_no_limit(requests: Requests, value: float) -> None:
    code, param = refused(requests, requests.limit(value))
    assert code == "invalid_value"
    assert param == place_of(requests.limit(value))


CUT = "cut \ud83d"
CUT_TEXTS: dict[str, tuple[Json, str]] = {
    "prompt": ({"prompt": CUT}, "prompt"),
    "input": ({"input": CUT}, "input"),
    "messages": ({"messages": [*TURN, {"role": "user", "content": CUT}]}, "messages[1].content"),
    "contents": ({"contents": [{"parts": [{"text": "a"}, {"text": CUT}]}]}, "contents[0].parts[1].text"),
}


@EVERY
def test_half_of_a_character_is_refused_at_its_place(requests: Requests) -> None:
    fields, place = CUT_TEXTS[next(iter(requests.plain))]
    assert refused(requests, fields) == ("invalid_value", place)


@WITH_EFFORT
@pytest.mark.parametrize(("word", "effort"), [*EFFORTS.items(), ("", None), (None, None)])
def test_every_dialect_knows_every_effort(name: str, word: str | None, effort: Effort | None) -> None:
    assert parsed(REQUESTS[name], REQUESTS[name].effort(word)).effort == effort


@WITH_EFFORT
def test_an_unknown_effort_is_refused(name: str) -> None:
    requests = REQUESTS[name]
    assert refused(requests, requests.effort("colossal")) == ("invalid_value", requests.effort_at)


@WITH_TOOLS
@pytest.mark.parametrize("tool", ["two words", "<tool>", "é", "x" * 129])
def test_a_tools_name_that_could_change_the_prompt_is_refused(name: str, tool: str) -> None:
    requests = REQUESTS[name]
    assert refused(requests, requests.tool(tool, {"type": "object"})) == ("invalid_value", requests.name_at)


@WITH_TOOLS
def test_a_tools_wrong_schema_is_refused_at_its_place(name: str) -> None:
    requests = REQUESTS[name]
    assert refused(requests, requests.tool("f", WRONG)) == ("invalid_value", requests.schema_at)
    assert "f" in [tool.name for tool in parsed(requests, requests.tool("f", {"type": "object"})).tools]


@WITH_FORM
def test_a_wrong_schema_of_the_answer_is_refused_at_its_place(name: str) -> None:
    requests = REQUESTS[name]
    assert refused(requests, requests.form(WRONG)) == ("invalid_value", requests.form_at)


@pytest.mark.parametrize(("name", "field"), [("chat", "n"), ("completions", "n"), ("completions", "best_of")])
def test_one_answer_is_made_however_the_number_is_written(name: str, field: str) -> None:
    requests = REQUESTS[name]
    for one in (1, 1.0, None):
        assert parsed(requests, {field: one}).messages
    for several in (2, 1.5, 0):
        assert refused(requests, {field: several}) == ("unsupported_parameter", field)


def test_one_candidate_is_made_by_gemini_too() -> None:
    requests = REQUESTS["gemini"]
    for one in (1, 1.0, "1", None):
        assert parsed(requests, {"generationConfig": {"candidateCount": one}}).messages
    place = "generationConfig.candidateCount"
    assert refused(requests, {"generationConfig": {"candidateCount": 2}}) == ("unsupported_parameter", place)
