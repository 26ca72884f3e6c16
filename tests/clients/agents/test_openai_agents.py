"""openai-agents on chat completions: loops, structured output, images, errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI

from tests.clients.samples import LOOK, LOOP, PNG_SEEN, PNG_URL, SAID, describe
from tests.clients.tasks import SUZHOU, City, Desk
from tests.conftest import Upstream
from tests.support.client import KEY, Client

set_tracing_disabled(disabled=True)


@pytest.fixture
async def sdk(client: Client) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{client.url}/v1", api_key=KEY, max_retries=0) as sdk:
        yield sdk


async def run(agent: Agent[None], task: Any, *, is_stream: bool) -> Any:
    if not is_stream:
        return (await Runner.run(agent, task, max_turns=20)).final_output
    result = Runner.run_streamed(agent, task, max_turns=20)
    events = [event.type async for event in result.stream_events()]
    assert "raw_response_event" in events
    return result.final_output


def agent_of(sdk: AsyncOpenAI, **options: Any) -> Agent[None]:
    model = OpenAIChatCompletionsModel("glm-5.3", sdk)
    return Agent("tester", instructions="Do as you are asked.", model=model, **options)


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
async def test_a_loop_of_a_dozen_steps_comes_to_its_end(sdk: AsyncOpenAI, *, is_stream: bool) -> None:
    desk = Desk()
    agent = agent_of(sdk, tools=[function_tool(tool) for tool in desk.tools])
    assert await run(agent, LOOP, is_stream=is_stream) == SAID
    desk.check()


async def test_an_image_goes_in(sdk: AsyncOpenAI) -> None:
    image = {"type": "input_image", "image_url": PNG_URL, "detail": "auto"}
    task = [{"role": "user", "content": [{"type": "input_text", "text": LOOK}, image]}]
    assert PNG_SEEN in await run(agent_of(sdk), task, is_stream=False)


@pytest.mark.parametrize(
    ("mistake", "turns", "is_stream"), [("", 1, False), ("", 1, True), ("invalid_json", 2, False)]
)
async def test_structured_output_is_read(
    *, sdk: AsyncOpenAI, upstream: Upstream, mistake: str, turns: int, is_stream: bool
) -> None:
    agent = agent_of(sdk, output_type=City)
    assert await run(agent, describe(mistake), is_stream=is_stream) == SUZHOU
    assert upstream.count("assistant/stream") == turns


async def test_a_stream_that_gave_a_wrong_value_ends_with_an_error(sdk: AsyncOpenAI) -> None:
    with pytest.raises(openai.APIError, match="name is missing"):
        await run(agent_of(sdk, output_type=City), describe("invalid_json"), is_stream=True)


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("key", "task", "raised"),
    [
        ("sk-wrong", "Hello!", openai.AuthenticationError),
        (KEY, "[scene:throttled_429]", openai.RateLimitError),
        (KEY, "[scene:error_10040]", openai.BadRequestError),
    ],
)
async def test_errors_are_raised(
    *, sdk: AsyncOpenAI, key: str, task: str, raised: type[Exception], is_stream: bool
) -> None:
    with pytest.raises(raised):
        await run(agent_of(sdk.with_options(api_key=key)), task, is_stream=is_stream)


async def test_an_error_in_mid_stream_is_raised(sdk: AsyncOpenAI) -> None:
    with pytest.raises(openai.APIError, match="10025"):
        await run(agent_of(sdk), "[scene:error_10025_late]", is_stream=True)
