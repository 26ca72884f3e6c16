"""instructor on chat completions: response models in its modes, streamed and not; errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import instructor
import openai
import pytest
from instructor import Mode
from instructor.core.exceptions import InstructorRetryException
from openai import OpenAI

from tests.clients.samples import describe
from tests.clients.tasks import SUZHOU, City
from tests.conftest import Upstream
from tests.support.client import KEY, Client


@pytest.fixture
def sdk(client: Client) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{client.url}/v1", api_key=KEY, max_retries=0) as sdk:
        yield sdk


def asked(task: str) -> Any:
    messages = [{"role": "user", "content": task}]
    return {"model": "glm-5.3", "messages": messages, "response_model": City, "max_retries": 0}


@pytest.mark.parametrize(
    ("mode", "mistake", "turns"),
    [
        (Mode.TOOLS, "", 1),
        (Mode.TOOLS, "missing", 2),
        (Mode.JSON, "", 1),
        (Mode.JSON_SCHEMA, "", 1),
        (Mode.JSON_SCHEMA, "invalid_json", 2),
    ],
)
def test_a_response_model_is_filled(
    sdk: OpenAI, upstream: Upstream, mode: Mode, mistake: str, turns: int
) -> None:
    task = describe(mistake, tool="City" if mode is Mode.TOOLS else "")
    city = instructor.from_openai(sdk, mode=mode).chat.completions.create(**asked(task))
    assert isinstance(city, City)
    assert city.model_dump() == SUZHOU.model_dump()
    assert upstream.count("assistant/stream") == turns


@pytest.mark.parametrize(
    ("mode", "mistake", "turns"),
    [
        (Mode.TOOLS, "", 1),
        (Mode.TOOLS, "missing", 2),
        (Mode.JSON, "", 1),
        (Mode.JSON_SCHEMA, "", 1),
    ],
)
def test_a_partial_response_model_grows_to_the_whole_one(
    sdk: OpenAI, upstream: Upstream, mode: Mode, mistake: str, turns: int
) -> None:
    task = describe(mistake, tool="PartialCity" if mode is Mode.TOOLS else "")
    partial = instructor.from_openai(sdk, mode=mode).chat.completions.create_partial(**asked(task))
    *_, last = partial
    assert last.model_dump() == SUZHOU.model_dump()
    assert upstream.count("assistant/stream") == turns


@pytest.mark.parametrize("mode", [Mode.TOOLS, Mode.JSON_SCHEMA])
@pytest.mark.parametrize(
    ("key", "task", "raised"),
    [
        ("sk-wrong", "Hello!", openai.AuthenticationError),
        (KEY, "[scene:throttled_429]", openai.RateLimitError),
        (KEY, "[scene:error_10040]", openai.BadRequestError),
    ],
)
def test_errors_are_raised(sdk: OpenAI, mode: Mode, key: str, task: str, raised: type[Exception]) -> None:
    wrapped = instructor.from_openai(sdk.with_options(api_key=key), mode=mode)
    with pytest.raises(InstructorRetryException) as caught:
        wrapped.chat.completions.create(**asked(task))
    error = caught.value.__cause__
    assert isinstance(error, raised)
