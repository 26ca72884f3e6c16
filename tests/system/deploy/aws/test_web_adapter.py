"""The functions that stream: run.sh started, asked, frozen and ended as on Lambda behind the Web Adapter."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulator.scenes import sample_text
from tests.conftest import Upstream
from tests.support.dialects import google_body, read_google_array, read_google_events
from tests.support.waiting import wait_until
from tests.system.deploy.aws.adapter import Adapter
from tests.system.deploy.aws.conftest import Package, World
from tests.system.deploy.aws.counting import Relay
from tests.system.deploy.aws.events import Asked, rest_v1

CHAT = "/v1/chat/completions"
MODELS = "/v1/models"
GOOGLE_FORMS = {"alt=sse": read_google_events, "": read_google_array}


def event(
    token: str, prompt: str = "Hello!", headers: dict[str, str] | None = None, **fields: Any
) -> dict[str, Any]:
    body = {"model": "glm-5.3", "messages": [{"role": "user", "content": prompt}], **fields}
    sent = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **(headers or {})}
    return rest_v1(Asked("POST", CHAT, sent, json.dumps(body).encode()))


def chunks_of(text: str) -> list[dict[str, Any]]:
    payloads = [record.removeprefix("data: ") for record in text.split("\n\n") if record.startswith("data: ")]
    return [json.loads(payload) for payload in payloads if payload != "[DONE]"]


def text_of(text: str) -> str:
    deltas = [choice["delta"] for chunk in chunks_of(text) for choice in chunk.get("choices", ())]
    return "".join(delta.get("content") or "" for delta in deltas)


@pytest.fixture
def chat(world: World) -> Iterator[Adapter]:
    with world.adapter("chatCompletions") as function:
        yield function


def test_a_chat_streams_in_order_while_it_is_being_made(chat: Adapter, upstream: Upstream) -> None:
    account = upstream.add_account()
    upstream.sim.pace_s = 0.05
    upstream.sim.play("text chars=200")
    was_running = []
    text = ""
    with chat.invoke(event(account.token, stream=True)) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "content-length" not in answer.headers
        for piece in answer.iter_text():
            text += piece
            if '"content"' in piece:
                was_running.append(upstream.sim.active_generations() == 1)
    assert was_running[0], "the first content came only when the upstream had ended"
    assert was_running.count(True) > 5
    assert text.endswith("data: [DONE]\n\n")
    assert chunks_of(text)[-1]["choices"][0]["finish_reason"] == "stop"
    assert len(text_of(text)) == 200


@pytest.mark.parametrize(("prefix", "name"), [("/v1", "models"), ("/v1beta", "gemini"), ("", "models")])
@pytest.mark.parametrize("query", GOOGLE_FORMS)
def test_a_google_stream_comes_in_order_while_it_is_being_made(
    world: World, upstream: Upstream, prefix: str, name: str, query: str
) -> None:
    path = f"{prefix}/models/glm-5.3:streamGenerateContent"
    assert world.package.template.route_of(path).integration.get("ResponseTransferMode") == "STREAM"
    sent = {"x-goog-api-key": upstream.add_account().token, "Content-Type": "application/json"}
    body = json.dumps(google_body("[scene:text chars=200]")).encode()
    upstream.sim.pace_s = 0.05
    was_running = []
    received = b""
    with (
        world.adapter(name) as function,
        function.invoke(rest_v1(Asked("POST", path, sent, body, query=query))) as answer,
    ):
        assert answer.status_code == 200
        assert "content-length" not in answer.headers
        for piece in answer.iter_bytes():
            received += piece
            if b'"text"' in piece:
                was_running.append(upstream.sim.active_generations() == 1)
    assert was_running[0], "the first content came only when the upstream had ended"
    assert was_running.count(True) > 5
    assert GOOGLE_FORMS[query](received).text == sample_text(200)


def test_the_models_of_the_callers_account(world: World, upstream: Upstream) -> None:
    token = upstream.add_account().token
    bearer = {"Authorization": f"Bearer {token}"}
    with world.adapter("models") as models:
        answer = models.answer(rest_v1(Asked("GET", MODELS, bearer)))
        assert answer.status_code == 200, answer.text
        assert "glm-5.3" in [model["id"] for model in answer.json()["data"]]
        assert int(answer.headers["content-length"]) == len(answer.content)

        for path in ("/v1/models/glm%2D5.3", "/v1/models/glm-5.3", "/v1/models/glm-5%2e3", "/models/glm-5.3"):
            answer = models.answer(rest_v1(Asked("GET", path, bearer)))
            assert answer.json()["id"] == "glm-5.3", path

        # Gemini's clients send their key in the query.
        assert models.answer(rest_v1(Asked("GET", MODELS, query=f"x=1&key={token}"))).status_code == 200
        answer = models.answer(rest_v1(Asked("GET", MODELS, {"x-goog-api-key": token})))
        assert "models/glm-5.3" in [model["name"] for model in answer.json()["models"]]

        answer = models.answer(rest_v1(Asked("GET", MODELS)))
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
        preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
        answer = models.answer(rest_v1(Asked("OPTIONS", MODELS, preflight)))
        assert answer.headers["access-control-allow-origin"] == "*"
        assert token not in models.logged


@pytest.mark.parametrize("stream", [True, False])
def test_all_is_cleaned_up_when_the_last_byte_is_sent(
    chat: Adapter, world: World, upstream: Upstream, stream: bool
) -> None:
    account = upstream.add_account()
    kept = None
    for _ in range(3):
        answer = chat.answer(event(account.token, stream=stream))
        # The process is frozen now: what has not been done will not be.
        assert upstream.sim.live_conversations() == []
        assert answer.status_code == 200
        assert kept in {None, world.items()}, "an entry is left in the table: the lease?"
        kept = world.items()
    # Two connections at most: a call may begin while the stream's own has not ended yet.
    assert world.upstream_relay.connections <= 2
    assert world.table_relay.connections <= 2


@pytest.mark.parametrize("how", [Relay.cut, Relay.forget])
def test_a_warm_function_survives_that_everything_was_closed_meanwhile(
    chat: Adapter, world: World, upstream: Upstream, how: Callable[[Relay], None]
) -> None:
    account = upstream.add_account()
    assert chat.answer(event(account.token)).status_code == 200
    how(world.upstream_relay)
    how(world.table_relay)
    answer = chat.answer(event(account.token))
    assert answer.status_code == 200, answer.text
    assert '"level":"WARNING"' not in chat.logged, chat.logged
    assert upstream.sim.live_conversations() == []


def test_errors_are_answers_with_a_status(chat: Adapter, upstream: Upstream) -> None:
    answer = chat.answer(event("nobody"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    account = upstream.add_account()
    answer = chat.answer(event(account.token, n=2))
    assert answer.status_code == 400
    answer = chat.answer(rest_v1(Asked("OPTIONS", CHAT, {"Origin": "https://app.example"})))
    assert answer.status_code == 204
    answer = chat.answer(rest_v1(Asked("GET", CHAT)))
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    base64_body = Asked("POST", CHAT, {"Authorization": f"Bearer {account.token}"}, b"{", is_base64=True)
    assert chat.answer(rest_v1(base64_body)).json()["error"]["code"] == "invalid_json"


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_ends_before_the_function_does(chat: Adapter, upstream: Upstream, stream: bool) -> None:
    account = upstream.add_account()
    upstream.sim.play("stall")
    chat.timeout_s = 3.0
    began_at = time.monotonic()
    # The caller's own header does not get through: the adapter puts its own in its place.
    answer = chat.answer(
        event(account.token, headers={"x-amzn-lambda-context": '{"deadline": 99999999999999}'}, stream=stream)
    )
    assert time.monotonic() - began_at < 3.0
    assert upstream.sim.live_conversations() != []  # kept: the answer says how to go on
    if stream:
        assert chunks_of(answer.text)[-1]["choices"][0]["finish_reason"] == "length"
        assert text_of(answer.text)
    else:
        assert answer.json()["choices"][0]["finish_reason"] == "length"


def test_what_the_adapter_adds_goes_no_further(chat: Adapter, upstream: Upstream) -> None:
    account = upstream.add_account()
    chat.answer(event(account.token))
    for call in upstream.sim.calls:
        assert not [name for name in call.headers if name.startswith("x-amz")]


def test_an_idle_function_ends_at_once(chat: Adapter) -> None:
    chat.process.send_signal(signal.SIGTERM)
    began_at = time.monotonic()
    chat.process.wait(5)
    assert time.monotonic() - began_at < 1.0


def test_a_function_that_is_ended_in_mid_stream_ends_within_its_grace(
    chat: Adapter, upstream: Upstream
) -> None:
    account = upstream.add_account()
    upstream.sim.play("stall")
    received = ""
    began_at = 0.0
    with suppress(httpx.RemoteProtocolError), chat.invoke(event(account.token, stream=True)) as answer:
        for piece in answer.iter_text():
            received += piece
            if "content" in piece:
                chat.process.send_signal(signal.SIGTERM)
                began_at = time.monotonic()
    assert "[DONE]" not in received
    chat.process.wait(5)
    assert time.monotonic() - began_at < 4.0
    wait_until(lambda: upstream.sim.active_generations() == 0)


@pytest.mark.parametrize("name", ["imagesGenerations", "videos"])
def test_the_other_streaming_functions_start_with_their_own_file(world: World, name: str) -> None:
    path = {"imagesGenerations": "/v1/images/generations", "videos": "/v1/videos"}.get(
        name, "/v1/videos/generations"
    )
    with world.adapter(name) as function:
        answer = function.answer(rest_v1(Asked("POST", path)))
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
        assert function.answer(rest_v1(Asked("GET", "/v1/chat/completions"))).status_code == 404


def test_the_log_is_json_lines(chat: Adapter, upstream: Upstream) -> None:
    account = upstream.add_account()
    chat.answer(event(account.token, stream=True))
    lines = chat.logged.splitlines()
    assert [json.loads(line)["route"] for line in lines] == [CHAT]  # no line for being ready
    assert account.token not in chat.logged


def test_nothing_is_written_beside_the_program(package: Package, chat: Adapter, upstream: Upstream) -> None:
    chat.answer(event(upstream.add_account().token))
    for folder in package.folders.values():
        newer = [
            path
            for path in folder.rglob("*.pyc")
            if path.stat().st_mtime > (folder / "lib/__init__.py").stat().st_mtime + 60
        ]
        assert newer == []


def test_what_a_chat_asks_of_the_table(world: World, upstream: Upstream, tmp_path: Path) -> None:
    """The figures of docs/deploy-aws.md: a chat in a warm environment, its account's token known."""
    account = upstream.add_account()
    with world.adapter("chatCompletions") as chat:
        chat.answer(event(account.token))
        first = dict(world.table_relay.operations)
        world.table_relay.operations.clear()
        chat.answer(event(account.token))
        second = dict(world.table_relay.operations)
    print(f"\nDynamoDB: first chat of a process {first}, a later one {second}")
    assert sum(second.values()) <= 8
