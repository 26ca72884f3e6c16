"""Chats over the official API, from the client's side."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from simulator.official.app import Official
from simulator.official.server import OfficialServer
from tests.support.client import CHAT, KEY, Client, Streamed, chat_body
from tests.support.dialects import DIALECTS, Dialect
from tests.support.live import LiveGateway

BOTH_WAYS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
EVERY_DIALECT = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)


@pytest.fixture
def key(official: Official) -> str:
    return official.add_key()


@pytest.fixture
def api(
    gateway: LiveGateway,
    environment: pytest.MonkeyPatch,
    official_server: OfficialServer,
    key: str,
    http: httpx.Client,
) -> Client:
    """Give the owner's client, with one key of the official API behind the key and no account."""
    environment.setenv("GLM_API_KEYS", key)
    environment.setenv("GLM_API_BASE_URL", official_server.base_url)
    environment.setenv("API_KEYS", KEY)
    return Client(http, gateway.url)


def body(prompt: str = "Hello!", model: str = "glm-4.6", **fields: Any) -> dict[str, Any]:
    return chat_body(prompt, **{"model": model, **fields})


def streamed_by(client: Client, asked: dict[str, Any]) -> Streamed:
    answer = client.post(CHAT, {**asked, "stream": True})
    return Streamed(answer.status_code, answer.headers, answer.content)


def sent(official: Official) -> list[dict[str, Any]]:
    """The bodies of the chats that came."""
    return [call.json for call in official.calls_to("chat/completions")]


# The answer


@BOTH_WAYS
def test_an_answer_names_its_upstream_its_model_and_its_reported_usage(
    api: Client, official: Official, key: str, stream: bool
) -> None:
    answer = api.post(CHAT, body(stream=stream, stream_options={"include_usage": True}))
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-glm-upstream"] == "api"
    assert answer.headers["x-glm-model"] == "glm-4.6"
    assert answer.headers["x-glm-usage"] == "reported"
    assert "x-glm-fallback" not in answer.headers
    if stream:
        chunks = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line.startswith("data: {")]
        usage = chunks[-1]["usage"]
        text = "".join(c["delta"].get("content") or "" for chunk in chunks for c in chunk["choices"])
    else:
        usage = answer.json()["usage"]
        text = answer.json()["choices"][0]["message"]["content"]
    assert text == "You said: “Hello!”. I am the simulated glm-4.6."
    assert usage["prompt_tokens"] == len("Hello!") // 3 + 1


@EVERY_DIALECT
@BOTH_WAYS
def test_every_dialect_is_answered(api: Client, dialect: Dialect, stream: bool) -> None:
    asked = dialect.body("Hello!", stream)
    answer = api.post(dialect.path_of(is_stream=stream), asked)
    assert answer.status_code == 200, answer.text
    said = dialect.read_stream(answer.content) if stream else dialect.read(answer.json())
    assert "You said: “Hello!”" in said.text
    assert said.reason == "stop"
    assert answer.headers["x-glm-upstream"] == "api"


# What is sent


def test_only_known_fields_are_sent_within_the_apis_limits(api: Client, official: Official) -> None:
    asked = body(
        temperature=1.7,
        top_p=0.12345,
        max_tokens=999_999,
        stop=["END"],
        user="user-17",
        n=1,
        presence_penalty=1,
        logit_bias={"1": 1},
        metadata={"a": "b"},
        parallel_tool_calls=True,
        seed=7,
        reasoning_effort="none",
    )
    assert api.post(CHAT, asked).status_code == 200
    (wire,) = sent(official)
    assert len(wire.pop("request_id")) == 32
    assert wire == {
        "model": "glm-4.6",
        "messages": [{"role": "user", "content": "Hello!"}],
        "stream": True,
        "thinking": {"type": "disabled"},
        "temperature": 1.0,
        "top_p": 0.12,
        "max_tokens": 128_000,
        "stop": ["END"],
        "user_id": "user-17",
    }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"temperature": 0}, {"do_sample": False}),
        ({"temperature": 0.333}, {"temperature": 0.33}),
        ({"temperature": 0.001}, {"temperature": 0.01}),
        ({"top_p": 1}, {}),
        ({"top_p": 0}, {"top_p": 0.01}),
        ({"user": "short"}, {}),
        ({"user": "x" * 129}, {}),
        ({"stop": ["a", "b"]}, {}),
        ({"max_tokens": 5}, {"max_tokens": 5}),
    ],
)
def test_values_outside_of_the_limits_are_clamped(
    api: Client, official: Official, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert api.post(CHAT, body(**fields)).status_code == 200
    (wire,) = sent(official)
    assert {
        k: v for k, v in wire.items() if k not in ("model", "messages", "stream", "request_id")
    } == expected


def test_more_stops_than_the_api_takes_are_applied_here(api: Client) -> None:
    answer = api.post(CHAT, body(stop=["simulated", "nothing"])).json()
    assert answer["choices"][0]["message"]["content"] == "You said: “Hello!”. I am the "
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens"] > 0, "a reply that is cut short is counted here"


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        ("glm-5.3", "none", {"reasoning_effort": "low"}),
        ("glm-5.3", "minimal", {"reasoning_effort": "low"}),
        ("glm-5.3", "low", {"reasoning_effort": "low"}),
        ("glm-5.3", "medium", {"reasoning_effort": "high"}),
        ("glm-5.3", "xhigh", {"reasoning_effort": "max"}),
        ("glm-5.2", "minimal", {"reasoning_effort": "minimal"}),
        ("glm-5.2", "xhigh", {"reasoning_effort": "xhigh"}),
        ("glm-5.1", "high", {"thinking": {"type": "enabled"}}),
        ("glm-4.7", "none", {"thinking": {"type": "disabled"}}),
        ("glm-4.5-flash", "low", {"thinking": {"type": "enabled"}}),
        ("glm-4.6v", "minimal", {"thinking": {"type": "disabled"}}),
        ("glm-4-long", "max", {}),
        ("glm-4.6", None, {}),
        ("glm-4.6-think", None, {"thinking": {"type": "enabled"}}),
        ("glm-5.2-deepthink", None, {"reasoning_effort": "max"}),
    ],
)
def test_thinking_is_switched_as_each_model_wants_it(
    api: Client, official: Official, model: str, effort: str | None, expected: dict[str, Any]
) -> None:
    assert api.post(CHAT, body(model=f"api/{model}", reasoning_effort=effort)).status_code == 200
    (wire,) = sent(official)
    assert {k: v for k, v in wire.items() if k in ("thinking", "reasoning_effort")} == expected


def test_system_and_developer_messages_become_one_at_the_front(api: Client, official: Official) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]},
        {"role": "assistant", "content": None},
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": "Again"},
    ]
    assert api.post(CHAT, body(messages=messages)).status_code == 200
    assert sent(official)[0]["messages"] == [
        {"role": "system", "content": "Be brief.\n\nBe kind."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "Again"},
    ]


PIXEL = "data:image/png;base64,iVBORw0KGgo="


def image(url: str = PIXEL) -> list[dict[str, Any]]:
    return [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]


def test_an_image_goes_to_a_model_that_sees(api: Client, official: Official) -> None:
    asked = body(model="glm-4.6v", messages=[{"role": "user", "content": image()}])
    assert api.post(CHAT, asked).status_code == 200
    assert sent(official)[0]["messages"] == [{"role": "user", "content": image()}]


@pytest.mark.parametrize("role", ["system", "assistant"])
def test_an_image_of_another_role_is_sent_behind_its_message(
    api: Client, official: Official, role: str
) -> None:
    shown = {"role": role, "content": [{"type": "text", "text": "This."}, image()[1]]}
    ask = {"role": "user", "content": "What?"}
    answer = api.post(CHAT, {"model": "glm-4.6v", "messages": [shown, ask]})
    assert answer.status_code == 200, answer.text
    message, image_message, asked = sent(official)[0]["messages"]
    assert (message["role"], message["content"], asked) == (role, "This.", ask)
    assert image_message["role"] == "user"
    assert image_message["content"][1]["image_url"]["url"] == PIXEL


def test_an_image_for_a_text_model_is_refused_and_nothing_is_sent(api: Client, official: Official) -> None:
    answer = api.post(CHAT, body(messages=[{"role": "user", "content": image()}]))
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "messages[0].content[1]"
    assert "glm-4.6v-flash" in answer.json()["error"]["message"]
    assert official.calls == []


def test_a_search_becomes_annotations(api: Client, official: Official) -> None:
    answer = api.post(CHAT, body(model="glm-4.6-search")).json()
    (tool,) = sent(official)[0]["tools"]
    assert tool["type"] == "web_search"
    assert tool["web_search"]["search_result"] is True
    notes = answer["choices"][0]["message"]["annotations"]
    assert [note["url_citation"]["url"] for note in notes] == [
        "https://example.com/1",
        "https://example.com/2",
    ]


def test_marks_of_a_box_are_taken_out_of_the_text(api: Client) -> None:
    message = api.post(CHAT, body("[scene:boxed]", "glm-4.5v")).json()["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("The answer is 42.", "short")


# Endings


@pytest.mark.parametrize(
    ("scene", "status", "code"),
    [
        ("network_error first=1", 502, "upstream_error"),
        ("empty_stream", 502, "upstream_error"),
        ("empty_stream done=1", 502, "upstream_error"),
        ("wordless", 502, "upstream_error"),
        ("abort first=1", 502, "upstream_error"),
        ("abort first=1 hard=1", 502, "upstream_error"),
        ("window_exceeded first=1", 400, "context_length_exceeded"),
        ("error_object first=1 code=1261", 400, "context_length_exceeded"),
        ("error_object first=1 code=1301", 400, "content_filter"),
        ("json_instead code=1211", 404, "model_not_found"),
        ("error code=1301", 400, "content_filter"),
        ("error code=1308", 429, "rate_limit_exceeded"),
        ("error code=1113", 429, "insufficient_quota"),
        ("error code=1121", 403, "permission_denied"),
        ("error code=1003", 401, "invalid_api_key"),
        ("html_405", 502, "upstream_error"),
    ],
)
def test_an_ending_before_any_word_has_a_status_and_is_one_call(
    api: Client, official: Official, scene: str, status: int, code: str
) -> None:
    for stream in (False, True):
        official.calls.clear()
        answer = api.post(CHAT, body(f"[scene:{scene}]", stream=stream))
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert len(sent(official)) <= 1, "a refusal that lasts is not even asked for again"


@pytest.mark.parametrize(
    ("scene", "code"),
    [
        ("network_error", "upstream_error"),
        ("cut_off", "upstream_error"),
        ("abort", "upstream_error"),
        ("error_object code=1302", "rate_limit_exceeded"),
        ("error_object code=1301 done=1", "content_filter"),
    ],
)
def test_an_ending_after_words_is_an_error_event_and_nothing_follows(
    api: Client, official: Official, scene: str, code: str
) -> None:
    streamed = streamed_by(api, body(f"[scene:{scene}]"))
    assert streamed.status == 200
    assert streamed.text == "Some words,"
    assert streamed.error is not None
    assert streamed.error["code"] == code
    assert (streamed.finish_reason, streamed.is_done) == (None, False)
    assert len(sent(official)) == 1


@pytest.mark.parametrize(
    ("scene", "text", "reason"),
    [
        ("sensitive", "Some words,", "content_filter"),
        ("sensitive first=1", "", "content_filter"),
        ("window_exceeded", "Some words,", "length"),
        ("length", "Some words,", "length"),
        ("length words=0", "", "length"),
        ("odd_lines", "\nGood.", "stop"),
        ("finished_twice", "Once and twice.", "stop"),
    ],
)
def test_an_ending_that_is_an_answer(api: Client, scene: str, text: str, reason: str) -> None:
    streamed = streamed_by(api, body(f"[scene:{scene}]"))
    assert (streamed.text, streamed.finish_reason, streamed.is_done) == (text, reason, True)
    choice = api.post(CHAT, body(f"[scene:{scene}]")).json()["choices"][0]
    assert (choice["message"]["content"] or "", choice["finish_reason"]) == (text, reason)


def test_a_passing_refusal_is_seen_by_no_client(api: Client, official: Official) -> None:
    official.play("error code=1302")
    assert api.post(CHAT, body()).status_code == 200
    assert len(sent(official)) == 2
    first, second = (wire["request_id"] for wire in sent(official))
    assert first != second


def test_a_reset_is_told_in_retry_after_and_the_key_rests(api: Client, official: Official) -> None:
    official.play("error code=1310 chinese=1")
    for _ in range(2):
        answer = api.post(CHAT, body())
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 3600
    assert len(sent(official)) == 1


def test_a_plan_key_is_explained(api: Client, official: Official, key: str) -> None:
    official.keys[key].is_plan = True
    answer = api.post(CHAT, body())
    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "insufficient_quota"
    assert "Coding Plan" in answer.json()["error"]["message"]


def test_a_breakdown_with_tools_names_the_schema(api: Client, official: Official) -> None:
    official.play("error code=1234", times=2)
    answer = api.post(CHAT, body(tools=[ADD]))
    assert answer.status_code == 502
    assert "schema" in answer.json()["error"]["message"]


# Tools and structured output

ADD: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "math.add",
        "parameters": {
            "$schema": "x",
            "type": "object",
            "properties": {
                "a": {"$ref": "#/$defs/n"},
                "b": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            },
            "required": ["a", "b"],
            "$defs": {"n": {"type": "integer", "format": "int64"}},
        },
        "strict": True,
    },
}


def whole_calls(streamed: Streamed) -> list[dict[str, Any]]:
    """Put the pieces of a stream's calls together."""
    made: dict[int, dict[str, Any]] = {}
    for chunk in streamed.chunks:
        for piece in (p for c in chunk["choices"] for p in c["delta"].get("tool_calls") or ()):
            call = made.setdefault(piece["index"], {"type": "function", "function": {"arguments": ""}})
            call |= {"id": piece["id"]} if piece.get("id") else {}
            function = piece["function"]
            call["function"] |= {"name": function["name"]} if function.get("name") else {}
            call["function"]["arguments"] += function.get("arguments") or ""
    return [made[index] for index in sorted(made)]


def calls_of(answer: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    made = answer["choices"][0]["message"]["tool_calls"]
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in made]


@pytest.mark.parametrize("ids", ["call", "negative", "date"])
@pytest.mark.parametrize("model", ["glm-4.6", "glm-4.5", "glm-5.3"])
@BOTH_WAYS
def test_a_tool_is_called_natively_and_its_result_goes_back(
    api: Client, official: Official, model: str, ids: str, stream: bool
) -> None:
    question = {"role": "user", "content": f"[scene:default ids={ids}] [agent: math_add a=1 b=2]"}
    asked = body(model=f"api/{model}", messages=[question], tools=[ADD], reasoning_effort="high")
    if stream:
        streamed = streamed_by(api, asked)
        assert streamed.finish_reason == "tool_calls"
        [call] = whole_calls(streamed)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": streamed.text,
            "reasoning_content": streamed.reasoning,
            "tool_calls": [call],
        }
    else:
        answer = api.post(CHAT, asked).json()
        assert answer["choices"][0]["finish_reason"] == "tool_calls"
        message = answer["choices"][0]["message"]
        [call] = message["tool_calls"]
    assert call["function"]["name"] == "math.add"
    wire = sent(official)[0]["tools"][0]["function"]
    assert wire["name"] == "math_add"
    assert wire["description"]
    assert wire["parameters"] == {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    }
    result = {"role": "tool", "tool_call_id": call["id"], "content": "3"}
    again = api.post(CHAT, {**asked, "messages": [question, message, result]})
    assert again.status_code == 200
    said = sent(official)[1]["messages"]
    assert [entry["role"] for entry in said] == ["user", "assistant", "tool"]
    assert said[1]["tool_calls"][0]["id"] == said[2]["tool_call_id"] == call["id"]
    assert said[1]["tool_calls"][0]["function"]["name"] == "math_add"
    assert said[1]["reasoning_content"]


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "math.add"}}], ids=["required", "named"]
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_forced_call_is_one_sentence_and_one_retry(
    api: Client, official: Official, choice: Any, stream: bool
) -> None:
    official.play("text chars=40")  # The first try does not call.
    asked = body(tools=[ADD], tool_choice=choice, stream=stream)
    if stream:
        streamed = streamed_by(api, asked)
        assert (streamed.text, streamed.finish_reason) == ("", "tool_calls")
    else:
        answer = api.post(CHAT, asked).json()
        assert calls_of(answer)[0][0] == "math.add"
        assert not answer["choices"][0]["message"]["content"]
    assert [wire["tool_choice"] for wire in sent(official)] == ["auto", "auto"]
    assert "call of the function math_add" in sent(official)[0]["messages"][0]["content"]


@pytest.mark.parametrize("model", ["glm-4v-flash", "glm-4.1v-thinking-flash"])
def test_tools_are_only_words_for_a_model_that_takes_none(
    api: Client, official: Official, model: str
) -> None:
    asked = body("[scene:text chars=9]", model, tools=[ADD], web_search_options={})
    answer = api.post(CHAT, asked)
    assert answer.status_code == 200, answer.text
    [wire] = sent(official)
    assert not {"tools", "tool_choice", "tool_stream"} & set(wire)
    assert "math.add" in str(wire["messages"])
    searching = api.post(CHAT, body(model=model, web_search_options={}))
    assert searching.status_code == 200, searching.text
    assert "tools" not in sent(official)[-1]


def test_a_call_that_never_comes_is_an_error_after_two_tries(api: Client, official: Official) -> None:
    official.play("text chars=40", times=2)
    answer = api.post(CHAT, body(tools=[ADD], tool_choice="required"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "invalid_model_output")
    assert len(sent(official)) == 2


@BOTH_WAYS
@pytest.mark.parametrize("scene", ["silence", "silence headers=0"])
def test_a_retry_that_meets_the_hosts_end_is_a_timeout(
    api: Client, official: Official, environment: pytest.MonkeyPatch, scene: str, stream: bool
) -> None:
    environment.setenv("MAX_DURATION_S", "1.5")
    official.play("text chars=40")
    official.play(scene)
    answer = api.post(CHAT, body(tools=[ADD], tool_choice="required", stream=stream))
    assert len(sent(official)) == 2
    assert '"code":"upstream_timeout"' in answer.text
    assert "[DONE]" not in answer.text
    assert answer.status_code == 504 or stream


SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"],
}


@BOTH_WAYS
@pytest.mark.parametrize("model", ["glm-4.6", "glm-4.6v"])
def test_a_schema_is_made_from_json_object_and_one_line(
    api: Client, official: Official, model: str, stream: bool
) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    asked = body("Weather?", model, response_format=form, stream=stream)
    text = (
        streamed_by(api, asked).text
        if stream
        else api.post(CHAT, asked).json()["choices"][0]["message"]["content"]
    )
    assert set(json.loads(text)) == {"city", "degrees"}
    (wire,) = sent(official)
    assert wire.get("response_format") == ({"type": "json_object"} if model == "glm-4.6" else None)
    lines = wire["messages"][0]["content"].split("\n")
    assert [json.loads(line) for line in lines if line.startswith("{")] == [SCHEMA]


def test_json_that_stays_wrong_is_an_error_after_one_repair(api: Client, official: Official) -> None:
    official.play("text chars=40", times=2)
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    answer = api.post(CHAT, body(response_format=form))
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "invalid_model_output")
    assert len(sent(official)) == 2
