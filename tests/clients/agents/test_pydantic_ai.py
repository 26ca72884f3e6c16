"""pydantic-ai on chat completions: loops, structured output, images, reasoning, errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import AsyncOpenAI
from pydantic_ai import Agent, BinaryContent, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.messages import ThinkingPart
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from simulator.scenes import sample_text
from tests.clients.samples import LOOK, LOOP, PNG, PNG_SEEN, SAID, describe
from tests.clients.tasks import SUZHOU, City, Desk
from tests.conftest import Upstream
from tests.support.client import KEY, Client


@pytest.fixture
async def sdk(client: Client) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{client.url}/v1", api_key=KEY, max_retries=0) as sdk:
        yield sdk


def agent_of(sdk: AsyncOpenAI, **options: Any) -> Agent[None, Any]:
    model = OpenAIChatModel("glm-5.3", provider=OpenAIProvider(openai_client=sdk))
    return Agent(model, instructions="Do as you are asked.", retries=0, **options)


async def run(agent: Agent[None, Any], task: str, *, is_stream: bool) -> Any:
    if not is_stream:
        return (await agent.run(task)).output
    async with agent.run_stream(task) as result:
        return await result.get_output()


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
async def test_a_loop_of_a_dozen_steps_comes_to_its_end(sdk: AsyncOpenAI, *, is_stream: bool) -> None:
    desk = Desk()
    assert await run(agent_of(sdk, tools=desk.tools), LOOP, is_stream=is_stream) == SAID
    desk.check()


async def test_an_image_goes_in(sdk: AsyncOpenAI) -> None:
    result = await agent_of(sdk).run([LOOK, BinaryContent(PNG, media_type="image/png")])
    assert PNG_SEEN in result.output


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
async def test_the_reasoning_is_read(sdk: AsyncOpenAI, *, is_stream: bool) -> None:
    task = "[scene:text chars=300 think=60]"
    if is_stream:
        async with agent_of(sdk).run_stream(task) as result:
            assert await result.get_output() == sample_text(300)
            messages = result.all_messages()
    else:
        messages = (await agent_of(sdk).run(task)).all_messages()
    [thought] = [part for part in messages[-1].parts if isinstance(part, ThinkingPart)]
    assert thought.content == sample_text(60, 2)


@pytest.mark.parametrize(
    ("output", "mistake", "turns", "is_stream"),
    [
        (ToolOutput(City), "", 1, False),
        (ToolOutput(City), "", 1, True),
        (ToolOutput(City), "missing", 2, False),
        (ToolOutput(City), "missing", 2, True),
        (NativeOutput(City), "", 1, False),
        (NativeOutput(City), "", 1, True),
        (NativeOutput(City), "invalid_json", 2, False),
        (PromptedOutput(City), "", 1, False),
        (PromptedOutput(City), "", 1, True),
    ],
)
async def test_structured_output_is_read(
    *, sdk: AsyncOpenAI, upstream: Upstream, output: Any, mistake: str, turns: int, is_stream: bool
) -> None:
    task = describe(mistake, tool="final_result" if isinstance(output, ToolOutput) else "")
    assert await run(agent_of(sdk, output_type=output), task, is_stream=is_stream) == SUZHOU
    assert upstream.count("assistant/stream") == turns


async def test_a_stream_that_gave_a_wrong_value_ends_with_an_error(sdk: AsyncOpenAI) -> None:
    with pytest.raises(ModelAPIError, match="name is missing"):
        await run(agent_of(sdk, output_type=NativeOutput(City)), describe("invalid_json"), is_stream=True)


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("key", "task", "status"),
    [("sk-wrong", "Hello!", 401), (KEY, "[scene:throttled_429]", 429), (KEY, "[scene:error_10040]", 400)],
)
async def test_errors_are_raised(
    *, sdk: AsyncOpenAI, key: str, task: str, status: int, is_stream: bool
) -> None:
    with pytest.raises(ModelHTTPError) as caught:
        await run(agent_of(sdk.with_options(api_key=key)), task, is_stream=is_stream)
    assert caught.value.status_code == status


async def test_an_error_in_mid_stream_is_raised(sdk: AsyncOpenAI) -> None:
    with pytest.raises(ModelAPIError, match="10025"):
        await run(agent_of(sdk), "[scene:error_10025_late]", is_stream=True)
