"""The built functions under Vercel's own runtime: what a client gets, and what is left in the end."""

from __future__ import annotations

import base64
import json
import re
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hosts.routes import ENDPOINTS
from simulator.app import Simulator
from simulator.steps import Cue, Pause, Script, Step
from tests.conftest import SimulatedAccount, Upstream
from tests.support.client import CHAT, KEY, Client, Streamed, chat_body, error_of
from tests.support.waiting import wait_until
from tests.support.wire import RawClient
from tests.system.deploy.vercel import first_content, init_time
from tests.system.deploy.vercel.build import Output
from tests.system.deploy.vercel.deployment import OIDC_TOKEN, Deployment, proxy_headers
from tests.system.deploy.vercel.instance import Instance
from tests.unit.store.redis_server import NOT_INSTALLED, find_redis, running_redis
from tests.unit.store.upstash_double import UpstashDouble, running_upstash

HELD_AT_MOST_S = 20.0
POLL_S = 0.005


class Gate:
    """A scene that says something, and says the rest once the gate is opened."""

    def __init__(self) -> None:
        self._opened = threading.Event()

    def open(self) -> None:
        self._opened.set()

    def __call__(self, cue: Cue) -> Iterator[Step]:
        script = Script(cue)
        yield script.opening()
        yield from script.increments("text", ["one ", "two "], logic_id="a")
        for _ in range(round(HELD_AT_MOST_S / POLL_S)):
            if self._opened.is_set():
                break
            yield Pause(POLL_S)
        yield from script.increments("text", ["three ", "four"], logic_id="a")
        yield script.finish_part("a", {"type": "text", "text": cue.answer})
        yield script.finish()


@pytest.fixture(autouse=True)
def _settled(deployment: Deployment, upstream: Upstream) -> Iterator[None]:
    """Let every invocation of a test end before the next one begins."""
    yield
    wait_until(deployment.is_idle, 10, "every invocation has ended")


@pytest.fixture
def chat(deployment: Deployment) -> Instance:
    return deployment.instance_for(CHAT)


def ask(instance: Instance, account: SimulatedAccount, invocation: str = "", **fields: object) -> RawClient:
    """Send a chat request by hand, and leave reading the answer to the test."""
    client = RawClient(instance.url)
    added = proxy_headers(invocation)
    headers = {name.replace("-", "_"): value for name, value in added.items() if name != "host"}
    client.post(CHAT, chat_body(**fields), authorization=f"Bearer {account.token}", **headers)  # type: ignore[arg-type]
    return client


# Every function


def test_every_function_starts_and_says_what_it_is(deployment: Deployment, output: Output) -> None:
    assert {endpoint.module.replace(".", "/") for endpoint in ENDPOINTS} == set(output.bundles)
    for endpoint in ENDPOINTS:
        for path in endpoint.all_paths:
            response = deployment.get(path.replace("*", "some-id"))
            expected: tuple[int, ...] = (200, 401, 405)
            if endpoint.paths[0] == "/":  # It answers all unknown paths too, and /api redirects to /api/.
                expected = (307,) if path == "/api" else (200, 404)
            assert response.status_code in expected, f"{path}: {response.text}"
            assert response.headers["x-request-id"]
        assert deployment.instance(endpoint.module.replace(".", "/")).is_alive()


@pytest.mark.parametrize("folder", ["/", "/api/"])
def test_the_page_and_its_files_are_served(deployment: Deployment, folder: str) -> None:
    page = deployment.get(folder)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["x-robots-tag"] == "noindex"
    named = re.findall(r'(?:href|src)="([^"]*)"', page.text)
    assert [name for name in named if name.startswith("app.js?v=")]
    for name in named:
        file = deployment.get(folder + name)
        assert (file.status_code, "immutable" in file.headers["cache-control"]) == (200, True), name


def test_a_file_of_public_is_published(deployment: Deployment) -> None:
    assert "Disallow: /" in deployment.get("/robots.txt").text


def test_ping_and_health_answer(deployment: Deployment) -> None:
    assert deployment.get("/ping").text == "pong"
    health = deployment.get("/health").json()
    assert health["max_duration_s"] == 300


@pytest.mark.parametrize(
    "path", ["/nothing", "/v1", "/v1/nothing", "/v1beta/x:y", "/api/nothing", "/a/b/c?d=e"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_path_that_nobody_has_is_a_404_in_json(deployment: Deployment, method: str, path: str) -> None:
    response = deployment.request(method, path)
    assert response.status_code == 404
    if path.startswith("/v1beta/"):  # Google's clients ask below it, and read Google's form
        error = response.json()["error"]
        assert (error["status"], error["details"][0]["reason"]) == ("NOT_FOUND", "not_found")
    else:
        error = error_of(response)
        assert error["code"] == "not_found"
    assert path.partition("?")[0] in error["message"], "the function sees the path that was asked for"


def test_models_are_listed_and_found(
    deployment: Deployment, upstream: Upstream, account: SimulatedAccount
) -> None:
    names = [model["id"] for model in deployment.get("/v1/models", account.token).json()["data"]]
    found = deployment.get(f"/v1/models/{names[0]}", account.token)
    assert found.status_code == 200
    assert found.json()["id"] == names[0]


def test_a_token_is_checked(deployment: Deployment, upstream: Upstream, account: SimulatedAccount) -> None:
    assert deployment.post("/token/check", {"token": account.token}).json()["live"] is True


# Errors, and what a browser asks first


def test_a_browser_may_ask(deployment: Deployment) -> None:
    asked = {
        "origin": "https://example.org",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    response = deployment.request("OPTIONS", CHAT, headers=asked)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == "*"
    assert "POST" in response.headers["access-control-allow-methods"]


def test_errors_have_their_status_and_the_dialects_form(deployment: Deployment) -> None:
    assert error_of(deployment.post(CHAT, chat_body()))["code"] == "invalid_api_key"
    broken = deployment.request("POST", CHAT, "a.b.c", content=b"{")
    assert (broken.status_code, error_of(broken)["code"]) == (400, "invalid_json")
    wrong = deployment.get(CHAT)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


def test_an_upstreams_refusal_is_a_status(
    deployment: Deployment, upstream: Upstream, account: SimulatedAccount
) -> None:
    upstream.sim.revoke(account.uid)
    assert deployment.post(CHAT, chat_body(), account.token).status_code == 401


# Chats


def test_a_chat_is_answered(deployment: Deployment, upstream: Upstream, account: SimulatedAccount) -> None:
    response = deployment.post(CHAT, chat_body("[scene:text chars=500]"), account.token)
    assert response.status_code == 200, response.text
    assert len(response.json()["choices"][0]["message"]["content"]) == 500


def test_a_chat_is_streamed_as_it_comes(
    chat: Instance, upstream: Upstream, account: SimulatedAccount
) -> None:
    gate = Gate()
    upstream.sim.play(gate, uid=account.uid)
    with ask(chat, account, stream=True) as client:
        # The upstream says nothing more until the client has what came so far: an order, whatever it takes.
        client.read_until(b'two "')
        assert b"three" not in client.received
        assert upstream.sim.active_generations() == 1
        gate.open()
        client.read_until(b"data: [DONE]\n\n")
    head, _, _ = client.received.partition(b"\r\n\r\n")
    assert b"content-type: text/event-stream" in head.lower()
    assert b"x-accel-buffering: no" in head.lower()
    assert b"no-transform" in head.lower()
    assert b"content-length" not in head.lower()


def test_two_are_served_at_once_by_one_instance(
    deployment: Deployment, chat: Instance, upstream: Upstream, account: SimulatedAccount
) -> None:
    other = upstream.add_account()
    gate = Gate()
    upstream.sim.play(gate, uid=account.uid)
    with ask(chat, account, stream=True) as first:
        first.read_until(b'two "')
        second = deployment.post(CHAT, chat_body("[scene:text chars=100]"), other.token)
        assert len(second.json()["choices"][0]["message"]["content"]) == 100
        assert b"three" not in first.received
        gate.open()
        first.read_until(b"data: [DONE]\n\n")


# What is left when an invocation ends


class Ending:
    """What had been done upstream at the moment when an invocation ended."""

    def __init__(self, sim: Simulator, instance: Instance) -> None:
        self.invocation = uuid.uuid4().hex
        self.has_come = False
        self._left: list[str] = []
        self._sim = sim
        self._instance = instance

    def __enter__(self) -> Ending:
        self._instance.on_end = self._look
        return self

    def __exit__(self, *_: object) -> None:
        self._instance.on_end = lambda _: None

    def _look(self, invocation: str) -> None:
        if invocation == self.invocation:
            running = self._sim.active_generations()
            self._left = [*self._sim.live_conversations(), *["an answer under way"] * running]
            self.has_come = True

    def left(self) -> list[str]:
        """Wait for the end; return what was left upstream."""
        wait_until(lambda: self.has_come, 10, "the invocation ends")
        return self._left


@pytest.mark.parametrize("stream", [True, False])
def test_all_is_cleaned_up_before_the_invocation_ends(
    chat: Instance, upstream: Upstream, account: SimulatedAccount, *, stream: bool
) -> None:
    upstream.sim.fail("delete", delay_s=0.3)
    with (
        Ending(upstream.sim, chat) as ending,
        ask(chat, account, ending.invocation, stream=stream) as client,
    ):
        client.read_until(b"data: [DONE]\n\n" if stream else b'"usage"')
        assert not ending.has_come, "the client has its answer before the conversation is deleted"
        assert ending.left() == []
    assert upstream.count("delete") == 1


def test_a_client_that_leaves_leaves_nothing_behind(
    deployment: Deployment, chat: Instance, upstream: Upstream, account: SimulatedAccount
) -> None:
    upstream.sim.play(Gate(), uid=account.uid)  # never opened
    with Ending(upstream.sim, chat) as ending:
        client = ask(chat, account, ending.invocation, stream=True)
        client.read_until(b'two "')
        client.leave()
        assert ending.left() == []
    again = deployment.post(CHAT, chat_body("[scene:text chars=100]"), account.token)
    assert again.status_code == 200, "its account is free again"


def test_a_client_that_leaves_before_anything_came_leaves_nothing_behind(
    chat: Instance, upstream: Upstream, account: SimulatedAccount
) -> None:
    upstream.sim.play(Gate(), uid=account.uid)  # never opened
    with Ending(upstream.sim, chat) as ending:
        client = ask(chat, account, ending.invocation)
        wait_until(lambda: upstream.sim.active_generations() == 1, what="the upstream has the request")
        client.leave()
        assert ending.left() == []


# The host's environment


def test_the_owners_key_opens_the_owners_account(
    deployment: Deployment, upstream: Upstream, account: SimulatedAccount
) -> None:
    environ = {"CHATGLM_REFRESH_TOKENS": account.token, "API_KEYS": KEY}
    with (
        deployment.start("api/v1/chat/completions", **environ) as instance,
        httpx.Client(trust_env=False, timeout=20) as http,
    ):
        assert Client(http, instance.url).answer()["choices"][0]["finish_reason"] == "stop"
        assert Client(http, instance.url, "sk-wrong").chat().status_code == 401


@pytest.fixture
def upstash(tmp_path: Path) -> Iterator[UpstashDouble]:
    """Give Upstash's REST on a socket, in front of a real Redis."""
    program = find_redis() or pytest.skip(NOT_INSTALLED)
    with running_redis(program, tmp_path) as server, running_upstash(server) as double:
        yield double


def _decoded(text: str) -> str:
    """Read what a store has written down; anything else as it is."""
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        return text


def test_a_rotated_token_outlives_its_process_in_the_hosts_redis(
    deployment: Deployment, upstream: Upstream, account: SimulatedAccount, upstash: UpstashDouble
) -> None:
    environ = {"CHATGLM_REFRESH_TOKENS": account.token, "API_KEYS": KEY, **upstash.environ}
    simulated = upstream.sim.account(account.token)
    tokens = {account.token}
    with httpx.Client(trust_env=False, timeout=20) as http:
        for count in (1, 2):
            with deployment.start("api/v1/chat/completions", **environ) as instance:
                assert Client(http, instance.url).answer()["choices"][0]["finish_reason"] == "stop"
                wait_until(instance.is_idle, 10, "the invocation has ended")
            # Strict rotation: the token of the environment is dead from the first process's refresh on.
            tokens |= {simulated.refresh_token, *simulated.access_tokens}
            simulated.forget_access_tokens()
            assert simulated.refresh_count == count
    contents = [text for command in upstash.commands for part in command for text in (part, _decoded(part))]
    assert upstash.redis.call("DBSIZE") >= 1
    assert len(tokens) >= 5
    assert not [token for token in tokens if any(token in content for content in contents)]


def test_a_wrong_setting_is_said_to_whoever_asks(deployment: Deployment) -> None:
    with deployment.start("api/v1/chat/completions", MAX_DURATION_S="soon") as instance:
        response = httpx.post(instance.url + CHAT, json=chat_body(), trust_env=False)
        assert response.status_code == 500
        assert instance.is_alive()


def test_the_deadline_of_the_host_ends_an_answer_that_can_be_continued(
    deployment: Deployment, upstream: Upstream, account: SimulatedAccount
) -> None:
    upstream.sim.play(Gate(), uid=account.uid)  # never opened
    with (
        deployment.start("api/v1/chat/completions", MAX_DURATION_S="6") as instance,
        ask(instance, account, stream=True) as client,
    ):
        client.read_until(b"data: [DONE]\n\n")
        assert b'"finish_reason":"length"' in client.received
    assert len(upstream.sim.live_conversations()) == 1


def test_a_caller_cannot_move_the_deadline(
    chat: Instance, upstream: Upstream, account: SimulatedAccount
) -> None:
    # Behind Lambda's web adapter this header tells when the host ends the invocation; here a caller sent it.
    context = json.dumps({"deadline": 1})
    with RawClient(chat.url) as client:
        body = chat_body("[scene:text chars=100]", stream=True)
        client.post(CHAT, body, authorization=f"Bearer {account.token}", x_amzn_lambda_context=context)
        client.read_until(b"data: [DONE]\n\n")
    assert b'"finish_reason":"stop"' in client.received


def test_nothing_of_the_host_or_the_caller_reaches_the_upstream(
    deployment: Deployment, upstream: Upstream, account: SimulatedAccount
) -> None:
    deployment.post(CHAT, chat_body(), account.token, headers={"x-mine": "secret", "cookie": "a=b"})
    assert upstream.sim.calls
    for call in upstream.sim.calls:
        assert OIDC_TOKEN not in call.headers.values()
        theirs = ("x-vercel", "x-forwarded", "x-real", "x-mine", "cookie")
        assert not [name for name in call.headers if name.startswith(theirs)]


def test_each_invocation_logs_one_line_without_secrets(
    chat: Instance, upstream: Upstream, account: SimulatedAccount
) -> None:
    invocation = uuid.uuid4().hex
    with RawClient(chat.url) as client:
        headers = {"x_vercel_internal_invocation_id": invocation, "x_request_id": "mine"}
        client.post(CHAT, chat_body("a secret prompt"), authorization=f"Bearer {account.token}", **headers)
        client.read_until(b'"usage"')
    wait_until(lambda: invocation in chat.ended(), what="the invocation ends")
    lines = [json.loads(line) for line in chat.logged(invocation)]
    told = [(line["message"], line["status"], line["request_id"]) for line in lines]
    assert told == [("request", 200, "mine")]
    everything = "\n".join(chat.logged())
    assert account.token not in everything
    assert "secret prompt" not in everything
    assert "HTTP Request" not in everything, (
        "httpx says every URL at INFO, to which the host sets the root logger"
    )


def test_streams_are_whole_under_the_runtimes_own_server(
    chat: Instance, upstream: Upstream, account: SimulatedAccount
) -> None:
    with httpx.Client(trust_env=False, timeout=20) as http:
        streamed: Streamed = Client(http, chat.url, account.token).stream("[scene:text chars=5000]")
    assert (streamed.status, len(streamed.text), streamed.finish_reason) == (200, 5000, "stop")
    assert streamed.is_done


def test_the_cold_start_is_reported(
    output: Output, python: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = init_time.report(output, python, tmp_path)
    with capsys.disabled():
        print(f"\n{told}")
    assert all(name in told for name in output.bundles)


def test_the_first_content_of_a_new_process_is_reported(
    output: Output, python: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = first_content.report(output, python, tmp_path, rounds=5)
    with capsys.disabled():
        print(f"\n{told}")
    assert CHAT.removeprefix("/") in told
