"""Gemini's API over a real socket: what a client of Google's gets."""

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
from tests.support.client import KEY, Client
from tests.support.dialects import GOOGLE, google_body, google_code, read_google, read_google_events
from tests.support.live import LiveGateway
from tests.support.log import logged
from tests.support.waiting import wait_until

WHOLE = f"{GOOGLE}:generateContent"
STREAM = f"{GOOGLE}:streamGenerateContent"
COUNT = f"{GOOGLE}:countTokens"


def body(*parts: Any, **fields: Any) -> dict[str, Any]:
    contents = [
        {"role": "user", "parts": [{"text": part} if isinstance(part, str) else part for part in parts]}
    ]
    return {"contents": contents, **fields}


def answer(client: Client, *parts: Any, path: str = WHOLE, **fields: Any) -> dict[str, Any]:
    response = client.post(path, body(*(parts or ("Hello!",)), **fields))
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    told: dict[str, Any] = response.json()
    return told


def chunks(client: Client, asked: dict[str, Any], path: str = f"{STREAM}?alt=sse") -> list[dict[str, Any]]:
    response = client.post(path, asked)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    records = [record for record in response.text.split("\n\n") if record.strip()]
    return [json.loads(record.strip().removeprefix("data: ")) for record in records]


def parts_of(told: dict[str, Any]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = told["candidates"][0]["content"]["parts"]
    return parts


def refused(response: httpx.Response) -> tuple[int, str, str]:
    code = google_code(response.json())
    error = response.json()["error"]
    assert error["code"] == response.status_code
    return response.status_code, error["status"], code


# Paths, names and keys


@pytest.mark.parametrize("prefix", ["/v1beta", "/v1", "/api/v1beta", "/api/v1"])
def test_each_action_is_below_each_version(client: Client, prefix: str) -> None:
    model = f"{prefix}/models/glm-5.3-flash"
    asked = google_body("[scene:text chars=30]")
    assert read_google(client.post(f"{model}:generateContent", asked).json()).text == sample_text(30)
    streamed = client.post(f"{model}:streamGenerateContent?alt=sse", asked)
    assert read_google_events(streamed.content).text == sample_text(30)
    assert client.post(f"{model}:countTokens", asked).json()["totalTokens"] > 0


def test_a_stream_without_alt_is_one_json_array(client: Client, gateway: LiveGateway, sim: Simulator) -> None:
    sim.pace_s = 0.002
    with logged() as lines:
        response = client.post(STREAM, google_body("[scene:text chars=300 think=30]"))
        wait_until(gateway.is_idle)
    assert response.headers["content-type"] == "application/json"
    assert "content-length" not in response.headers
    elements = response.json()
    assert len(elements) > 5
    assert "".join(parts_of(element)[0]["text"] for element in elements) == sample_text(300)
    assert (lines[0]["stream"], lines[0]["route"]) == (True, "/v1beta/models/{name}:streamGenerateContent")


@pytest.mark.parametrize(
    "name", ["a/b", "glm-5.3:think", "openai/gpt-4o", "模型", "x%2Fy", "a:generateContent"]
)
def test_a_models_name_may_hold_slashes_and_colons(client: Client, name: str) -> None:
    told = answer(client, path=f"/v1beta/models/{name}:generateContent")
    assert told["modelVersion"] == name.replace("%2F", "/")


def test_an_encoded_colon_is_a_colon(client: Client) -> None:
    assert answer(client, path="/v1/models/glm-5.3%3AgenerateContent")["modelVersion"] == "glm-5.3"


@pytest.mark.parametrize("path", [WHOLE, "/v1/models/glm-5.3:generateContent"])
@pytest.mark.parametrize("how", ["header", "query"])
def test_the_key_comes_in_googles_header_or_in_the_query(client: Client, path: str, how: str) -> None:
    headers = {"x-goog-api-key": KEY} if how == "header" else {}
    query = {"key": KEY} if how == "query" else {}
    response = client._http.post(f"{client.url}{path}", json=google_body("x"), headers=headers, params=query)
    assert response.status_code == 200, response.text
    wrong = client._http.post(f"{client.url}{path}", json=google_body("x"), params={"key": "no"})
    assert refused(wrong) == (401, "UNAUTHENTICATED", "invalid_api_key")


# Answers


def test_a_stream_says_what_a_whole_answer_says(client: Client, sim: Simulator) -> None:
    sim.play("web_search", times=2)
    thinking = {"thinkingConfig": {"includeThoughts": True}}
    whole = answer(client, generationConfig=thinking)
    streamed = chunks(client, body("Hello!", generationConfig=thinking))
    assert [part for part in parts_of(whole) if part.get("thought")]
    assert read_google(whole).text == "".join(read_google(chunk).text for chunk in streamed)
    last = streamed[-1]
    assert last["usageMetadata"] == whole["usageMetadata"]
    assert last["candidates"][0]["groundingMetadata"] == whole["candidates"][0]["groundingMetadata"]
    assert {chunk["responseId"] for chunk in streamed} == {last["responseId"]}
    assert [chunk for chunk in streamed[:-1] if "finishReason" in chunk["candidates"][0]] == []


def test_the_sources_of_a_search_stand_at_their_bytes(client: Client, upstream: Upstream) -> None:
    told = answer(client, "[scene:web_search]", tools=[{"googleSearch": {}}])
    assert upstream.chats()[0]["meta_data"]["is_networking"] is True
    text = read_google(told).text.encode()
    grounding = told["candidates"][0]["groundingMetadata"]
    for support in grounding["groundingSupports"]:
        segment = support["segment"]
        assert text[segment["startIndex"] : segment["endIndex"]].decode() == segment["text"]
        [index] = support["groundingChunkIndices"]
        assert segment["text"] == f"[{index + 1}]"
    assert grounding["groundingChunks"][0]["web"]["uri"] == "https://example.com/szx"


@pytest.mark.parametrize(
    ("model", "config", "meta"),
    [
        ("gemini-2.5-pro", {}, {"chat_mode": "", "selected_model": "glm-5.3-flash"}),
        ("glm-5.3-think", {}, {"chat_mode": "thinking", "selected_model": "glm-5.3"}),
        ("glm-5.3-think", {"thinkingBudget": 0}, {"chat_mode": ""}),
        ("glm-5.3", {"thinkingBudget": -1}, {"chat_mode": "thinking"}),
        ("glm-5.3", {"thinkingLevel": "XHIGH"}, {"chat_mode": "deep_thinking"}),
        ("glm-5.3-deepresearch", {"includeThoughts": True}, {"chat_mode": "deep_research"}),
    ],
)
def test_what_is_asked_for_reaches_the_upstream(
    client: Client, upstream: Upstream, model: str, config: Any, meta: dict[str, Any]
) -> None:
    path = f"/v1beta/models/{model}:generateContent"
    told = answer(client, path=path, generationConfig={"thinkingConfig": config})
    sent = upstream.chats()[0]["meta_data"]
    assert {name: sent[name] for name in meta} == meta
    assert told["modelVersion"] == model


def test_an_image_and_a_file_reach_the_model(client: Client) -> None:
    png, pdf = b"\x89PNG\r\n\x1a\n" + bytes(99), b"%PDF-1.7\n" + bytes(99)
    encoded = [base64.urlsafe_b64encode(content).decode() for content in (png, pdf)]
    told = answer(
        client,
        "[scene:files] What is this?",
        {"inlineData": {"mimeType": "image/png", "data": encoded[0]}},
        {"inline_data": {"mime_type": "application/pdf", "data": encoded[1], "display_name": "paper.pdf"}},
    )
    image, file = read_google(told).text.splitlines()
    assert image.startswith("image ")
    assert image.endswith(sha256(png).hexdigest())
    assert file == f"file paper.pdf {len(pdf)} {sha256(pdf).hexdigest()}"


def test_an_image_that_is_none_is_named_by_its_place(client: Client) -> None:
    wrong = {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(b"none").decode()}}
    response = client.post(WHOLE, body("x", wrong))
    assert refused(response) == (400, "INVALID_ARGUMENT", "invalid_file")
    assert response.json()["error"]["details"][0]["metadata"] == {"param": "contents[0].parts[1]"}


def test_a_stop_sequence_ends_the_answer(client: Client, sim: Simulator) -> None:
    told = answer(
        client, "[scene:slow first=0 gap=0.01 count=900]", generationConfig={"stopSequences": ["word 3"]}
    )
    assert read_google(told)[:2] == ("word 0 word 1 word 2 ", "stop")
    wait_until(lambda: not sim.live_conversations())


# Functions and structured output

READ: dict[str, Any] = {
    "name": "read_file",
    "description": "Read a file.",
    "parameters": {"type": "OBJECT", "properties": {"path": {"type": "STRING"}}, "required": ["path"]},
}


def one_turn(client: Client, contents: list[Any], *, is_stream: bool, **fields: Any) -> list[dict[str, Any]]:
    asked = {"contents": contents, "tools": [{"functionDeclarations": [READ]}], **fields}
    if is_stream:
        return [part for chunk in chunks(client, asked) for part in parts_of(chunk)]
    return parts_of(client.post(WHOLE, asked).json())


def calls_of(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    assert all(part["thoughtSignature"] for part in parts if "functionCall" in part)
    return [part["functionCall"] for part in parts if "functionCall" in part]


def responding(call: dict[str, Any]) -> dict[str, Any]:
    result = {"name": call["name"], "response": {"output": f"text of {call['args']['path']}"}}
    return result | ({"id": call["id"]} if "id" in call else {})


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("has_ids", [False, True])
def test_a_client_runs_its_functions_until_the_model_has_its_answer(
    client: Client, *, is_stream: bool, has_ids: bool
) -> None:
    task = "[scene:agent] [agent: read_file path=a & read_file path=b; then read_file path=c; then answer $3]"
    contents: list[Any] = [{"role": "user", "parts": [{"text": task}]}]
    paths = []
    while calls := calls_of(said := one_turn(client, contents, is_stream=is_stream)):
        paths.append([call["args"]["path"] for call in calls])
        if not has_ids:
            for call in calls:
                del call["id"]
        results = [{"functionResponse": responding(call)} for call in calls]
        contents += [{"role": "model", "parts": said}, {"role": "user", "parts": results}]
        assert len(contents) < 9, "the loop does not end"
    assert paths == [["a", "b"], ["c"]]
    assert "".join(part["text"] for part in said) == "text of c"


def test_a_function_that_must_be_called_is_called(client: Client) -> None:
    config = {"mode": "ANY", "allowedFunctionNames": ["read_file"]}
    contents = [{"parts": [{"text": "[scene:agent] [agent: read_file path=a; then answer done]"}]}]
    fields = {"toolConfig": {"functionCallingConfig": config}}
    said = one_turn(client, contents, is_stream=False, **fields)
    assert [part["functionCall"]["name"] for part in said] == ["read_file"]


@pytest.mark.parametrize("is_stream", [False, True])
def test_structured_output_is_json(client: Client, *, is_stream: bool) -> None:
    schema = {"type": "OBJECT", "properties": {"name": {"type": "STRING"}}, "required": ["name"]}
    config = {"responseMimeType": "application/json", "responseSchema": schema}
    asked = body("[scene:agent] Describe a city.", generationConfig=config)
    if is_stream:
        text = "".join(read_google(chunk).text for chunk in chunks(client, asked))
    else:
        text = read_google(client.post(WHOLE, asked).json()).text
    assert isinstance(json.loads(text)["name"], str)


# Counting


def test_tokens_are_counted_without_the_upstream(client: Client, upstream: Upstream) -> None:
    short = client.post(COUNT, google_body("Hello!")).json()
    long = client.post(COUNT, body("Hello! " * 500, systemInstruction="Be brief.")).json()
    assert set(short) == {"totalTokens"}
    assert 0 < short["totalTokens"] < 10
    assert 900 < long["totalTokens"] < 1600
    assert upstream.sim.calls == []


def test_a_count_is_the_answers_usage(client: Client) -> None:
    counted = client.post(COUNT, google_body("One, two, three.")).json()["totalTokens"]
    assert answer(client, "One, two, three.")["usageMetadata"]["promptTokenCount"] == counted


# Errors


@pytest.mark.parametrize(
    "path", ["/v1beta", "/v1beta/", "/v1beta/nothing", "/api/v1beta/model", "/v1beta/files"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_wrong_path_below_it_is_refused_in_its_form(client: Client, method: str, path: str) -> None:
    assert refused(client.request(method, path)) == (404, "NOT_FOUND", "not_found")


@pytest.mark.parametrize("path", ["/v1betax", "/v1/nothing"])
def test_another_wrong_path_is_refused_in_openais_form(client: Client, path: str) -> None:
    assert "type" in client.get(path).json()["error"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", WHOLE), ("POST", GOOGLE), ("PUT", STREAM)],
)
def test_a_wrong_method_is_refused_in_its_form(client: Client, method: str, path: str) -> None:
    response = client.request(method, path)
    assert refused(response) == (405, "NOT_FOUND", "method_not_allowed")
    assert response.headers["allow"]


@pytest.mark.parametrize(
    ("action", "use"), [("embedContent", "/v1/embeddings"), ("predict", "/v1/images"), ("tune", "generateC")]
)
@pytest.mark.parametrize("prefix", ["/v1beta", "/v1", "/api/v1beta"])
def test_another_action_of_googles_is_told_what_to_use(
    client: Client, prefix: str, action: str, use: str
) -> None:
    response = client.post(f"{prefix}/models/x:{action}", {})
    assert response.status_code == 404
    message = response.json()["error"]["message"]
    assert message.startswith("This gateway does not offer ")
    assert use in message
    assert client.get(f"{prefix}/models/x:{action}").status_code == 200, "a model may have such a name"


def test_a_throttled_client_is_told_when_to_come_back_in_the_body_too(client: Client) -> None:
    response = client.post(WHOLE, google_body("[scene:throttled_429]"))
    assert refused(response) == (429, "RESOURCE_EXHAUSTED", "rate_limit_exceeded")
    retry = response.json()["error"]["details"][1]["retryDelay"]
    assert retry == f"{response.headers['retry-after']}s"


def test_the_log_says_that_a_tool_was_left_out(client: Client, gateway: LiveGateway) -> None:
    with logged() as lines:
        answer(client, tools=[{"urlContext": {}}])
        wait_until(gateway.is_idle)
    assert lines[0]["notices"]["ignored_tool"] == 1
