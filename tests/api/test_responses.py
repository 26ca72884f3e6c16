"""/v1/responses over a real socket: what a client of OpenAI's newer API gets, and how it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from simulator.app import Simulator
from simulator.scenes import sample_text
from tests.conftest import SimulatedAccount, Upstream
from tests.support.client import KEY, Client, error_of
from tests.support.live import LiveGateway
from tests.support.log import logged
from tests.support.waiting import wait_until

PATH = "/v1/responses"
STREAM_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def ask(client: Client, input_: Any = "Hello!", **fields: Any) -> httpx.Response:
    return client.post(PATH, {"model": "glm-5.3-flash", "input": input_, **fields})


def answer(client: Client, input_: Any = "Hello!", **fields: Any) -> dict[str, Any]:
    response = ask(client, input_, **fields)
    assert response.status_code == 200, response.text
    Response.model_validate_json(response.content, strict=True)
    told: dict[str, Any] = response.json()
    return told


def events(client: Client, input_: Any = "Hello!", **fields: Any) -> list[dict[str, Any]]:
    response = ask(client, input_, stream=True, **fields)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    records = [record for record in response.text.split("\n\n") if record and not record.startswith(":")]
    told = []
    for number, record in enumerate(records):
        name, _, data = record.partition("\n")
        event = json.loads(data.removeprefix("data: "))
        STREAM_EVENT.validate_json(data.removeprefix("data: "), strict=True)
        assert name == f"event: {event['type']}"
        assert event["sequence_number"] == number
        told.append(event)
    return told


def text_of(told: dict[str, Any]) -> str:
    return "".join(
        part["text"] for item in told["output"] if item["type"] == "message" for part in item["content"]
    )


def all_deleted(sim: Simulator) -> None:
    wait_until(lambda: not sim.live_conversations(), what="every conversation is deleted")


@pytest.mark.parametrize(
    "scene", ["text chars=700 think=90", "web_search", "think_beside_text", "increments_equal_neighbours"]
)
def test_streamed_and_whole_say_the_same(client: Client, sim: Simulator, scene: str) -> None:
    sim.play(scene, times=2)
    whole = answer(client)
    *_, last = events(client)
    assert last["type"] == "response.completed"
    assert text_of(last["response"]) == text_of(whole) != ""
    assert [item["type"] for item in last["response"]["output"]] == [item["type"] for item in whole["output"]]
    assert last["response"]["usage"] == whole["usage"]
    all_deleted(sim)


def test_reasoning_is_an_item(client: Client, sim: Simulator) -> None:
    sim.play("text chars=700 think=90")
    told = answer(client, reasoning={"effort": "high", "summary": "auto"})
    assert [item["type"] for item in told["output"]] == ["reasoning", "message"]
    assert told["output"][0]["summary"][0]["text"] == sample_text(90, 2)
    assert told["usage"]["output_tokens_details"]["reasoning_tokens"] > 0


def test_a_search_is_asked_for_and_has_its_sources(
    client: Client, sim: Simulator, upstream: Upstream
) -> None:
    sim.play("web_search")
    told = answer(client, tools=[{"type": "web_search"}])
    assert upstream.chats()[0]["meta_data"]["is_networking"] is True
    [message] = [item for item in told["output"] if item["type"] == "message"]
    note = message["content"][0]["annotations"][0]
    assert message["content"][0]["text"][note["start_index"] : note["end_index"]] == "[1]"
    assert "web_search_call" in [item["type"] for item in told["output"]]


def test_every_part_of_the_input_reaches_the_model(client: Client, upstream: Upstream) -> None:
    items = [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "input_text", "text": "Add 1 and 1."}]},
        {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": '{"a":1}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "It is two."},
    ]
    answer(client, items, instructions="Be brief.")
    prompt = json.dumps(upstream.chats()[0], ensure_ascii=False)
    places = [prompt.index(text) for text in ("Be brief.", "Be kind.", "Add 1 and 1.", "It is two.")]
    assert places == sorted(places)


def test_a_limit_makes_the_response_incomplete(client: Client, sim: Simulator) -> None:
    sim.play("text chars=700", times=2)
    assert answer(client, max_output_tokens=20)["incomplete_details"] == {"reason": "max_output_tokens"}
    *_, last = events(client, max_output_tokens=20)
    assert last["type"] == "response.incomplete"
    assert last["response"]["usage"]["output_tokens"] <= 20


def test_moderation_makes_the_response_incomplete(client: Client, sim: Simulator) -> None:
    sim.play("intervene", times=2)
    assert answer(client)["incomplete_details"] == {"reason": "content_filter"}
    assert events(client)[-1]["response"]["incomplete_details"] == {"reason": "content_filter"}


def test_a_refusal_is_a_status(client: Client, sim: Simulator) -> None:
    sim.play("throttled_429")
    refused = ask(client, stream=True)
    assert (refused.status_code, error_of(refused)["code"]) == (429, "rate_limit_exceeded")
    assert "retry-after" in refused.headers


def test_a_late_failure_is_an_event(client: Client, sim: Simulator) -> None:
    sim.play("error_10024")
    *_, last = events(client)
    assert last["type"] == "response.failed"
    assert last["response"]["error"]["reason"] == "upstream_error"
    assert text_of(last["response"]).startswith("Half of an answer")


def test_a_failure_before_any_content_of_a_begun_stream_is_a_failed_response(
    client: Client, sim: Simulator, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("HEARTBEAT_S", "0.05")
    environment.setenv("FIRST_CONTENT_TIMEOUT_S", "0.3")
    sim.play("silence")
    told = events(client)
    assert [event["type"] for event in told] == [
        "response.created",
        "response.in_progress",
        "response.failed",
    ]
    error = told[-1]["response"]["error"]
    assert (error["code"], error["reason"]) == ("server_error", "upstream_timeout")
    assert {event["response"]["id"] for event in told} == {told[0]["response"]["id"]}


def test_a_conversation_goes_on_by_the_id_of_its_answer(
    client: Client, sim: Simulator, upstream: Upstream
) -> None:
    first = answer(client, "My name is Ada.", store=True)
    assert first["store"] is True
    second = answer(client, "What is my name?", previous_response_id=first["id"], instructions="Be brief.")
    assert second["previous_response_id"] == first["id"]
    assert second["id"] != first["id"]
    third = events(client, "And now?", previous_response_id=second["id"])[-1]["response"]
    began, went_on, again = upstream.chats()
    assert began["conversation_id"] == ""
    assert went_on["conversation_id"] == again["conversation_id"] != ""
    assert "Ada" not in json.dumps(went_on)
    assert third["store"] is True
    assert sim.live_conversations() == [went_on["conversation_id"]]


def test_an_answer_that_was_not_kept_cannot_go_on(client: Client, sim: Simulator, upstream: Upstream) -> None:
    first = answer(client)
    assert first["store"] is False
    all_deleted(sim)
    refused = ask(client, previous_response_id=first["id"])
    error = error_of(refused)
    assert (refused.status_code, error["code"], error["param"]) == (
        404,
        "conversation_not_found",
        "previous_response_id",
    )
    assert "send store: true" in error["message"]
    assert len(upstream.chats()) == 1


@pytest.mark.parametrize("previous", ["resp_123", "66f0c1a2b3c4d5e6f7a8b9c0", "resp_" + "A" * 100])
def test_an_invented_id_is_not_found(client: Client, upstream: Upstream, previous: str) -> None:
    refused = ask(client, previous_response_id=previous)
    assert (refused.status_code, error_of(refused)["code"]) == (404, "conversation_not_found")
    assert "send store: true" in error_of(refused)["message"]
    assert upstream.chats() == []


def test_an_id_of_another_key_is_not_found(
    client: Client, environment: pytest.MonkeyPatch, gateway: LiveGateway, http: httpx.Client
) -> None:
    other_key = "sk-test-key-of-another"
    environment.setenv("API_KEYS", f"{KEY},{other_key}")
    first = answer(client, store=True)
    other = Client(http, gateway.url, other_key)
    refused = ask(other, previous_response_id=first["id"])
    assert (refused.status_code, error_of(refused)["code"]) == (404, "conversation_not_found")
    assert other.get(f"{PATH}/{first['id']}").status_code == 404
    assert other.request("DELETE", f"{PATH}/{first['id']}").status_code == 404


def test_a_conversation_that_the_upstream_lost_is_not_found(client: Client, sim: Simulator) -> None:
    first = answer(client, store=True)
    sim.reset()
    refused = ask(client, previous_response_id=first["id"])
    error = error_of(refused)
    assert (refused.status_code, error["code"], error["param"]) == (
        404,
        "conversation_not_found",
        "previous_response_id",
    )


def test_a_conversation_goes_on_with_something_new(client: Client) -> None:
    first = answer(client, store=True)
    items = [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hi."}]
    refused = ask(client, items, previous_response_id=first["id"])
    assert (refused.status_code, error_of(refused)["param"]) == (400, "input")


def test_two_accounts_find_the_one_that_knows_the_conversation(
    client: Client,
    environment: pytest.MonkeyPatch,
    account: SimulatedAccount,
    upstream: Upstream,
    tmp_path: Path,
) -> None:
    second = upstream.add_account()
    # Other settings have another gateway; the file keeps the rotated tokens for it.
    environment.setenv("STORE_URL", f"sqlite:///{tmp_path / 'state.db'}")
    environment.setenv("CHATGLM_REFRESH_TOKENS", f"{account.token},{second.token}")
    first = ask(client, store=True)
    environment.setenv("CHATGLM_REFRESH_TOKENS", f"{second.token},{account.token}")
    on = ask(client, previous_response_id=first.json()["id"])
    assert on.status_code == 200, on.text
    assert on.headers["x-glm-account"] == first.headers["x-glm-account"]


def test_no_text_is_kept_to_be_shown(client: Client) -> None:
    told = answer(client, store=True)
    for path in (f"{PATH}/{told['id']}", f"{PATH}/{told['id']}/input_items"):
        shown = client.get(path)
        assert (shown.status_code, error_of(shown)["code"]) == (404, "not_found")
        assert "previous_response_id" in error_of(shown)["message"]
    unknown = client.get(f"{PATH}/resp_123")
    assert (unknown.status_code, error_of(unknown)["code"]) == (404, "not_found")


def test_a_deleted_conversation_is_said_to_be_deleted(client: Client, sim: Simulator) -> None:
    told = answer(client)
    all_deleted(sim)
    gone = client.request("DELETE", f"{PATH}/{told['id']}")
    assert gone.json() == {"id": told["id"], "object": "response", "deleted": True}
    kept = client.request("DELETE", f"{PATH}/{answer(client, store=True)['id']}")
    assert (kept.status_code, error_of(kept)["code"]) == (404, "not_found")
    assert len(sim.live_conversations()) == 1, "nothing is said to be deleted that is there"


def test_a_stranger_learns_nothing(gateway: LiveGateway, client: Client, http: httpx.Client) -> None:
    stranger = Client(http, gateway.url, "wrong")
    assert ask(stranger).status_code == 401
    assert stranger.get(f"{PATH}/resp_123").status_code == 401
    assert stranger.request("DELETE", f"{PATH}/resp_123").status_code == 401
    assert error_of(client.get(PATH))["code"] == "method_not_allowed"


def test_background_is_refused_clearly(client: Client, upstream: Upstream) -> None:
    refused = ask(client, background=True)
    assert refused.status_code == 400
    assert error_of(refused)["param"] == "background"
    assert upstream.chats() == []


def test_tools_that_nothing_here_runs_are_said_in_the_log(client: Client, gateway: LiveGateway) -> None:
    with logged() as lines:
        answer(client, tools=[{"type": "mcp", "server_label": "x"}, {"type": "secret words"}])
        wait_until(gateway.is_idle)  # a line is written when all is done
    [line] = [line for line in lines if line.get("route") == PATH]
    assert line["notices"] == {"ignored_tool_mcp": 1, "ignored_tool": 1}
    assert "secret words" not in json.dumps(lines)


def test_the_official_sdk_asks_streams_and_goes_on(client: Client, sim: Simulator) -> None:
    with openai.OpenAI(api_key=KEY, base_url=f"{client.url}/v1", max_retries=0) as sdk:
        first = sdk.responses.create(model="glm-5.3", input="My name is Ada.", store=True)
        assert first.output_text
        sim.play("text chars=300")
        with sdk.responses.stream(model="glm-5.3", input="Go on.", previous_response_id=first.id) as stream:
            deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
            final = stream.get_final_response()
        assert "".join(deltas) == final.output_text == sample_text(300)
        with pytest.raises(openai.NotFoundError, match="does not belong to a conversation"):
            sdk.responses.create(model="glm-5.3", input="x", previous_response_id="resp_1")
        with pytest.raises(openai.NotFoundError, match="keeps no texts"):
            sdk.responses.retrieve(first.id)
        with pytest.raises(openai.BadRequestError, match="background"):
            sdk.responses.create(model="glm-5.3", input="x", background=True)


def test_the_path_below_api_answers_too(client: Client) -> None:
    response = client.post(f"/api{PATH}", {"input": "Hello!"})
    assert response.status_code == 200
    assert response.json()["model"]
