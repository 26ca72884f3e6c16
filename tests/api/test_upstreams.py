"""Which upstream answers: the account or the official API, by the model's name; and FALLBACK_MODEL."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from simulator.app import Simulator
from simulator.official.app import Official
from simulator.official.server import OfficialServer
from tests.conftest import SimulatedAccount
from tests.support.client import CHAT, KEY, Client, Streamed, chat_body, error_of
from tests.support.live import LiveGateway
from tests.support.log import logged
from tests.support.waiting import wait_until

BOTH_WAYS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
FALLBACK = "glm-4.5-flash"


@pytest.fixture
def key(official: Official) -> str:
    return official.add_key()


@pytest.fixture
def both(
    client: Client, environment: pytest.MonkeyPatch, official_server: OfficialServer, key: str
) -> Client:
    """Give the owner's client, with an account and a key of the official API behind its key."""
    environment.setenv("GLM_API_KEYS", key)
    environment.setenv("GLM_API_BASE_URL", official_server.base_url)
    return client


@pytest.fixture
def falling_back(both: Client, environment: pytest.MonkeyPatch) -> Client:
    environment.setenv("FALLBACK_MODEL", FALLBACK)
    environment.setenv("ACCOUNT_WAIT_S", "0")
    return both


def asked(
    client: Client, model: str = "glm-5.3-flash", prompt: str = "Hello!", **fields: Any
) -> httpx.Response:
    return client.post(CHAT, chat_body(prompt, **{"model": model, **fields}))


# The rule


@pytest.mark.parametrize(
    ("model", "upstream_and_model"),
    [
        ("glm-5.3", ("web", "glm-5.3")),
        ("glm-5.3-flash-search", ("web", "glm-5.3-flash")),
        ("api/glm-5.3", ("api", "glm-5.3")),
        ("API/GLM-5.3", ("api", "glm-5.3")),
        ("glm-4.6", ("api", "glm-4.6")),
        ("GLM-4.6-Think", ("api", "glm-4.6")),
        ("glm-4.5-flash-search", ("api", "glm-4.5-flash")),
        ("web/glm-4.6", ("web", "glm-5.3-flash")),
        ("web/glm-5.3", ("web", "glm-5.3")),
        ("gpt-4o", ("web", "glm-5.3-flash")),
        ("", ("web", "glm-5.3-flash")),
        ("65c046a531d3fcb034918abe", ("web", "glm-5.3-flash")),
    ],
)
def test_the_models_name_chooses_the_upstream(
    both: Client, sim: Simulator, official: Official, model: str, upstream_and_model: tuple[str, str]
) -> None:
    expected, serving = upstream_and_model
    answer = asked(both, model)
    assert answer.status_code == 200, answer.text
    chosen = answer.headers["x-glm-upstream"]
    assert chosen == expected
    if chosen == "api":
        assert official.calls_to("chat/completions")[0].json["model"] == serving
        assert sim.calls_to("assistant/stream") == []
    else:
        assert sim.calls_to("assistant/stream")[0].json["meta_data"]["selected_model"] == serving
        assert official.calls == []
    assert answer.json()["model"] == (model or "glm-5.3-flash"), "the name is echoed as it was sent"


def restart(environment: pytest.MonkeyPatch) -> None:
    """Let the next request meet services without any memory, as in a new process."""
    environment.setenv("HEARTBEAT_S", "14")


def test_a_new_process_knows_what_the_account_offers_by_the_store(
    both: Client, environment: pytest.MonkeyPatch, sim: Simulator, official: Official, tmp_path: Path
) -> None:
    environment.setenv("STORE_URL", f"sqlite:///{tmp_path}/state.db")
    offered = {"status": 0, "result": {"models": [{"selected_model": "glm-4.6"}]}}
    sim.fail("operation/detail", status=200, body=offered)
    assert asked(both, "glm-4.6").headers["x-glm-upstream"] == "api", "no process has seen the list"
    listed = {model["id"]: model["owned_by"] for model in both.get("/v1/models").json()["data"]}
    assert listed["glm-4.6"] == "chatglm"
    restart(environment)
    assert asked(both, "glm-4.6").headers["x-glm-upstream"] == "web"
    assert len(official.calls_to("chat/completions")) == 1
    assert sim.violations == ["assistant/stream: unknown selected_model 'glm-4.6'"]
    sim.violations.clear()


@pytest.mark.parametrize("has_account", [True, False])
def test_a_name_that_only_the_vendors_list_has_is_served_by_the_api(
    both: Client, environment: pytest.MonkeyPatch, official: Official, *, has_account: bool
) -> None:
    if not has_account:
        environment.delenv("CHATGLM_REFRESH_TOKENS")
    body = {"object": "list", "data": [{"id": "glm-5.9", "object": "model"}]}
    official.fail("models", status=200, body=body)
    asked(both, "glm-5.9")
    assert official.calls_to("chat/completions")[0].json["model"] == "glm-5.9"
    asked(both, "glm-5.9")
    assert len(official.calls_to("models")) == 1


def test_a_name_that_could_be_the_vendors_waits_a_moment_for_a_silent_list(
    both: Client, official: Official
) -> None:
    official.fail("models", delay_s=30, times=9)
    answer = asked(both, "glm-4-old")
    assert answer.headers["x-glm-upstream"] == "web"
    assert answer.elapsed.total_seconds() < 4
    assert len(official.calls_to("models")) == 1


def test_with_the_official_api_alone_it_serves_every_name(
    both: Client, environment: pytest.MonkeyPatch, official: Official
) -> None:
    environment.delenv("CHATGLM_REFRESH_TOKENS")
    for model, serving in (("gpt-4o", "glm-4.5-flash"), ("glm-5.3", "glm-5.3"), ("", "glm-4.5-flash")):
        answer = asked(both, model)
        assert (answer.headers["x-glm-upstream"], answer.headers["x-glm-model"]) == ("api", serving)
    assert asked(both, "").json()["model"] == "glm-4.5-flash"
    for name in ("glm-4.6", "GLM-4.6", "API/glm-4.6"):
        environment.setenv("GLM_API_DEFAULT_MODEL", name)
        assert asked(both, "claude-sonnet-4-5").headers["x-glm-model"] == "glm-4.6"


@pytest.mark.parametrize(
    ("model", "unset", "setting"),
    [
        ("api/glm-4.6", "GLM_API_KEYS", "GLM_API_KEYS"),
        ("web/glm-5.3", "CHATGLM_REFRESH_TOKENS", "CHATGLM_REFRESH_TOKENS"),
    ],
)
def test_a_name_of_an_upstream_that_is_not_there_is_a_404_that_names_the_setting(
    both: Client, environment: pytest.MonkeyPatch, model: str, unset: str, setting: str
) -> None:
    environment.delenv(unset)
    error = error_of(asked(both, model))
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert setting in error["message"]


def test_an_unknown_model_of_the_official_api_is_a_404(both: Client, official: Official) -> None:
    answer = asked(both, "api/glm-9-max")
    assert (answer.status_code, error_of(answer)["code"]) == (404, "model_not_found")
    assert official.calls_to("chat/completions")[0].json["model"] == "glm-9-max", "as it stands"


def test_the_account_alone_serves_names_of_the_official_table(client: Client, sim: Simulator) -> None:
    assert asked(client, "glm-4.6").headers["x-glm-upstream"] == "web"


# The list of models


def test_the_lists_are_merged_and_tell_their_owner(both: Client, official: Official) -> None:
    both.get("/v1/models")
    listed = both.get("/v1/models").json()["data"]
    owners = {model["id"]: model["owned_by"] for model in listed}
    assert len(owners) == len(listed), "no name stands twice"
    assert (owners["glm-5.3"], owners["glm-4.6"]) == ("chatglm", "z-ai")
    assert owners["glm-4.5-flash"] == "z-ai", "the vendor's list does not have it, although it answers"
    assert "glm-5.4" not in owners, "only the plan has it"
    assert len(official.calls_to("models")) == 1, "the list is asked for every ten minutes at most"


@pytest.mark.parametrize("name", ["api/glm-5.3", "api/glm-9", "glm-4.6", "web/glm-5.3"])
def test_one_model_is_found_under_every_name_that_a_chat_takes(both: Client, name: str) -> None:
    found = both.get(f"/v1/models/{name}").json()
    assert found["id"] == name
    assert found["owned_by"] == ("chatglm" if name.startswith("web/") else "z-ai")


def test_a_list_that_cannot_be_fetched_leaves_the_table(both: Client, official: Official) -> None:
    official.fail("models", status=500, body={"error": {"code": "500", "message": "down"}})
    names = [model["id"] for model in both.get("/v1/models").json()["data"]]
    assert {"glm-5.3", "glm-4.6"} <= set(names)


# Falling back


@pytest.mark.parametrize(
    "refusal",
    [
        ("busy_429", "account_busy"),
        ("throttled_429", "rate_limit_exceeded"),
        ("error_10025", "upstream_error"),
        ("internal_500", "upstream_error"),
    ],
    ids=lambda refusal: refusal[0],
)
@BOTH_WAYS
def test_the_fallback_model_answers_if_the_account_cannot(
    falling_back: Client, sim: Simulator, official: Official, refusal: tuple[str, str], stream: bool
) -> None:
    scene, code = refusal
    for _ in range(5):
        sim.play(scene)
    answer = asked(falling_back, stream=stream)
    assert answer.status_code == 200, answer.text
    assert "You said: “Hello!”" in answer.text or stream
    told = {name: answer.headers[f"x-glm-{name}"] for name in ("upstream", "model", "fallback", "usage")}
    assert told == {"upstream": "api", "model": FALLBACK, "fallback": code, "usage": "reported"}
    assert official.calls_to("chat/completions")[0].json["model"] == FALLBACK


def test_the_words_of_the_name_count_for_the_fallback_model(
    falling_back: Client, sim: Simulator, official: Official
) -> None:
    sim.play("busy_429", times=3)
    answer = asked(falling_back, "glm-5.3-think-search-silent")
    assert "reasoning_content" not in answer.json()["choices"][0]["message"]
    sent = official.calls_to("chat/completions")[0].json
    assert (sent["model"], sent["thinking"]) == (FALLBACK, {"type": "enabled"})
    assert "tools" not in sent, "a search costs money"


def test_the_fallback_model_answers_for_an_explicit_name_of_the_account_too(
    falling_back: Client, sim: Simulator
) -> None:
    sim.play("busy_429", times=3)
    answer = asked(falling_back, "web/glm-5.3")
    told = {name: answer.headers[f"x-glm-{name}"] for name in ("upstream", "model", "fallback")}
    assert told == {"upstream": "api", "model": FALLBACK, "fallback": "account_busy"}


def test_a_refused_account_is_no_obstacle(
    falling_back: Client, environment: pytest.MonkeyPatch, gateway: LiveGateway
) -> None:
    environment.setenv("CHATGLM_REFRESH_TOKENS", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln")
    answer = asked(falling_back)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-glm-fallback"] == "no_account_available"


@pytest.mark.parametrize("scene", ["intervene", "error_10040"])
def test_a_refusal_of_the_request_is_final(
    falling_back: Client, sim: Simulator, official: Official, scene: str
) -> None:
    sim.play(scene)
    answer = asked(falling_back)
    assert answer.headers.get("x-glm-upstream", "web") == "web"
    assert "x-glm-fallback" not in answer.headers
    assert official.calls == []


def test_a_bad_request_is_final(falling_back: Client, official: Official) -> None:
    assert asked(falling_back, messages=[]).status_code == 400
    assert official.calls == []


def test_a_conversation_that_is_continued_stays_with_the_account(
    falling_back: Client, sim: Simulator, official: Official
) -> None:
    sim.play("throttled_429")
    sim.play("throttled_429")
    answer = asked(falling_back, conversation_id="66f0c1aabbccddeeff001122")
    assert answer.status_code in (404, 429), answer.text
    assert official.calls == []


def test_a_file_that_the_fallback_model_does_not_take_stays_with_the_account(
    falling_back: Client, sim: Simulator, official: Official
) -> None:
    for _ in range(3):
        sim.play("throttled_429")
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "What?"}, picture]}]
    answer = asked(falling_back, messages=messages)
    assert answer.status_code != 200
    assert official.calls == []


def test_the_first_refusal_is_told_if_the_fallback_cannot_answer_either(
    falling_back: Client, sim: Simulator, official: Official, key: str
) -> None:
    sim.play("busy_429", times=3)
    official.keys[key].refused = "1003"
    answer = asked(falling_back)
    assert (answer.status_code, error_of(answer)["code"]) == (429, "account_busy")


def test_the_fallback_may_answer_after_the_stream_has_begun(
    falling_back: Client, sim: Simulator, environment: pytest.MonkeyPatch, gateway: LiveGateway
) -> None:
    environment.setenv("HEARTBEAT_S", "0.1")
    environment.setenv("FIRST_CONTENT_TIMEOUT_S", "0.6")
    sim.play("silence")
    with logged() as lines:
        answer = asked(falling_back, stream=True)
        wait_until(gateway.is_idle)
    assert answer.status_code == 200
    assert answer.headers["x-glm-upstream"] == "web", "the account had accepted"
    assert "x-glm-fallback" not in answer.headers
    assert Streamed(200, answer.headers, answer.content).text.endswith(f"I am the simulated {FALLBACK}.")
    [line] = [line for line in lines if line["message"] == "request"]
    assert (line["upstream"], line["fallback"], line["model"]) == ("api", "upstream_timeout", FALLBACK)


def test_a_late_refusal_of_both_is_an_error_event(
    falling_back: Client, sim: Simulator, official: Official, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("HEARTBEAT_S", "0.1")
    environment.setenv("FIRST_CONTENT_TIMEOUT_S", "0.6")
    sim.play("silence")
    official.play("wordless")
    answer = asked(falling_back, stream=True)
    assert answer.status_code == 200
    assert '"code":"upstream_timeout"' in answer.text
    assert "[DONE]" not in answer.text


# Responses: the official API keeps no conversation


RESPONSES = "/v1/responses"


def response_of(client: Client, model: str, *, stream: bool, **fields: Any) -> dict[str, Any]:
    answer = client.post(RESPONSES, {"model": model, "input": "Hello!", "stream": stream, **fields})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-glm-upstream"] == "api"
    if not stream:
        return cast(dict[str, Any], answer.json())
    last = answer.text.strip().split("\n\n")[-1].partition("data: ")[2]
    return cast(dict[str, Any], json.loads(last)["response"])


@pytest.mark.parametrize("model", ["glm-4.6", "glm-5.3-flash"], ids=["by name", "by fallback"])
@BOTH_WAYS
def test_a_response_of_the_official_api_says_that_it_cannot_go_on(
    falling_back: Client, sim: Simulator, official: Official, model: str, stream: bool
) -> None:
    sim.play("busy_429", times=3)
    told = response_of(falling_back, model, stream=stream, store=True)
    asked = len(official.calls)
    follow_up = {"model": model, "input": "And?", "previous_response_id": told["id"]}
    refused = falling_back.post(RESPONSES, follow_up)
    error = error_of(refused)
    assert (refused.status_code, error["code"]) == (404, "conversation_not_found")
    assert error["param"] == "previous_response_id"
    assert "The official API has answered this response, and it keeps no conversations" in error["message"]
    assert len(official.calls) == asked
    deleted = falling_back.request("DELETE", f"{RESPONSES}/{told['id']}")
    assert deleted.json() == {"id": told["id"], "object": "response", "deleted": True}


# Pass-through


def bringing(gateway: LiveGateway, http: httpx.Client, credential: str) -> Client:
    return Client(http, gateway.url, credential)


@pytest.fixture
def open_gateway(
    gateway: LiveGateway, environment: pytest.MonkeyPatch, official_server: OfficialServer
) -> LiveGateway:
    environment.setenv("GLM_API_BASE_URL", official_server.base_url)
    return gateway


def test_a_caller_may_bring_a_key(open_gateway: LiveGateway, http: httpx.Client, key: str) -> None:
    answer = asked(bringing(open_gateway, http, key), "gpt-4o")
    assert answer.status_code == 200, answer.text
    assert (answer.headers["x-glm-upstream"], answer.headers["x-glm-model"]) == ("api", "glm-4.5-flash")
    assert key not in answer.text


def test_a_caller_may_bring_a_key_and_a_token(
    open_gateway: LiveGateway, http: httpx.Client, key: str, account: SimulatedAccount
) -> None:
    caller = bringing(open_gateway, http, f"{account.token},{key}")
    assert asked(caller, "glm-5.3").headers["x-glm-upstream"] == "web"
    assert asked(caller, "glm-4.6").headers["x-glm-upstream"] == "api"


def test_the_owners_keys_and_fallback_serve_no_other_caller(
    open_gateway: LiveGateway, environment: pytest.MonkeyPatch, http: httpx.Client, sim: Simulator, key: str
) -> None:
    environment.setenv("GLM_API_KEYS", key)
    environment.setenv("API_KEYS", KEY)
    environment.setenv("FALLBACK_MODEL", FALLBACK)
    environment.setenv("ALLOW_PASSTHROUGH", "true")
    environment.setenv("ACCOUNT_WAIT_S", "0")
    caller = bringing(open_gateway, http, sim.add_account())
    assert asked(caller, "api/glm-4.6").status_code == 404
    assert asked(caller, "glm-4.6").headers["x-glm-upstream"] == "web"
    sim.play("busy_429", times=3)
    assert asked(caller).status_code == 429


def test_the_owners_keys_without_api_keys_are_unreachable(
    open_gateway: LiveGateway, environment: pytest.MonkeyPatch, http: httpx.Client, official: Official
) -> None:
    key = official.add_key()
    environment.setenv("GLM_API_KEYS", key)
    for credential in ("sk-anything", key):
        assert asked(bringing(open_gateway, http, credential), "api/glm-4.6").status_code == 401
    assert official.calls == []


def test_a_wrong_key_is_a_401(open_gateway: LiveGateway, http: httpx.Client, official: Official) -> None:
    wrong = f"{'0' * 32}.{'a' * 16}"
    answer = asked(bringing(open_gateway, http, wrong), "glm-4.6")
    assert (answer.status_code, error_of(answer)["code"]) == (401, "invalid_api_key")
    assert wrong not in answer.text


def test_a_large_body_is_read_after_the_key_is_proven(
    open_gateway: LiveGateway, http: httpx.Client, official: Official, key: str
) -> None:
    long = "[scene:text]" + "word " * 300_000
    assert asked(bringing(open_gateway, http, f"{'0' * 32}.{'a' * 16}"), "glm-4.6", long).status_code == 401
    assert official.calls_to("chat/completions") == []
    official.calls.clear()
    for _ in range(2):
        assert asked(bringing(open_gateway, http, key), "glm-4.6", long).status_code == 200
    assert len(official.calls_to("models")) == 1, "a proven key is remembered"


# One side hangs


def test_the_official_side_hanging_delays_no_request_of_the_account(both: Client, official: Official) -> None:
    official.fail("chat/completions", delay_s=30, times=9)
    official.fail("models", delay_s=30, times=9)
    assert asked(both).elapsed.total_seconds() < 2
    assert asked(both, "gpt-4o").headers["x-glm-upstream"] == "web"


def test_the_account_hanging_delays_no_request_of_the_official_side(both: Client, sim: Simulator) -> None:
    for path in ("user/refresh", "assistant/stream", "operation/detail"):
        sim.fail(path, delay_s=30, times=9)
    answer = asked(both, "glm-4.6")
    assert answer.headers["x-glm-upstream"] == "api"
    assert answer.elapsed.total_seconds() < 2
