"""Anthropic's SDK for Python against the gateway: it reads what we write, and raises what we mean."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic

from lib.chat.events import (
    Finished,
    ReasoningDelta,
    ReplyEvent,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from simulator.scenes import sample_text
from tests.clients.anthropic.canned import serving, url_of
from tests.support.client import KEY, Client

PROMPT = "[scene:text chars=300 think=60]"
CALLS: list[ReplyEvent] = [
    Started("66f0c1", "glm-5.3"),
    ReasoningDelta("Two things."),
    TextDelta("I add."),
    ToolCallDelta(0, '{"a":', "toolu_1", "add"),
    ToolCallDelta(0, "1}"),
    ToolCallDelta(1, "", "toolu_2", "now"),
    Finished("tool_calls", Usage(5, 7)),
]


def asked(content: Any, **fields: Any) -> Any:
    asked = {"model": "glm-5.3", "max_tokens": 1024}
    return {**asked, "messages": [{"role": "user", "content": content}], **fields}


@pytest.fixture
def sdk(client: Client) -> Iterator[Anthropic]:
    with Anthropic(base_url=client.url, api_key=KEY, max_retries=0) as sdk:
        yield sdk


def test_a_message_is_read(sdk: Anthropic) -> None:
    message = sdk.messages.create(**asked(PROMPT))
    thinking, text = message.content
    assert thinking.type == "thinking"
    assert thinking.thinking == sample_text(60, 2)
    assert text.type == "text"
    assert text.text == sample_text(300)
    assert (message.stop_reason, message.role, message.model) == ("end_turn", "assistant", "glm-5.3")
    assert message.usage.output_tokens > 50


def test_a_stream_is_read(sdk: Anthropic) -> None:
    with sdk.messages.stream(**asked(PROMPT)) as stream:
        assert "".join(stream.text_stream) == sample_text(300)
        message = stream.get_final_message()
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 50


def test_a_raw_stream_and_its_pings_are_read(sdk: Anthropic, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HEARTBEAT_S", "0.05")
    prompt = "[scene:slow first=0.3 gap=0.2 count=2]"
    events = list(sdk.messages.create(**asked(prompt), stream=True))
    assert events[0].type == "message_start"
    assert events[-1].type == "message_stop"
    said = [event.delta for event in events if event.type == "content_block_delta"]
    assert "".join(delta.text for delta in said if delta.type == "text_delta") == "word 0 word 1 "


async def test_the_asynchronous_client_reads_both(client: Client) -> None:
    async with AsyncAnthropic(base_url=client.url, auth_token=KEY, api_key=None, max_retries=0) as sdk:
        message = await sdk.messages.create(**asked(PROMPT))
        assert message.content[-1].type == "text"
        async with sdk.messages.stream(**asked(PROMPT)) as stream:
            assert await stream.get_final_text() == sample_text(300)


def test_citations_and_results_of_a_search_are_read(sdk: Anthropic) -> None:
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    with sdk.messages.stream(**asked("[scene:web_search]", tools=tools)) as stream:
        message = stream.get_final_message()
    [text] = [block for block in message.content if block.type == "text"]
    [result] = [block for block in message.content if block.type == "web_search_tool_result"]
    assert text.citations
    assert isinstance(result.content, list)
    assert {hit.url for hit in result.content} == {
        place.url for place in text.citations if place.type == "web_search_result_location"
    }
    assert message.usage.server_tool_use
    # The SDK sends blocks back as it got them.
    told = [{"role": "assistant", "content": message.content}, {"role": "user", "content": "Thanks."}]
    again = sdk.messages.create(**asked(PROMPT) | {"messages": told})
    assert again.stop_reason == "end_turn"


def test_images_go_in(sdk: Anthropic) -> None:
    png = b"\x89PNG\r\n\x1a\n" + bytes(99)
    data = base64.b64encode(png).decode()
    blocks = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
        {"type": "text", "text": "[scene:files] What is this?"},
    ]
    [text] = sdk.messages.create(**asked(blocks)).content
    assert text.type == "text"
    assert sha256(png).hexdigest() in text.text


def test_tokens_are_counted(sdk: Anthropic) -> None:
    counted = sdk.messages.count_tokens(
        model="glm-5.3", messages=[{"role": "user", "content": "One two three."}]
    )
    assert 3 < counted.input_tokens < 20


@pytest.mark.parametrize("is_stream", [False, True])
def test_calls_of_tools_are_read(*, is_stream: bool) -> None:
    with serving(CALLS) as server, Anthropic(base_url=url_of(server), api_key=KEY) as sdk:
        if is_stream:
            with sdk.messages.stream(**asked("x")) as stream:
                message = stream.get_final_message()
        else:
            message = sdk.messages.create(**asked("x"))
    assert message.stop_reason == "tool_use"
    calls = [block for block in message.content if block.type == "tool_use"]
    assert [(call.id, call.name, call.input) for call in calls] == [
        ("toolu_1", "add", {"a": 1}),
        ("toolu_2", "now", {}),
    ]


@pytest.mark.parametrize(
    ("scene", "raised", "env"),
    [
        ("error_10040", anthropic.BadRequestError, {}),
        ("throttled_429", anthropic.RateLimitError, {}),
        ("html_403", anthropic.InternalServerError, {}),
        ("silence", anthropic.InternalServerError, {"FIRST_CONTENT_TIMEOUT_S": "0.2"}),
    ],
)
@pytest.mark.parametrize("is_stream", [False, True])
def test_errors_are_raised(
    *,
    sdk: Anthropic,
    environment: pytest.MonkeyPatch,
    scene: str,
    raised: type[anthropic.APIStatusError],
    env: dict[str, str],
    is_stream: bool,
) -> None:
    for name, value in env.items():
        environment.setenv(name, value)
    with pytest.raises(raised) as caught:
        sdk.messages.create(**asked(f"[scene:{scene}]", stream=is_stream))
    body: Any = caught.value.body
    assert body["request_id"] == caught.value.response.headers["x-request-id"]


def test_a_wrong_key_is_raised(client: Client) -> None:
    with (
        Anthropic(base_url=client.url, api_key="wrong", max_retries=0) as sdk,
        pytest.raises(anthropic.AuthenticationError),
    ):
        sdk.messages.create(**asked("x"))


def test_an_error_in_mid_stream_is_raised_after_what_was_said(sdk: Anthropic) -> None:
    said: list[str] = []
    with sdk.messages.stream(**asked("[scene:error_10025_late]")) as stream:
        with pytest.raises(anthropic.APIStatusError) as caught:
            said.extend(stream.text_stream)
        assert caught.value.type == "api_error"
    assert "".join(said) == "Half of an answer, "


READ: Any = {
    "name": "read_file",
    "description": "Read a file.",
    "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
}


def turn(sdk: Anthropic, messages: list[Any], *, is_stream: bool) -> Any:
    fields = asked("", tools=[READ]) | {"messages": messages}
    if not is_stream:
        return sdk.messages.create(**fields)
    with sdk.messages.stream(**fields) as stream:
        return stream.get_final_message()


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_loop_over_several_turns_comes_to_its_end(sdk: Anthropic, *, is_stream: bool) -> None:
    task = "[scene:agent] [agent: read_file path=a & read_file path=b; then read_file path=c; then answer $3]"
    messages: list[Any] = [{"role": "user", "content": task}]
    paths: list[str] = []
    message = turn(sdk, messages, is_stream=is_stream)
    while message.stop_reason == "tool_use":
        assert len(messages) < 9, "the loop does not end"
        calls: list[Any] = [block for block in message.content if block.type == "tool_use"]
        paths += [call.input["path"] for call in calls]
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": f"text of {call.input['path']}"}
            for call in calls
        ]
        messages += [{"role": "assistant", "content": message.content}, {"role": "user", "content": results}]
        message = turn(sdk, messages, is_stream=is_stream)
    assert paths == ["a", "b", "c"]
    assert (message.stop_reason, message.content[-1].type) == ("end_turn", "text")
    assert message.content[-1].text == "text of c"


def test_structured_output_is_read(sdk: Anthropic) -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    config = {"format": {"type": "json_schema", "schema": schema}}
    [text] = sdk.messages.create(**asked("[scene:agent] Name a city.", output_config=config)).content
    assert text.type == "text"
    assert isinstance(json.loads(text.text)["name"], str)
