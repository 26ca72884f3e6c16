"""Anthropic's published types hold our answers: its SDK itself reads them without any check."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic import Anthropic, BadRequestError
from anthropic.types import ErrorResponse, Message, MessageTokensCount, ModelInfo, RawMessageStreamEvent
from pydantic import BaseModel, TypeAdapter

from tests.support.client import KEY, Client

EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
VERSION = {"anthropic-version": "2023-06-01"}
TOOL = {"name": "save", "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}}}
ASKED: dict[str, dict[str, Any]] = {
    "text": {},
    "[scene:text chars=90 think=60]": {},
    "[scene:web_search]": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    "[scene:intervene]": {},
    "[scene:text chars=900]": {"max_tokens": 5},
    "Take any tool.": {"tools": [TOOL], "tool_choice": {"type": "any"}},
}


def body(prompt: str, **fields: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": prompt}], **fields}


@pytest.mark.parametrize("prompt", ASKED)
def test_a_message_is_of_its_type(client: Client, prompt: str) -> None:
    response = client.post("/v1/messages", body(prompt, **ASKED[prompt]))
    assert not extras(Message.model_validate_json(response.text, strict=True))


@pytest.mark.parametrize("prompt", ASKED)
def test_every_event_is_of_its_type(client: Client, prompt: str) -> None:
    response = client.post("/v1/messages", body(prompt, stream=True, **ASKED[prompt]))
    assert response.status_code == 200
    records = [record for record in response.text.split("\n\n") if record and "event: ping" not in record]
    events = [EVENT.validate_json(record.partition("data: ")[2], strict=True) for record in records]
    assert [events[0].type, events[-1].type] == ["message_start", "message_stop"]
    assert not [extra for event in events for extra in extras(event)]


def test_the_small_answers_are_of_their_types(client: Client) -> None:
    error = ErrorResponse.model_validate_json(client.post("/v1/messages", {}).text, strict=True)
    assert extras(error) == ["code", "param"], "ours, beside Anthropic's own"
    count = client.post("/v1/messages/count_tokens", body("Hi"))
    assert MessageTokensCount.model_validate_json(count.text, strict=True).input_tokens > 0
    model = client.get("/v1/models/glm-5.3", headers=VERSION | {"x-api-key": KEY})
    assert not extras(ModelInfo.model_validate(model.json()))


def extras(value: object) -> list[str]:
    """Name the fields of a model, and of all models in it, that its type does not have."""
    if isinstance(value, list):
        return [extra for one in value for extra in extras(one)]
    if not isinstance(value, BaseModel):
        return []
    inner = [extra for one in vars(value).values() for extra in extras(one)]
    return [*(value.model_extra or {}), *inner]


def test_the_check_sees_a_strange_field() -> None:
    usage = {"input_tokens": 1, "output_tokens": 1, "strange": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
    ending = {"stop_reason": "end_turn", "stop_sequence": None}
    assert extras(Message.model_validate({**message, **ending, "usage": usage})) == ["strange"]


def test_the_sdk_knows_the_requests_id_of_an_answer_and_of_an_error(client: Client) -> None:
    with Anthropic(base_url=client.url, api_key=KEY, max_retries=0) as sdk:
        message = sdk.messages.create(**body("Hi"))
        assert message._request_id
        with pytest.raises(BadRequestError) as caught:
            sdk.messages.create(**body(""))
    assert caught.value.request_id == caught.value.response.headers["x-request-id"]
