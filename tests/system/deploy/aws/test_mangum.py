"""The functions that answer at once, under AWS's own runtime emulator, with the events of every front."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Upstream
from tests.support.waiting import wait_until
from tests.system.deploy.aws.conftest import World
from tests.system.deploy.aws.events import EVENTS, Asked, MakeEvent, body_of, rest_v1
from tests.system.deploy.conftest import ROOT

OWNER_KEY = "sk-of-the-owner"
every_front = pytest.mark.parametrize("event", EVENTS, ids=[make.__name__ for make in EVENTS])


def json_of(answer: dict[str, Any]) -> Any:
    return json.loads(body_of(answer))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@every_front
def test_ping_and_the_page_answer(world: World, event: MakeEvent) -> None:
    with world.emulator("index") as ping:
        answer = ping.invoke(event(Asked("GET", "/ping", {"X-Request-Id": "mine"})))
        assert (answer["statusCode"], body_of(answer)) == (200, b"pong")
        assert answer["headers"]["x-request-id"] == "mine"
    with world.emulator("index") as index:
        answer = index.invoke(event(Asked("GET", "/")))
        assert answer["statusCode"] == 200
        scripts = re.findall(rb'<script type="module" src="(app\.js\?v=\w+)">', body_of(answer))
        assert len(scripts) == 1
        assert '"route":"/"' in index.logged
        for name in ("app.js", "style.css", "icon.svg"):
            file = index.invoke(event(Asked("GET", f"/{name}", query="v=1")))
            assert (file["statusCode"], file.get("isBase64Encoded", False)) == (200, False), name
        for method, path in (("GET", "/nowhere"), ("POST", "/v1/a%20b"), ("GET", "//v1//x")):
            answer = index.invoke(event(Asked(method, path)))
            assert answer["statusCode"] == 404
            assert json_of(answer)["error"]["code"] == "not_found"


@every_front
def test_an_account_is_added_listed_and_removed(world: World, event: MakeEvent, upstream: Upstream) -> None:
    token = upstream.add_account().token
    owner = bearer(OWNER_KEY)
    with world.emulator("token", API_KEYS=OWNER_KEY) as tokens:
        body = json.dumps({"token": token}).encode()
        answer = tokens.invoke(event(Asked("POST", "/tokens", owner, body)))
        assert answer["statusCode"] == 201, body_of(answer)
        label = json_of(answer)["label"]
        answer = tokens.invoke(event(Asked("GET", "/tokens", owner)))
        assert [account["label"] for account in json_of(answer)["accounts"]] == [label]

        # Gemini's clients send their key in the query.
        answer = tokens.invoke(event(Asked("GET", "/tokens", query=f"x=1&key={OWNER_KEY}")))
        assert answer["statusCode"] == 200
        answer = tokens.invoke(event(Asked("GET", "/tokens")))
        assert (answer["statusCode"], json_of(answer)["error"]["code"]) == (401, "invalid_api_key")

        encoded = f"/tokens/%{ord(label[0]):02x}{label[1:]}"
        for status in (204, 404):
            answer = tokens.invoke(event(Asked("DELETE", encoded, owner)))
            assert answer["statusCode"] == status, body_of(answer)
        assert token not in tokens.logged
        assert OWNER_KEY not in tokens.logged


@every_front
def test_a_warm_function_keeps_its_connections(world: World, event: MakeEvent, upstream: Upstream) -> None:

    def asked() -> Asked:
        token = upstream.add_account().token  # what is known of an account would not be asked again
        return Asked("POST", "/token/check", body=json.dumps({"token": token}).encode())

    with world.emulator("token") as check:
        for _ in range(3):
            answer = check.invoke(event(asked()))
            assert answer["statusCode"] == 200, body_of(answer)
        assert upstream.count("user/refresh") == 3
        assert world.upstream_relay.connections == 1
        assert world.table_relay.connections == 1

        # Frozen for long, all of them are closed; the next invocation does not show it.
        world.upstream_relay.cut()
        world.table_relay.cut()
        answer = check.invoke(event(asked()))
        assert answer["statusCode"] == 200, body_of(answer)
        assert world.upstream_relay.connections == 2
        assert '"level":"WARNING"' not in check.logged


@every_front
def test_bodies_come_in_every_form(world: World, event: MakeEvent, upstream: Upstream) -> None:
    account = upstream.add_account()
    body = json.dumps({"token": account.token, "注": "é"}, ensure_ascii=False).encode()
    json_type = {"Content-Type": "application/json; charset=utf-8"}
    with world.emulator("token") as check:
        for is_base64 in (False, True):
            answer = check.invoke(event(Asked("POST", "/token/check", json_type, body, is_base64)))
            assert answer["statusCode"] == 200, body_of(answer)

        # No body at all: then the header's credential is what is checked
        for empty in (None, b""):
            answer = check.invoke(event(Asked("POST", "/token/check", bearer(account.token), empty)))
            assert answer["statusCode"] == 200, body_of(answer)

        answer = check.invoke(event(Asked("POST", "/token/check", json_type, b"{", is_base64=True)))
        assert json_of(answer)["error"]["code"] == "invalid_json"
        answer = check.invoke(event(Asked("GET", "/token/check")))
        assert answer["statusCode"] == 405
        assert answer["headers"]["allow"] == "POST"


@every_front
def test_cookies_and_preflights_do_no_harm(world: World, event: MakeEvent, upstream: Upstream) -> None:
    account = upstream.add_account()
    cookies = ("a=1", "chatglm_refresh_token=x.y.z", "c=é")
    with world.emulator("token") as check:
        asked = Asked("POST", "/token/check", bearer(account.token), cookies=cookies)
        answer = check.invoke(event(asked))
        assert answer["statusCode"] == 200
        assert not answer.get("cookies")
        assert "set-cookie" not in answer["headers"]
        assert upstream.sim.calls
        assert all("cookie" not in call.headers for call in upstream.sim.calls)

        headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
        answer = check.invoke(event(Asked("OPTIONS", "/token/check", headers)))
        assert answer["statusCode"] == 200
        assert answer["headers"]["access-control-allow-origin"] == "*"


def test_health_tells_of_the_table_and_of_no_secret(world: World, upstream: Upstream) -> None:
    account = upstream.add_account()
    with world.emulator("health", CHATGLM_REFRESH_TOKENS=account.token, API_KEYS="sk-mine") as health:
        answer = health.invoke(rest_v1(Asked("GET", "/health")))
    told = json_of(answer)
    assert (told["status"], told["store"], told["accounts"]) == ("ok", "dynamodb", 1)
    text = body_of(answer).decode()
    assert account.token not in text
    assert "sk-mine" not in text
    assert world.table not in text


# What Mangum must not do, shown with a function that is not deployed: a whole chat under it

CHAT = """
from mangum import Mangum
from api.v1.chat.completions import app
handler = Mangum(app, lifespan="off")
"""


def chat(prompt: str = "Hello!", **fields: Any) -> bytes:
    messages = [{"role": "user", "content": prompt}]
    return json.dumps({"model": "glm-5.3", "messages": messages, **fields}).encode()


@pytest.fixture
def chat_module(tmp_path: Path) -> str:
    (tmp_path / "buffered_chat.py").write_text(CHAT)
    return str(tmp_path)


def test_cleaning_up_is_part_of_the_invocation(world: World, upstream: Upstream, chat_module: str) -> None:
    account = upstream.add_account()
    with world.emulator("token", handler="buffered_chat.handler", PYTHONPATH=chat_module) as function:
        for _ in range(2):
            event = rest_v1(Asked("POST", "/v1/chat/completions", bearer(account.token), chat()))
            answer = function.invoke(event)
            # Now: nothing of the function runs until its next event.
            assert upstream.sim.live_conversations() == []
            assert answer["statusCode"] == 200, body_of(answer)
            assert json_of(answer)["choices"][0]["finish_reason"] == "stop"
        assert world.upstream_relay.connections == 1
        assert '"level":"ERROR"' not in function.logged


def test_an_answer_ends_before_the_function_does(world: World, upstream: Upstream, chat_module: str) -> None:
    account = upstream.add_account()
    upstream.sim.play("stall")
    module = {"handler": "buffered_chat.handler", "PYTHONPATH": chat_module}
    with world.emulator("token", timeout_s=4, **module) as function:
        # The header is the adapter's: under Mangum it is the caller's, and says nothing.
        headers = bearer(account.token) | {"x-amzn-lambda-context": '{"deadline": 99999999999999}'}
        answer = function.invoke(rest_v1(Asked("POST", "/v1/chat/completions", headers, chat())))
    assert answer["statusCode"] == 200, body_of(answer)
    (choice,) = json_of(answer)["choices"]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["content"]
    wait_until(lambda: upstream.sim.active_generations() == 0)


def test_nothing_of_ours_runs_a_loop_of_its_own() -> None:
    """asyncio.run() would take the loop away that Mangum keeps for every invocation of the process."""
    for file in [*ROOT.glob("lib/**/*.py"), *ROOT.glob("api/**/*.py"), ROOT / "hosts/aws/handlers.py"]:
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "asyncio"
            ):
                assert node.attr not in {"run", "Runner", "new_event_loop", "set_event_loop"}, file
