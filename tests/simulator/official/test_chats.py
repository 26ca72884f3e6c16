"""Chats of the simulated official API: the forms of §3 and §4, the checks of §2, every scene."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from simulator.official.app import Official
from simulator.official.scenes import SCENES, SceneEntry
from tests.simulator.official.client import ADD, Client, code_of, said
from tests.support.waiting import wait_until

FAST = "s=0.01 gap=0.001 first=0.001"
TASK = '[agent: add a=1 b=2; then answer "It is $last."]'


def finishes(chunks: list[dict[str, Any]]) -> list[str]:
    return [
        c["choices"][0]["finish_reason"]
        for c in chunks
        if c.get("choices") and c["choices"][0].get("finish_reason")
    ]


def test_a_whole_answer_has_the_documented_members(client: Client, sim: Official) -> None:
    answer = client.whole("Hello", thinking={"type": "enabled"})
    assert set(answer) == {"id", "request_id", "created", "model", "choices", "usage"}
    [choice] = answer["choices"]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"] == "You said: “Hello”. I am the simulated glm-4.6."
    assert "Hello" in choice["message"]["reasoning_content"]
    assert answer["usage"]["total_tokens"] > answer["usage"]["prompt_tokens"] > 0
    assert sim.violations == []


def test_a_stream_has_the_quirks_of_the_captures(client: Client) -> None:
    chunks = client.chunks("Hello", thinking={"type": "disabled"})
    assert chunks[-1] == {}
    assert all(chunk["choices"][0]["delta"]["role"] == "assistant" for chunk in chunks[:-1])
    assert all("object" not in chunk for chunk in chunks)
    assert chunks[-2]["choices"][0] == {
        "index": 0,
        "delta": {"role": "assistant", "content": ""},
        "finish_reason": "stop",
    }
    assert chunks[-2]["usage"]["completion_tokens"] > 0
    assert said(chunks) == client.whole("Hello")["choices"][0]["message"]["content"]
    assert said(chunks, "reasoning_content") == ""
    newer = client.chunks("Hello", model="glm-5.2")
    assert {chunk["object"] for chunk in newer if chunk} == {"chat.completion.chunk"}


def test_a_call_without_tool_stream_is_one_chunk_with_index_minus_one(client: Client) -> None:
    chunks = client.chunks(TASK, model="glm-4.5-flash", tools=[ADD], thinking={"type": "disabled"})
    [part] = [
        part for chunk in chunks if chunk for part in chunk["choices"][0]["delta"].get("tool_calls", ())
    ]
    assert part["index"] == -1
    assert part["function"] == {"name": "add", "arguments": '{"a": 1, "b": 2}'}
    assert finishes(chunks) == ["tool_calls", "tool_calls"]


def test_a_call_with_tool_stream_comes_in_fragments(client: Client, sim: Official) -> None:
    chunks = client.chunks(TASK, tools=[ADD], tool_stream=True, thinking={"type": "disabled"})
    parts = [part for chunk in chunks if chunk for part in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert (parts[0]["function"]["name"], parts[0]["index"]) == ("add", 0)
    assert "".join(part["function"]["arguments"] for part in parts) == '{"a": 1, "b": 2}'
    assert len(parts) > 2
    assert all("id" not in part for part in parts[1:])
    assert finishes(chunks) == ["tool_calls"]
    assert sim.violations == []


@pytest.mark.parametrize(
    ("form", "start"), [("call", "call_"), ("negative", "call_-"), ("date", "call_2026")]
)
def test_the_ids_of_calls_have_several_forms(client: Client, form: str, start: str) -> None:
    answer = client.whole(f"{TASK} [scene:default ids={form} arguments=object]", tools=[ADD])
    [call] = answer["choices"][0]["message"]["tool_calls"]
    assert call["id"].startswith(start)
    assert call["function"]["arguments"] == {"a": 1, "b": 2}


def test_a_loop_with_thinking_wants_its_reasoning_back(client: Client, sim: Official) -> None:
    options: dict[str, Any] = {"tools": [ADD], "thinking": {"type": "enabled"}}
    first = client.whole(TASK, **options)["choices"][0]
    assert first["finish_reason"] == "tool_calls"
    [call] = first["message"]["tool_calls"]
    result = {"role": "tool", "tool_call_id": call["id"], "content": "3"}
    turns = [{"role": "user", "content": TASK}, first["message"], result]
    assert client.whole("", messages=turns, **options)["choices"][0]["message"]["content"] == "It is 3."
    assert sim.violations == []
    forgotten = [turns[0], first["message"] | {"reasoning_content": ""}, {"role": "tool", "content": "3"}]
    answer = client.whole("", messages=forgotten, **options)["choices"][0]["message"]["content"]
    assert answer == "It is .", "without its id the result is empty"
    assert len(sim.violations) == 3


def test_a_forced_call_and_a_schema_are_read_from_the_text(client: Client) -> None:
    system = {"role": "system", "content": "You must call at least one tool."}
    message = client.whole("", messages=[system, {"role": "user", "content": "Hi"}], tools=[ADD])["choices"][
        0
    ]
    assert message["finish_reason"] == "tool_calls"
    schema = '{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}'
    answer = client.whole(f"Hi\n{schema}", response_format={"type": "json_object"})
    assert json.loads(answer["choices"][0]["message"]["content"]) == {"n": 1}


def test_the_web_is_searched_if_sources_are_asked_for(client: Client) -> None:
    tool = {"type": "web_search", "web_search": {"enable": True, "search_result": True}}
    assert [source["refer"] for source in client.whole("News?", tools=[tool])["web_search"]] == [
        "ref_1",
        "ref_2",
    ]
    [chunk] = [chunk for chunk in client.chunks("News?", tools=[tool]) if "web_search" in chunk]
    assert chunk["web_search"][0]["link"] == "https://example.com/1"
    silent = {"type": "web_search", "web_search": {"enable": True}}
    assert "web_search" not in client.whole("News?", tools=[silent])


def test_a_small_limit_ends_with_length(client: Client) -> None:
    assert client.whole("Hello", max_tokens=1)["choices"][0]["finish_reason"] == "length"


UNION = {"anyOf": [{"type": "string"}, {"type": "integer"}]}


def test_a_schema_with_a_union_breaks_the_api(client: Client) -> None:
    function = ADD["function"] | {"parameters": {"type": "object", "properties": {"a": UNION}}}  # type: ignore[operator]
    tools = [{"type": "function", "function": function}]
    assert code_of(client.chat("Hi", tools=tools)) == (500, "1234")
    empty = client.chat("Hi", tools=tools, stream=True, tool_stream=True)
    assert (empty.status_code, empty.content) == (200, b"")
    assert empty.headers["content-type"] == "text/event-stream"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"model": "glm-9"}, "1211"),
    ({"messages": []}, "1213"),
    ({"messages": [{"role": "developer", "content": "x"}]}, "1214"),
    ({"messages": [{"role": "system", "content": "x"}]}, "1214"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "1210"),
    ({"temperature": 1.5}, "1214"),
    ({"top_p": 0}, "1214"),
    ({"max_tokens": 999_999}, "1210"),
    ({"max_tokens": 0}, "1210"),
    ({"model": "glm-4-long", "max_tokens": 5000}, "1210"),
    ({"stop": ["a", "b", "c", "d", "e"]}, "1214"),
    ({"stop": "a"}, "1214"),
    ({"request_id": "short"}, "1214"),
    ({"user_id": "u"}, "1214"),
    ({"response_format": {"type": "json_schema"}}, "1214"),
    ({"model": "glm-4.6v", "response_format": {"type": "json_object"}}, "1214"),
    ({"model": "glm-5.3", "reasoning_effort": "medium"}, "1210"),
    ({"model": "glm-5.3", "thinking": {"type": "disabled"}}, "1210"),
    ({"reasoning_effort": "huge"}, "1214"),
    ({"tools": [ADD] * 129}, "1214"),
    ({"tools": [{"type": "custom"}]}, "1214"),
    ({"tools": [{"type": "function", "function": {"name": "a.b", "description": "x"}}]}, "1214"),
    ({"tools": [{"type": "function", "function": {"name": "a"}}]}, "1213"),
    ({"model": "glm-4v-flash", "tools": [ADD]}, "1210"),
]


@pytest.mark.parametrize(("fields", "code"), REFUSED)
def test_a_wrong_request_is_refused(client: Client, fields: dict[str, Any], code: str) -> None:
    assert code_of(client.chat("Hi", **fields)) == (400, code)


def test_a_body_that_is_no_object_is_refused(client: Client) -> None:
    assert code_of(client.post("chat/completions", [1])) == (400, "1210")


ODD: list[tuple[dict[str, Any], str]] = [
    ({"n": 1}, "unknown field n"),
    ({"temperature": 0.123}, "temperature has more than two decimals: 0.123"),
    ({"tool_choice": "required"}, "tool_choice is 'required', not auto"),
    ({"reasoning_effort": "high"}, "glm-4.6 has no reasoning_effort"),
    ({"model": "glm-4-long", "thinking": {"type": "enabled"}}, "glm-4-long has no thinking"),
    ({"model": "glm-4.5-air", "tool_stream": True}, "glm-4.5-air has no tool_stream"),
    ({"tools": [ADD], "stream": True}, "stream and tools without tool_stream degenerate (seen 2026-03)"),
]


@pytest.mark.parametrize(("fields", "oddity"), ODD)
def test_an_odd_request_is_noted(client: Client, sim: Official, fields: dict[str, Any], oddity: str) -> None:
    assert client.chat("Hi", **fields).status_code == 200
    assert sim.violations == [f"chat/completions: {oddity}"]


def named_tool(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "description": "It.", "parameters": parameters}}


def test_unwanted_words_of_a_schema_are_noted_and_names_of_properties_are_not(
    client: Client, sim: Official
) -> None:
    named = named_tool("a", {"format": {"type": "string", "enum": ["strict"]}, "$defs": {"type": "string"}})
    client.chat("Hi", tools=[named])
    assert sim.violations == []
    client.chat("Hi", tools=[named_tool("a", {"day": {"type": "array", "items": {"format": "date"}}})])
    assert sim.violations == ["chat/completions: a schema has format"]


CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}}


def test_odd_histories_are_noted(client: Client, sim: Official) -> None:
    user = {"role": "user", "content": "Hi"}
    calling = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    for messages in ([user, calling, user], [user, calling]):
        client.chat("", messages=messages, tools=[ADD])
    assert sim.violations == ["chat/completions: calls without a result: ['call_1']"] * 2
    sim.violations.clear()
    client.chat("", messages=[user, {"role": "system", "content": "S"}])
    assert sim.violations == ["chat/completions: expected one system message, at the front"]


def test_a_call_without_a_name_spoils_the_session(client: Client) -> None:
    nameless = CALL | {"function": {"name": "", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "", "tool_calls": [nameless]},
        {"role": "tool", "tool_call_id": "call_1", "content": "3"},
    ]
    assert code_of(client.chat("", messages=messages)) == (400, "1214")


def test_the_named_tool_is_called(client: Client) -> None:
    tools = [ADD, named_tool("other", {})]
    system = {"role": "system", "content": "This answer must contain exactly one call of other."}
    message = client.whole("", messages=[system, {"role": "user", "content": TASK}], tools=tools)["choices"][
        0
    ]
    assert [call["function"]["name"] for call in message["message"]["tool_calls"]] == ["other"]


def test_the_international_api_takes_one_stop(client: Client, sim: Official) -> None:
    assert client.chat("Hi", stop=["a", "b"]).status_code == 200
    sim.region = "zai"
    assert code_of(client.chat("Hi", stop=["a", "b"])) == (400, "1214")


def test_a_request_id_is_taken_once(client: Client) -> None:
    assert client.chat("Hi", request_id="once-only").status_code == 200
    assert code_of(client.chat("Hi", request_id="once-only")) == (400, "1231")


def test_a_key_runs_so_many_chats_of_a_model_at_once(client: Client, sim: Official) -> None:
    with ThreadPoolExecutor(1) as aside:
        sim.play("slow first=0.5 count=1")
        running = aside.submit(client.chat, "Hi", model="glm-4.7-flash", stream=True)
        wait_until(sim.active, what="the first chat runs")
        second = httpx.post(
            f"{client.http.base_url}chat/completions",
            json={"model": "glm-4.7-flash", "messages": [{"role": "user", "content": "Hi"}]},
            headers={"Authorization": f"Bearer {client.key}"},
        )
        assert code_of(second) == (429, "1302")
        assert running.result().status_code == 200
    assert sim.active() == 0
    assert client.chat("Hi", model="glm-4.7-flash").status_code == 200


@pytest.mark.parametrize("entry", SCENES.values(), ids=lambda entry: entry.name)
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
def test_every_scene_ends_as_it_claims(
    client: Client,
    sim: Official,
    entry: SceneEntry,
    is_stream: bool,
) -> None:
    assert entry.about
    ask = f"Hi [scene:{entry.name} {FAST if entry.name in ('slow', 'silence', 'stall') else ''}]"
    if entry.name == "abort" or (
        entry.ending == "cut" and not is_stream and entry.name in ("cut_off", "stall")
    ):
        with pytest.raises(httpx.TransportError):
            client.chat(ask, stream=is_stream)
    else:
        check_ending(entry, client.chat(ask, stream=is_stream), is_stream=is_stream)
    wait_until(lambda: not sim.active(), what="nothing runs")
    assert sim.violations == []


def check_ending(entry: SceneEntry, answer: httpx.Response, *, is_stream: bool) -> None:
    good = {"stop", "length", "tool_calls"}
    if entry.ending == "http":
        assert "error" in answer.text or answer.status_code == 405
    elif entry.ending == "cut":
        assert b"[DONE]" not in answer.content
        assert b'"finish_reason":"' not in answer.content
    elif not is_stream:
        body = answer.json()
        reason = body["choices"][0]["finish_reason"] if "choices" in body else ""
        assert (reason in good) == (entry.ending == "finish" or entry.name == "wordless")
    else:
        reasons = [reason for reason in good if f'"finish_reason":"{reason}"' in answer.text]
        assert bool(reasons) == (entry.ending == "finish" or entry.name == "wordless")
        assert answer.text.endswith("data: [DONE]\n\n") or entry.name == "error_object"


def test_scenes_are_queued_and_unknown_ones_are_noted(client: Client, sim: Official) -> None:
    sim.play("error code=1305", key=client.key)
    assert code_of(client.chat("Hi")) == (429, "1305")
    with pytest.raises(ValueError, match="expected one of"):
        sim.play("no_such")
    client.chat("[scene:no_such]")
    assert sim.violations == ["chat/completions: unknown scene 'no_such'"]


@pytest.mark.parametrize(
    ("args", "status", "code", "words"),
    [
        ("code=1302", 429, "1302", "concurrency"),
        ("code=1308", 429, "1308", "Your limit will reset at 2026-12-01 08:00:00"),
        ("code=1308 chinese=1", 429, "1308", "您的限额将在 2026-12-01 08:00:00 重置"),
        ("code=1310 reset=2026-12-05_01:02:03", 429, "1310", "2026-12-05 01:02:03"),
        ("code=1113 number=1", 429, 1113, "recharge"),
        ("code=1261", 400, "1261", "too long"),
        ("code=1234 status=503", 503, "1234", "Network error"),
    ],
)
def test_an_error_has_its_status_and_words(
    client: Client, args: str, status: int, code: str | int, words: str
) -> None:
    answer = client.chat(f"[scene:error {args}]")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert words in answer.json()["error"]["message"]


@pytest.mark.parametrize("reason", ["sensitive", "network_error", "window_exceeded"])
def test_a_bad_finish_comes_after_words_or_first(client: Client, reason: str) -> None:
    wanted = "model_context_window_exceeded" if reason == "window_exceeded" else reason
    assert finishes(client.chunks(f"[scene:{reason}]")) == [wanted]
    assert said(client.chunks(f"[scene:{reason}]")) == "Some words,"
    assert said(client.chunks(f"[scene:{reason} first=1]")) == ""


def test_an_error_object_may_stand_in_the_stream(client: Client) -> None:
    assert client.chunks("[scene:error_object code=1305 first=1]")[0]["error"]["code"] == "1305"
    assert client.chat("[scene:json_instead]", stream=True).headers["content-type"] == "application/json"
