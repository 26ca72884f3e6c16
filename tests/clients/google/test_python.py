"""Google's SDK for Python against the gateway: it reads what we write, and raises what we mean."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from simulator.scenes import sample_text
from tests.conftest import Upstream
from tests.support.client import KEY, Client

PROMPT = "[scene:text chars=300 think=60]"
MODEL = "glm-5.3"
THOUGHTS = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(include_thoughts=True))


def client_of(client: Client, version: str, key: str = KEY) -> genai.Client:
    options = types.HttpOptions(base_url=client.url, api_version=version)
    return genai.Client(api_key=key, http_options=options)


@pytest.fixture(params=["v1", "v1beta"])
def sdk(client: Client, request: pytest.FixtureRequest) -> Iterator[genai.Client]:
    sdk = client_of(client, request.param)
    yield sdk
    sdk.close()


def test_an_answer_is_read(sdk: genai.Client) -> None:
    answer = sdk.models.generate_content(model=MODEL, contents=PROMPT, config=THOUGHTS)
    assert answer.text == sample_text(300)
    assert answer.parts is not None
    thought, text = answer.parts
    assert (thought.thought, thought.text) == (True, sample_text(60, 2))
    assert text.thought is None
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.usage_metadata is not None
    assert (answer.usage_metadata.thoughts_token_count or 0) > 0
    assert (answer.usage_metadata.candidates_token_count or 0) > 50


@pytest.mark.parametrize("heartbeat_s", ["15", "0.05"])
def test_a_stream_is_read_with_and_without_heartbeats(
    sdk: genai.Client, environment: pytest.MonkeyPatch, heartbeat_s: str
) -> None:
    environment.setenv("HEARTBEAT_S", heartbeat_s)
    prompt = "[scene:slow first=0.3 gap=0.2 count=3]"
    chunks = list(sdk.models.generate_content_stream(model=MODEL, contents=prompt))
    assert "".join(chunk.text or "" for chunk in chunks) == "word 0 word 1 word 2 "
    assert chunks[-1].candidates is not None
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
    assert chunks[-1].usage_metadata is not None


async def test_an_asynchronous_client_reads_a_stream(
    sdk: genai.Client, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("HEARTBEAT_S", "0.05")
    async with sdk.aio as aio:
        answer = await aio.models.generate_content_stream(model=MODEL, contents=PROMPT)
        assert "".join([chunk.text or "" async for chunk in answer]) == sample_text(300)


def test_a_chat_keeps_its_history(sdk: genai.Client, upstream: Upstream) -> None:
    chat = sdk.chats.create(model=MODEL)
    # Words that come together go out as one chunk. These come far apart, so that there are several.
    chunks = list(chat.send_message_stream("[scene:slow first=0 gap=0.3 count=4]"))
    assert len(chunks) > 2
    answer = chat.send_message("[scene:echo] And now?")
    assert "And now?" in (answer.text or "")
    assert len(chat.get_history(curated=True)) > 4, "a content for each chunk, and for each message"
    prompt = upstream.chats()[1]["messages"][0]["content"][0]["text"]
    assert "word 0 word 1 word 2 word 3" in prompt, "all of them are one turn"


def test_images_go_in(sdk: genai.Client) -> None:
    png = b"\x89PNG\r\n\x1a\n" + bytes(99)
    parts: Any = [types.Part.from_bytes(data=png, mime_type="image/png"), "[scene:files] What?"]
    answer = sdk.models.generate_content(model=MODEL, contents=parts)
    assert sha256(png).hexdigest() in (answer.text or "")


def test_functions_are_called_by_the_sdk_itself(sdk: genai.Client) -> None:
    asked: list[str] = []

    def read_file(path: str) -> str:
        """Read a file."""
        asked.append(path)
        return f"text of {path}"

    task = "[scene:agent] [agent: read_file path=a & read_file path=b; then read_file path=c; then answer $3]"
    config = types.GenerateContentConfig(tools=[read_file])
    answer = sdk.models.generate_content(model=MODEL, contents=task, config=config)
    assert asked == ["a", "b", "c"]
    assert "text of c" in (answer.text or "")


def test_declared_functions_come_back_as_calls_of_a_stream(sdk: genai.Client) -> None:
    schema = types.Schema(type=types.Type.OBJECT, properties={"path": types.Schema(type=types.Type.STRING)})
    declared = types.FunctionDeclaration(name="read_file", description="Read a file.", parameters=schema)
    config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[declared])])
    task = "[scene:agent] [agent: read_file path=a; then answer done]"
    chunks = list(sdk.models.generate_content_stream(model=MODEL, contents=task, config=config))
    [call] = [call for chunk in chunks for call in chunk.function_calls or ()]
    assert (call.name, call.args) == ("read_file", {"path": "a"})
    assert call.id


class City(BaseModel):
    name: str
    people: int


def test_structured_output_is_parsed(sdk: genai.Client) -> None:
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=City)
    answer = sdk.models.generate_content(
        model=MODEL, contents="[scene:agent] Describe a city.", config=config
    )
    assert isinstance(answer.parsed, City)


def test_the_sources_of_a_search_are_read(sdk: genai.Client) -> None:
    config = types.GenerateContentConfig(tools=[types.Tool(google_search=types.GoogleSearch())])
    answer = sdk.models.generate_content(model=MODEL, contents="[scene:web_search]", config=config)
    assert answer.candidates is not None
    grounding = answer.candidates[0].grounding_metadata
    assert grounding is not None
    assert grounding.grounding_chunks is not None
    assert grounding.grounding_chunks[0].web is not None
    assert grounding.grounding_chunks[0].web.uri == "https://example.com/szx"
    assert grounding.grounding_supports


def test_moderation_is_seen(sdk: genai.Client) -> None:
    answer = sdk.models.generate_content(model=MODEL, contents="[scene:intervene]")
    assert answer.prompt_feedback is not None
    assert answer.prompt_feedback.block_reason == types.BlockedReason.SAFETY
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason == types.FinishReason.SAFETY


def test_tokens_are_counted_and_models_listed(sdk: genai.Client) -> None:
    assert (sdk.models.count_tokens(model=MODEL, contents="Hello!").total_tokens or 0) > 0
    assert "models/glm-5.3" in {model.name for model in sdk.models.list()}
    model = sdk.models.get(model=MODEL)
    assert (model.name, model.input_token_limit) == ("models/glm-5.3", 1_000_000)


def said(sdk: genai.Client, prompt: str, *, is_stream: bool) -> list[types.GenerateContentResponse]:
    if is_stream:
        return list(sdk.models.generate_content_stream(model=MODEL, contents=prompt))
    return [sdk.models.generate_content(model=MODEL, contents=prompt)]


@pytest.mark.parametrize(
    ("scene", "kind", "status", "name"),
    [
        ("error_10040", errors.ClientError, 400, "INVALID_ARGUMENT"),
        ("throttled_429", errors.ClientError, 429, "RESOURCE_EXHAUSTED"),
        ("html_403", errors.ServerError, 502, "UNAVAILABLE"),
    ],
)
@pytest.mark.parametrize("is_stream", [False, True])
def test_errors_are_raised(
    *, sdk: genai.Client, scene: str, kind: type[errors.APIError], status: int, name: str, is_stream: bool
) -> None:
    with pytest.raises(kind) as caught:
        said(sdk, f"[scene:{scene}]", is_stream=is_stream)
    assert (caught.value.code, caught.value.status) == (status, name)


def test_a_wrong_key_is_refused(client: Client) -> None:
    with client_of(client, "v1", "no") as sdk, pytest.raises(errors.ClientError) as caught:
        sdk.models.generate_content(model=MODEL, contents="x")
    assert (caught.value.code, caught.value.status) == (401, "UNAUTHENTICATED")
