"""litellm as a client, on chat completions and on Anthropic's messages: loops, objects, images, errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import litellm
import pytest

from simulator.scenes import sample_text
from tests.clients.samples import LOOK, LOOP, PNG_SEEN, PNG_URL, SAID, describe
from tests.clients.tasks import SUZHOU, City, Desk, Step
from tests.conftest import Upstream
from tests.support.client import KEY, Client

# litellm 1.106.2 warns of its own types.
pytestmark = pytest.mark.filterwarnings("ignore:.*TypedDict class:UserWarning", "ignore:Pydantic serializer")

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": words,
            "parameters": {"type": "object", "properties": properties, "required": [*properties]},
        },
    }
    for name, words, properties in (
        ("write_file", "Write a file.", {"path": {"type": "string"}, "content": {"type": "string"}}),
        ("read_file", "Read a file.", {"path": {"type": "string"}, "limit": {"type": "integer"}}),
        ("plan", "Replace the plan.", {"steps": {"type": "array", "items": Step.model_json_schema()}}),
        ("find_text", "Search the project's text.", {"words": {"type": "string"}}),
    )
]
BOTH = pytest.mark.parametrize("provider", ["openai", "anthropic"])
STREAMED = pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])


def ask(
    client: Client, provider: str, messages: list[Any] | str, *, is_stream: bool = False, **fields: Any
) -> Any:
    """Return the whole answer; litellm puts it together from the chunks of a stream."""
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    base = f"{client.url}/v1" if provider == "openai" else client.url
    asked = {"api_base": base, "api_key": KEY, "max_retries": 0, "messages": messages, **fields}
    answer = litellm.completion(model=f"{provider}/glm-5.3", stream=is_stream, **asked)
    return litellm.stream_chunk_builder(list(answer), messages=messages) if is_stream else answer


@BOTH
@STREAMED
def test_a_text_is_read(client: Client, provider: str, *, is_stream: bool) -> None:
    answer = ask(client, provider, "[scene:text chars=300 think=60]", is_stream=is_stream)
    assert answer.choices[0].message.content == sample_text(300)
    assert answer.choices[0].message.reasoning_content == sample_text(60, 2)
    assert answer.choices[0].finish_reason == "stop"


@BOTH
@STREAMED
def test_a_loop_of_a_dozen_steps_comes_to_its_end(client: Client, provider: str, *, is_stream: bool) -> None:
    desk = Desk()
    tools: dict[str, Callable[..., str]] = {tool.__name__: tool for tool in desk.tools}
    messages: list[Any] = [{"role": "user", "content": LOOP}]
    message = ask(client, provider, messages, tools=TOOLS, is_stream=is_stream).choices[0].message
    while message.tool_calls:
        assert len(messages) < 30, "the loop does not end"
        messages.append(message.model_dump())
        for call in message.tool_calls:
            arguments = json.loads(call.function.arguments)
            if "steps" in arguments:
                arguments["steps"] = [Step(**step) for step in arguments["steps"]]
            result = tools[call.function.name](**arguments)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
        message = ask(client, provider, messages, tools=TOOLS, is_stream=is_stream).choices[0].message
    assert message.content == SAID
    desk.check()


@BOTH
def test_an_image_goes_in(client: Client, provider: str) -> None:
    image = {"type": "image_url", "image_url": {"url": PNG_URL}}
    message = {"role": "user", "content": [{"type": "text", "text": LOOK}, image]}
    assert PNG_SEEN in ask(client, provider, [message]).choices[0].message.content


@pytest.mark.parametrize(("mistake", "turns"), [("", 1), ("invalid_json", 2)])
def test_structured_output_is_read(client: Client, upstream: Upstream, mistake: str, turns: int) -> None:
    answer = ask(client, "openai", describe(mistake), response_format=City)
    assert City.model_validate_json(answer.choices[0].message.content) == SUZHOU
    assert upstream.count("assistant/stream") == turns


def test_a_response_is_read(client: Client) -> None:
    answer = litellm.responses(
        model="openai/glm-5.3", input="[scene:text chars=300]", api_base=f"{client.url}/v1", api_key=KEY
    )
    assert isinstance(answer, litellm.ResponsesAPIResponse)
    assert answer.output_text == sample_text(300)


@BOTH
@STREAMED
@pytest.mark.parametrize(
    ("key", "task", "raised"),
    [
        ("sk-wrong", "Hello!", litellm.AuthenticationError),
        (KEY, "[scene:throttled_429]", litellm.RateLimitError),
    ],
)
def test_errors_are_raised(
    *, client: Client, provider: str, key: str, task: str, raised: type[Exception], is_stream: bool
) -> None:
    with pytest.raises(raised):
        ask(client, provider, task, api_key=key, is_stream=is_stream)


@BOTH
def test_an_error_in_mid_stream_is_raised(client: Client, provider: str) -> None:
    with pytest.raises(litellm.exceptions.MidStreamFallbackError, match="10025"):
        ask(client, provider, "[scene:error_10025_late]", is_stream=True)
