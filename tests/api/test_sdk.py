"""The official SDK against a live server: it reads what we write, and raises what we mean."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from simulator.scenes import sample_text
from tests.conftest import Upstream
from tests.support.client import KEY, Client

PROMPT = "[scene:text chars=300 think=60]"


def asked(prompt: str) -> Any:
    return [{"role": "user", "content": prompt}]


@pytest.fixture
def sdk(client: Client) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{client.url}/v1", api_key=KEY, max_retries=0) as sdk:
        yield sdk


@pytest.fixture
async def async_sdk(client: Client) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{client.url}/v1", api_key=KEY, max_retries=0) as sdk:
        yield sdk


def test_a_completion_is_read(sdk: OpenAI) -> None:
    answer = sdk.chat.completions.create(model="glm-5.3", messages=asked(PROMPT))
    [choice] = answer.choices
    assert choice.message.content == sample_text(300)
    assert choice.message.model_extra == {"reasoning_content": sample_text(60, 2)}
    assert choice.finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    assert answer.model == "glm-5.3"
    assert answer._request_id


def test_a_stream_is_read(sdk: OpenAI) -> None:
    options: Any = {"include_usage": True}
    chunks = list(
        sdk.chat.completions.create(
            model="glm-5.3", messages=asked(PROMPT), stream=True, stream_options=options
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == sample_text(300)
    assert chunks[-1].usage is not None
    assert chunks[-2].choices[0].finish_reason == "stop"


async def test_the_asynchronous_client_reads_both(async_sdk: AsyncOpenAI) -> None:
    answer = await async_sdk.chat.completions.create(model="glm-5.3", messages=asked(PROMPT))
    assert answer.choices[0].message.content == sample_text(300)
    stream = await async_sdk.chat.completions.create(model="glm-5.3", messages=asked(PROMPT), stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == sample_text(300)


def test_the_streaming_helper_accumulates_what_the_whole_answer_says(sdk: OpenAI) -> None:
    with sdk.chat.completions.stream(model="glm-5.3", messages=asked("[scene:web_search]")) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    whole = sdk.chat.completions.create(model="glm-5.3", messages=asked("[scene:web_search]"))
    assert kinds[-1] == "content.done"
    assert final.choices[0].message.content == whole.choices[0].message.content
    assert final.choices[0].finish_reason == "stop"
    assert len(whole.choices[0].message.annotations or []) == 4


async def test_the_asynchronous_streaming_helper_does_too(async_sdk: AsyncOpenAI) -> None:
    async with async_sdk.chat.completions.stream(model="glm-5.3", messages=asked(PROMPT)) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == sample_text(300)


def test_headers_can_be_read(sdk: OpenAI) -> None:
    raw = sdk.chat.completions.with_raw_response.create(model="glm-5.3", messages=asked(PROMPT))
    assert raw.headers["x-glm-model"] == "moe_53"
    assert raw.parse().choices[0].message.content == sample_text(300)


def test_a_conversation_goes_on_over_two_turns(sdk: OpenAI, upstream: Upstream) -> None:
    first = sdk.chat.completions.create(
        model="glm-5.3", messages=asked("My name is Ada."), extra_body={"conversation_id": ""}
    )
    messages = [*asked("My name is Ada."), first.choices[0].message, *asked("What did I say first?")]
    second = sdk.chat.completions.create(
        model="glm-5.3", messages=messages, extra_body={"conversation_id": first.id}
    )
    assert "My name is Ada." in str(second.choices[0].message.content)
    assert upstream.chats()[1]["messages"][0]["content"][0]["text"] == "What did I say first?"


def test_models_are_listed_and_retrieved(sdk: OpenAI) -> None:
    models = list(sdk.models.list())
    assert "glm-5.3" in [model.id for model in models]
    assert sdk.models.retrieve("glm-5.3") in models


@pytest.mark.parametrize(
    ("scene", "error", "status", "code"),
    [
        ("throttled_429", openai.RateLimitError, 429, "rate_limit_exceeded"),
        ("error_10040", openai.BadRequestError, 400, "context_length_exceeded"),
        ("internal_500", openai.InternalServerError, 502, "upstream_error"),
        ("unauthorized_40102", openai.InternalServerError, 503, "no_account_available"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_is_raised_as_what_it_is(
    *,
    sdk: OpenAI,
    upstream: Upstream,
    scene: str,
    error: type[openai.APIStatusError],
    status: int,
    code: str,
    stream: bool,
) -> None:
    upstream.sim.play(scene, times=3)
    with pytest.raises(error) as caught:
        sdk.chat.completions.create(model="glm-5.3", messages=asked("Hello!"), stream=stream)
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert caught.value.request_id


def test_a_wrong_key_an_unknown_model_and_an_unknown_conversation_are_told_apart(
    sdk: OpenAI,
) -> None:
    with pytest.raises(openai.AuthenticationError) as refused:
        sdk.with_options(api_key="sk-wrong").models.list()
    assert refused.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError) as unknown:
        sdk.models.retrieve("api/glm-5.3")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError) as lost:
        sdk.chat.completions.create(
            model="glm-5.3", messages=asked("Hello!"), extra_body={"conversation_id": "0" * 24}
        )
    assert lost.value.code == "conversation_not_found"
    with pytest.raises(openai.BadRequestError) as wrong:
        sdk.chat.completions.create(model="glm-5.3", messages=asked("Hello!"), n=2)
    assert wrong.value.param == "n"


@pytest.mark.parametrize("scene", ["error_10025_late", "early_close", "abort"])
def test_an_error_in_mid_stream_is_raised_and_never_looks_complete(sdk: OpenAI, scene: str) -> None:
    seen: list[str | None] = []

    def read() -> None:
        for chunk in sdk.chat.completions.create(
            model="glm-5.3", messages=asked(f"[scene:{scene}]"), stream=True
        ):
            seen.extend(choice.finish_reason for choice in chunk.choices)

    with pytest.raises(openai.APIError) as caught:
        read()
    assert caught.value.code == "upstream_error"
    assert set(seen) == {None}


def test_a_throttle_tells_the_sdk_when_to_come_again(sdk: OpenAI, upstream: Upstream) -> None:
    upstream.sim.play("throttled_429")
    with pytest.raises(openai.RateLimitError) as caught:
        sdk.chat.completions.create(model="glm-5.3", messages=asked("Hello!"))
    assert 25 <= int(caught.value.response.headers["retry-after"]) <= 31
