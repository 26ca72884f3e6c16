"""/v1/messages over a real socket: what a client of Anthropic's API gets."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from typing import Any

import httpx
import pytest

from simulator.app import Simulator
from simulator.scenes import sample_text
from tests.conftest import Upstream
from tests.support.anthropic import Built
from tests.support.client import KEY, Client
from tests.support.live import LiveGateway
from tests.support.log import logged
from tests.support.waiting import wait_until

PATH = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}


def body(content: Any = "Hello!", **fields: Any) -> dict[str, Any]:
    asked = {"model": "claude-sonnet-4-5", "max_tokens": 32000}
    return {**asked, "messages": [{"role": "user", "content": content}], **fields}


def ask(client: Client, content: Any = "Hello!", **fields: Any) -> httpx.Response:
    return client.post(PATH, body(content, **fields))


def answer(client: Client, content: Any = "Hello!", **fields: Any) -> dict[str, Any]:
    response = ask(client, content, **fields)
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.json()
    return told


def stream(client: Client, content: Any = "Hello!", **fields: Any) -> Built:
    response = ask(client, content, stream=True, **fields)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    return Built(response.content)


def source(content: bytes, mime: str) -> dict[str, str]:
    return {"type": "base64", "media_type": mime, "data": base64.b64encode(content).decode()}


def refused(response: httpx.Response) -> tuple[int, str, str]:
    told = response.json()
    assert told["request_id"] == response.headers["x-request-id"]
    return response.status_code, told["error"]["type"], told["error"]["code"]


@pytest.mark.parametrize("scene", ["text chars=700 think=90", "web_search"])
def test_a_stream_builds_the_very_message(client: Client, sim: Simulator, scene: str) -> None:
    sim.play(scene, times=2)
    whole, streamed = answer(client), stream(client)
    assert streamed.is_complete
    ids = whole.pop("id"), streamed.message.pop("id")
    assert all(name.startswith("msg_") for name in ids)
    for message in (whole, streamed.message):
        for block in message["content"]:
            assert bool(block.pop("signature", "")) == (block["type"] == "thinking")
    assert streamed.message == whole
    assert whole["model"] == "claude-sonnet-4-5"
    assert whole["usage"]["output_tokens"] > 0


def test_reasoning_comes_first_in_a_block_of_its_own(client: Client) -> None:
    thinking, text = answer(client, "[scene:text chars=300 think=60]")["content"]
    assert thinking["thinking"] == sample_text(60, 2)
    assert text == {"type": "text", "text": sample_text(300)}


def test_the_sources_of_a_search_are_citations_and_results(client: Client, upstream: Upstream) -> None:
    content = answer(client, "[scene:web_search]", tools=[SEARCH])["content"]
    assert upstream.chats()[0]["meta_data"]["is_networking"] is True
    [text] = [block for block in content if block["type"] == "text"]
    [results] = [block for block in content if block["type"] == "web_search_tool_result"]
    assert text["citations"][0]["url"] == "https://example.com/szx"
    assert {hit["url"] for hit in results["content"]} == {place["url"] for place in text["citations"]}


@pytest.mark.parametrize(
    ("fields", "meta"),
    [
        ({}, {"chat_mode": "", "selected_model": "glm-5.3-flash", "is_networking": False}),
        ({"model": "claude-opus-4-1-20250805"}, {"selected_model": "glm-5.3-flash", "chat_mode": ""}),
        ({"model": "claude-3-7-sonnet-thinking"}, {"chat_mode": "thinking"}),
        ({"model": "glm-5.3"}, {"selected_model": "glm-5.3"}),
        ({"thinking": {"type": "adaptive"}}, {"chat_mode": "thinking"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"chat_mode": "thinking"}),
        ({"thinking": {"type": "disabled"}, "model": "glm-5.3-think"}, {"chat_mode": ""}),
        ({"output_config": {"effort": "max"}}, {"chat_mode": "deep_thinking"}),
    ],
)
def test_what_is_asked_for_reaches_the_upstream(
    client: Client, upstream: Upstream, fields: dict[str, Any], meta: dict[str, Any]
) -> None:
    told = answer(client, **fields)
    sent = upstream.chats()[0]["meta_data"]
    assert {name: sent[name] for name in meta} == meta
    assert told["model"] == fields.get("model", "claude-sonnet-4-5"), "echoed as it was sent"


def test_every_part_of_the_request_reaches_the_model(client: Client, upstream: Upstream) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "Two."}]}
    answer(
        client,
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        messages=[
            {"role": "user", "content": "Add 1 and 1."},
            {"role": "system", "content": "Be kind."},
            {"role": "assistant", "content": [{"type": "text", "text": "I add."}, call]},
            {"role": "user", "content": [result, {"type": "text", "text": "Thanks."}]},
        ],
    )
    prompt = json.dumps(upstream.chats()[0], ensure_ascii=False)
    words = ("Be brief.", "Add 1 and 1.", "Be kind.", "I add.", "Two.", "Thanks.")
    places = [prompt.index(text) for text in words]
    assert places == sorted(places)


def test_an_image_and_a_document_reach_the_model(client: Client) -> None:
    png, pdf = b"\x89PNG\r\n\x1a\n" + bytes(99), b"%PDF-1.7\n" + bytes(99)
    blocks = [
        {"type": "text", "text": "[scene:files] What is this?"},
        {"type": "image", "source": source(png, "image/png")},
        {"type": "document", "source": source(pdf, "application/pdf"), "title": "paper.pdf"},
    ]
    [told] = answer(client, blocks)["content"]
    image, document = told["text"].splitlines()
    assert image.startswith("image ")
    assert image.endswith(sha256(png).hexdigest())
    assert document == f"file paper.pdf {len(pdf)} {sha256(pdf).hexdigest()}"


def test_an_image_that_is_none_is_named_by_its_place(client: Client) -> None:
    response = ask(client, [{"type": "image", "source": source(b"not an image", "image/png")}])
    assert refused(response) == (400, "invalid_request_error", "invalid_file")
    assert response.json()["error"]["param"] == "messages[0].content[0]"


def test_a_stop_sequence_is_named(client: Client, sim: Simulator) -> None:
    prompt = "[scene:slow first=0 gap=0.01 count=900]"
    whole = answer(client, prompt, stop_sequences=["nowhere", "word 3"])
    streamed = stream(client, prompt, stop_sequences=["nowhere", "word 3"]).message
    for told in (whole, streamed):
        assert (told["stop_reason"], told["stop_sequence"]) == ("stop_sequence", "word 3")
        assert told["content"] == [{"type": "text", "text": "word 0 word 1 word 2 "}]
    wait_until(lambda: not sim.live_conversations())


@pytest.mark.parametrize("header", ["x-api-key", "authorization"])
def test_a_coding_agents_headers_and_query_are_taken(client: Client, header: str) -> None:
    headers = {
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14",
        header: KEY if header == "x-api-key" else f"Bearer {KEY}",
    }
    url = f"{client.url}{PATH}?beta=true"
    response = client._http.request("POST", url, json=body("[scene:text chars=9]"), headers=headers)
    assert response.json()["content"] == [{"type": "text", "text": sample_text(9)}]


# Tools

READ = {
    "name": "read_file",
    "description": "Read a file.",
    "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
}


def one_turn(client: Client, messages: list[Any], *, is_stream: bool, **fields: Any) -> dict[str, Any]:
    fields |= {"messages": messages, "tools": [READ]}
    return stream(client, **fields).message if is_stream else answer(client, **fields)


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_client_runs_its_tools_until_the_model_has_its_answer(client: Client, *, is_stream: bool) -> None:
    task = "[scene:agent] [agent: read_file path=a & read_file path=b; then read_file path=c; then answer $3]"
    messages: list[Any] = [{"role": "user", "content": task}]
    paths = []
    while (told := one_turn(client, messages, is_stream=is_stream))["stop_reason"] == "tool_use":
        calls = [block for block in told["content"] if block["type"] == "tool_use"]
        paths.append([call["input"]["path"] for call in calls])
        results = [
            {"type": "tool_result", "tool_use_id": call["id"], "content": f"text of {call['input']['path']}"}
            for call in calls
        ]
        messages += [
            {"role": "assistant", "content": told["content"]},
            {"role": "user", "content": results},
        ]
        assert len(messages) < 9, "the loop does not end"
    assert paths == [["a", "b"], ["c"]]
    assert told["stop_reason"] == "end_turn"
    assert told["content"][-1] == {"type": "text", "text": "text of c"}


def test_a_tool_that_must_be_called_is_called_alone(client: Client) -> None:
    choice = {"type": "tool", "name": "read_file", "disable_parallel_tool_use": True}
    task = "[scene:agent] [agent: read_file path=a & read_file path=b; then answer done]"
    told = one_turn(client, [{"role": "user", "content": task}], is_stream=False, tool_choice=choice)
    assert [block["type"] for block in told["content"]] == ["tool_use"]


# Counting


def test_tokens_are_counted_without_the_upstream(client: Client, upstream: Upstream) -> None:
    short = client.post(COUNT, body("Hello!")).json()
    long = client.post(COUNT, body("Hello! " * 500, system="Be brief.")).json()
    assert set(short) == {"input_tokens"}
    assert 0 < short["input_tokens"] < 10
    assert 900 < long["input_tokens"] < 1600
    assert upstream.sim.calls == []


def test_a_count_is_the_answers_usage(client: Client) -> None:
    counted = client.post(COUNT, body("One, two, three.")).json()["input_tokens"]
    assert answer(client, "One, two, three.")["usage"]["input_tokens"] == counted


def test_a_count_may_be_refused(client: Client) -> None:
    stranger = client.post(COUNT, body(), headers={"authorization": "Bearer no"})
    assert refused(stranger) == (401, "authentication_error", "invalid_api_key")
    assert refused(client.post(COUNT, {})) == (400, "invalid_request_error", "missing_field")


# Errors


@pytest.mark.parametrize("path", ["/v1/messages/x", "/v1/messages/batches", "/api/v1/messages/count_token"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_wrong_path_below_it_is_refused_in_its_form(client: Client, method: str, path: str) -> None:
    assert refused(client.request(method, path)) == (404, "not_found_error", "not_found")


@pytest.mark.parametrize("path", ["/v1/message", "/v1/messagesx", "/nothing"])
def test_another_wrong_path_is_refused_in_openais_form(client: Client, path: str) -> None:
    assert set(client.get(path).json()) == {"error"}


def test_an_error_in_a_stream_names_the_request(client: Client) -> None:
    response = ask(client, "[scene:error_10025_late]", stream=True)
    error = Built(response.content).error
    assert error is not None
    assert error["request_id"] == response.headers["x-request-id"]


def test_the_log_says_that_a_tool_was_left_out(client: Client, gateway: LiveGateway) -> None:
    with logged() as lines:
        answer(client, tools=[{"type": "web_fetch_20250910", "name": "web_fetch"}])
        wait_until(gateway.is_idle)
    assert lines[0]["notices"]["ignored_tool"] == 1
