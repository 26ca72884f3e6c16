"""What every endpoint has: paths, methods, credentials, CORS, limits, a log; and the small ones whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from lib.dialects.openai_errors import error_body
from lib.errors import Throttled
from lib.web.app import create_app
from lib.web.edge import EXPOSED_HEADERS
from lib.web.guessing import GUESSES
from tests.conftest import SimulatedAccount, Upstream
from tests.support.client import CHAT, KEY, Client, chat_body, error_of
from tests.support.live import LiveGateway
from tests.support.log import logged
from tests.support.waiting import wait_until
from tests.support.wire import RawClient, head

ENDPOINTS = [
    ("GET", "/v1/models"),
    ("GET", "/v1/models/glm-5.3"),
    ("GET", "/ping"),
    ("GET", "/health"),
    ("GET", "/"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/token/check"),
]


def ask(client: Client, method: str, path: str, **options: Any) -> Any:
    body = chat_body("[scene:text chars=9]") if "chat" in path else {}
    content = {} if method == "GET" else {"json": body}
    return client.request(method, path, **content, **options)


@pytest.mark.parametrize("prefix", ["", "/api"])
@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_every_endpoint_answers_at_its_path_and_below_api(
    client: Client, method: str, path: str, prefix: str
) -> None:
    response = ask(client, method, prefix + path)
    assert response.status_code == 200, response.text
    assert response.headers["x-request-id"]


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_a_wrong_method_is_refused_with_those_that_are_right(client: Client, method: str, path: str) -> None:
    response = client.request("DELETE", path)
    error = error_of(response)
    assert (response.status_code, error["code"]) == (405, "method_not_allowed")
    assert method in response.headers["allow"]
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "path", ["/nothing", "/v1", "/v1/chat", "/api/v1/nothing", "/v1/modelsx", "/proxy/v1/models"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_an_unknown_path_is_not_found(client: Client, method: str, path: str) -> None:
    response = client.request(method, path)
    assert response.status_code == 404
    if method != "HEAD":
        assert error_of(response)["code"] == "not_found"


@pytest.mark.parametrize(
    "path",
    [
        "/chat/completions",
        "/v1/v1/chat/completions",
        "//v1//chat/completions/",
        "/v1/chat/completions/v1/chat/completions",
        "/v1/chat/completions/chat/completions",
        "/api/v1/v1/chat/completions",
        "/v1/messages/v1/chat/completions",
    ],
)
def test_a_wrong_base_url_is_understood(client: Client, gateway: LiveGateway, path: str) -> None:
    with logged() as lines:
        assert client.post(path, chat_body()).status_code == 200
        wait_until(gateway.is_idle)
    assert lines[0]["route"] == CHAT
    assert client.get(path).headers["allow"] == "POST"


def test_an_unknown_path_is_answered_with_the_base_url(client: Client) -> None:
    said = error_of(client.get("/v2/models"))["message"]
    assert f"{client.url}/v1 for OpenAI's clients" in said
    said = error_of(client.post("/v1/files", {}))["message"]
    assert "Send a file inside the message" in said


@pytest.mark.parametrize("path", ["/v1/models", "/ping", "/health", "/"])
def test_head_answers_as_get_does_without_the_body(client: Client, path: str) -> None:
    response = client.request("HEAD", path)
    assert response.status_code == 200
    assert response.content == b""
    assert int(response.headers["content-length"]) > 0


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_options_tells_the_methods(client: Client, method: str, path: str) -> None:
    response = client.request("OPTIONS", path)
    assert response.status_code == 204
    assert method in response.headers["allow"]


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_a_browser_may_ask_from_any_page(client: Client, method: str, path: str) -> None:
    asked = {
        "origin": "https://app.example",
        "access-control-request-method": method,
        "access-control-request-headers": "authorization, content-type, x-stainless-lang",
    }
    preflight = client.request("OPTIONS", path, headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    assert method in preflight.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in preflight.headers
    response = ask(client, method, path, headers={"origin": "https://app.example"})
    assert response.headers["access-control-allow-origin"] == "*"
    exposed = response.headers["access-control-expose-headers"].lower()
    assert all(name in exposed for name in EXPOSED_HEADERS)


def test_errors_reach_a_browser_too(client: Client) -> None:
    origin = {"origin": "https://app.example"}
    for response in (
        client.request("GET", "/nothing", headers=origin),
        client.request("POST", CHAT, content=b"{", headers=origin),
        client.request("POST", CHAT, headers=origin | {"authorization": "Bearer wrong"}),
    ):
        assert response.status_code >= 400
        assert response.headers["access-control-allow-origin"] == "*"


# Request ids


def test_a_request_id_is_taken_over_where_it_is_harmless(client: Client) -> None:
    for good in ("abc-123_X.9", "a" * 64):
        assert client.get("/ping", headers={"x-request-id": good}).headers["x-request-id"] == good
    for bad in ("a b", "x" * 65, "a;b", 'a"', "<script>"):
        assert re.fullmatch(
            r"[0-9a-f]{32}", client.get("/ping", headers={"x-request-id": bad}).headers["x-request-id"]
        )
    ids = {client.get("/ping").headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


def test_errors_have_a_request_id_too(client: Client) -> None:
    given = {"x-request-id": "mine"}
    for response in (
        client.get("/nothing", headers=given),
        client.request("POST", CHAT, content=b"{", headers=given),
        client.request("OPTIONS", CHAT, headers=given),
    ):
        assert response.headers["x-request-id"] == "mine"
        assert response.headers["request-id"] == "mine", "Anthropic's SDKs read this one"


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/responses/x", {"GET", "HEAD", "DELETE"}),
        ("/v1/videos/x", {"GET", "HEAD", "DELETE"}),
        ("/v1/messages", {"POST"}),
        ("/v1beta/models/x:generateContent", {"POST"}),
        ("/v1/models/x", {"GET", "HEAD"}),
    ],
)
def test_a_refused_method_is_answered_with_all_methods_of_the_path(
    client: Client, path: str, methods: set[str]
) -> None:
    for prefix in ("", "/api"):
        response = client.request("PUT", prefix + path)
        assert response.status_code == 405
        assert set(response.headers["allow"].split(", ")) == methods
        assert all(method in response.text for method in methods)


# Credentials


def bare(client: Client, path: str = "/v1/models", **headers: str) -> Any:
    spelled = {name.replace("_", "-"): value for name, value in headers.items()}
    return client._http.request("GET", client.url + path, headers=spelled)


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"authorization": f"Bearer {KEY}"}, ""),
        ({"authorization": f"bearer   {KEY}"}, ""),
        ({"x_api_key": KEY}, ""),
        ({"x_goog_api_key": KEY}, ""),
        ({"api_key": KEY}, ""),
        ({}, f"?key={KEY}"),
        ({"authorization": "Basic eDp5", "x_api_key": KEY}, ""),
    ],
)
def test_the_owners_key_is_known_wherever_clients_put_it(
    client: Client, headers: dict[str, str], query: str
) -> None:
    assert bare(client, "/v1/models" + query, **headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": f"Basic {KEY}"},
        {"x_api_key": ""},
        {"x_api_key": KEY + "x"},
    ],
)
def test_whoever_has_no_key_is_nobody(client: Client, headers: dict[str, str]) -> None:
    response = bare(client, **headers)
    error = error_of(response)
    assert (response.status_code, error["type"], error["code"]) == (
        401,
        "authentication_error",
        "invalid_api_key",
    )
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["x-should-retry"] == "false"
    assert KEY not in response.text


def test_every_key_of_the_owner_opens(client: Client, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("API_KEYS", f"sk-first, {KEY} ,sk-third")
    for key in ("sk-first", KEY, "sk-third"):
        assert bare(client, x_api_key=key).status_code == 200
    assert bare(client, x_api_key=f"sk-first, {KEY}").status_code == 401


def test_with_keys_a_token_of_the_callers_own_is_refused_unless_allowed(
    client: Client, upstream: Upstream, environment: pytest.MonkeyPatch
) -> None:
    own = upstream.add_account()
    client.credential = own.token
    assert client.chat().status_code == 401
    environment.setenv("ALLOW_PASSTHROUGH", "true")
    assert client.chat().headers["x-glm-account"] == own.label


def test_without_keys_callers_bring_their_tokens_and_the_owners_are_out_of_reach(
    client: Client, upstream: Upstream, environment: pytest.MonkeyPatch, account: SimulatedAccount
) -> None:
    environment.delenv("API_KEYS")
    environment.setenv("ALLOW_PASSTHROUGH", "true")
    for credential in (KEY, "x", "undefined", "a.b", ","):
        assert bare(client, "/v1/models", authorization=f"Bearer {credential}").status_code == 401
    own = upstream.add_account()
    client.credential = own.token
    assert client.chat().headers["x-glm-account"] == own.label
    assert {call.uid for call in upstream.sim.calls} == {own.uid}


def test_several_tokens_make_a_pool_for_the_request(
    client: Client, upstream: Upstream, environment: pytest.MonkeyPatch
) -> None:
    environment.delenv("API_KEYS")
    environment.setenv("ALLOW_PASSTHROUGH", "true")
    dead, alive = upstream.add_account(), upstream.add_account()
    upstream.sim.revoke(dead.uid)
    client.credential = f"{dead.token},{alive.token}"
    response = client.chat("[scene:text chars=9]")
    assert response.headers["x-glm-account"] == alive.label
    assert response.json()["id"].endswith(f"-{alive.label}")
    client.credential = f"{alive.token},not a token"
    assert client.chat().status_code == 401


def test_a_dead_token_of_the_callers_own_is_the_callers_matter(
    client: Client, upstream: Upstream, environment: pytest.MonkeyPatch
) -> None:
    environment.delenv("API_KEYS")
    environment.setenv("ALLOW_PASSTHROUGH", "true")
    dead, guest = upstream.add_account(), upstream.add_account(guest=True)
    upstream.sim.revoke(dead.uid)
    for account, code in ((dead, "refresh_token_expired"), (guest, "guest_account")):
        client.credential = account.token
        response = client.chat()
        assert (response.status_code, error_of(response)["code"]) == (401, code)
        assert account.token not in response.text


def test_a_key_without_accounts_says_what_is_missing(client: Client, environment: pytest.MonkeyPatch) -> None:
    environment.delenv("CHATGLM_REFRESH_TOKENS")
    response = client.chat()
    error = error_of(response)
    assert (response.status_code, error["code"]) == (503, "no_account_available")
    assert "CHATGLM_REFRESH_TOKENS" in error["message"]


# Limits


def test_a_body_too_large_is_refused_before_it_is_read(
    client: Client, environment: pytest.MonkeyPatch, gateway: LiveGateway
) -> None:
    environment.setenv("MAX_BODY_BYTES", "1000")
    response = client.chat("x" * 1000)
    assert (response.status_code, error_of(response)["code"]) == (413, "request_too_large")
    with RawClient(gateway.url) as raw:  # only announced
        raw.send(head("POST", CHAT, {"content-length": "1001", "authorization": f"Bearer {KEY}"}))
        assert raw.read_until(b"request_too_large").startswith(b"HTTP/1.1 413")
    with RawClient(gateway.url) as raw:  # never announced
        raw.send(head("POST", CHAT, {"transfer-encoding": "chunked", "authorization": f"Bearer {KEY}"}))
        raw.send(b"300\r\n" + b"[" * 0x300 + b"\r\n" + b"300\r\n" + b"[" * 0x300 + b"\r\n")
        assert raw.read_until(b"request_too_large").startswith(b"HTTP/1.1 413")


# The small endpoints


def test_ping_pongs_whatever_is_configured(client: Client, environment: pytest.MonkeyPatch) -> None:
    assert client.get("/ping").text == "pong"
    environment.setenv("HEARTBEAT_S", "often")
    assert client.get("/ping").text == "pong"


def test_wrong_settings_are_told_in_the_error_shape(client: Client, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HEARTBEAT_S", "often")
    environment.setenv("LOG_LEVEL", "loud")
    for path in ("/health", "/v1/models"):
        response = client.get(path)
        error = error_of(response)
        assert (response.status_code, error["code"]) == (500, "invalid_configuration")
        assert "HEARTBEAT_S" in error["message"]
        assert "LOG_LEVEL" in error["message"]


def test_health_tells_what_is_configured_and_no_secret(
    client: Client,
    environment: pytest.MonkeyPatch,
    account: SimulatedAccount,
    upstream: Upstream,
    tmp_path: Path,
) -> None:
    environment.setenv("CHATGLM_SIGN_SECRET", "s1gn-s3cret")
    response = client.get("/health")
    health = response.json()
    assert health["status"] == "degraded"
    assert (health["accounts"], health["api_keys"], health["passthrough"]) == (1, 1, False)
    assert health["store"] == "memory"
    assert any("memory://" in note for note in health["notes"])
    for secret in (account.token, KEY, "s1gn-s3cret", upstream.base_url):
        assert secret not in response.text
    assert response.headers["cache-control"] == "no-store"
    assert upstream.sim.calls == []
    environment.setenv("STORE_URL", f"sqlite:///{tmp_path / 'state.db'}")
    assert client.get("/health").json()["status"] == "ok"


def test_the_page_repeats_no_host(client: Client) -> None:
    page = client.get("/", headers={"host": "glm.example", "x-forwarded-proto": "https"})
    assert page.headers["content-type"].startswith("text/html")
    assert "glm.example" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    hostile = client.get("/", headers={"host": 'x"><script>', "x-forwarded-proto": "javascript"})
    assert hostile.text == page.text


def test_the_models_are_listed_and_told_one_by_one(client: Client) -> None:
    listed = client.get("/v1/models").json()
    assert listed["object"] == "list"
    names = [model["id"] for model in listed["data"]]
    assert "glm-5.3" in names
    assert "glm-5.3-flash-deepthink" in names
    for name in names:
        assert client.get(f"/v1/models/{name}").json() in listed["data"]


def test_a_token_is_checked_where_it_is_put(
    client: Client, upstream: Upstream, environment: pytest.MonkeyPatch, account: SimulatedAccount
) -> None:
    mine = client.request("POST", "/token/check").json()
    assert mine["live"] is True
    assert set(mine) == {"live", "expires_at", "guest", "blocked"}
    other, dead = upstream.add_account(), upstream.add_account()
    upstream.sim.revoke(dead.uid)
    assert client.post("/token/check", {"token": other.token}).json()["live"] is True
    assert client.post("/token/check", {"token": dead.token}).json()["live"] is False
    both = client.post("/token/check", {"token": f"{dead.token}, {other.token}"}).json()
    assert both["live"] is True
    assert [check["live"] for check in both["accounts"]] == [False, True]
    environment.delenv("API_KEYS")
    environment.setenv("ALLOW_PASSTHROUGH", "true")
    fresh = upstream.add_account()
    assert not GUESSES.failures, "the owner may check any token"
    unsigned = client._http.post(client.url + "/token/check", json={"token": fresh.token})
    assert unsigned.json()["live"] is True
    assert client._http.post(client.url + "/token/check", json={"token": "junk"}).status_code == 401
    guesses = sum(count for count, _ in GUESSES.failures.values())
    assert client._http.post(client.url + "/token/check", json={"token": dead.token}).json()["live"] is False
    slowed = sum(count for count, _ in GUESSES.failures.values())
    assert slowed > guesses + 0.5, "a stranger's refused tokens are slowed, as in a chat"


def test_one_check_asks_for_a_few_tokens_at_most(client: Client, upstream: Upstream) -> None:
    many = ",".join(upstream.add_account().token for _ in range(17))
    refused = client.post("/token/check", {"token": many})
    assert (refused.status_code, error_of(refused)["param"]) == (400, "token")
    again = ",".join([upstream.add_account().token] * 50)
    assert client.post("/token/check", {"token": again}).json()["live"] is True
    assert upstream.count("user/refresh") == 1


def test_a_large_body_of_an_unknown_caller_is_not_read(
    client: Client, upstream: Upstream, environment: pytest.MonkeyPatch
) -> None:
    environment.delenv("API_KEYS")
    environment.setenv("ALLOW_PASSTHROUGH", "true")
    dead, alive = upstream.add_account(), upstream.add_account()
    upstream.sim.revoke(dead.uid)
    size = {"content-length": str(2 * 1024 * 1024)}
    with RawClient(client.url) as raw:
        raw.send(head("POST", CHAT, {**size, "authorization": f"Bearer {dead.token}"}) + b"{")
        assert raw.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 401 ")
    known = Client(client._http, client.url, alive.token)
    body = {**chat_body("[scene:text chars=9]"), "audio_": "a" * 2 * 1024 * 1024}
    assert known.post(CHAT, body).status_code == 200
    assert upstream.count("user/refresh") == 2


@pytest.mark.parametrize("token", [KEY, "令牌", "a b", "\n"])
def test_what_is_no_token_is_not_shown_to_the_upstream(
    client: Client, upstream: Upstream, token: str
) -> None:
    response = client.post("/token/check", {"token": token})
    assert response.status_code == 200
    assert token == "\n" or response.json()["live"] is False
    assert not any(token.strip() and token in str(call.headers) for call in upstream.sim.calls)


def test_a_check_that_the_upstream_does_not_answer_is_an_error(client: Client, upstream: Upstream) -> None:
    upstream.sim.fail("user/info", status=503, body=b"<html>")
    assert client.request("POST", "/token/check").status_code == 502


# The log


def test_a_line_of_the_log_tells_the_request_and_no_secret(
    client: Client, gateway: LiveGateway, upstream: Upstream, account: SimulatedAccount
) -> None:
    with logged() as lines:
        client.chat("my secret prompt", stream=True)
        client.get(f"/v1/models?key={KEY}")
        client.chat("[scene:error_10025_late] my secret prompt")
        client.request("POST", CHAT, content=b'{"messages": "my secret prompt"}')
        upstream.sim.fail("bulk_delete", status=500, times=2)
        upstream.sim.fail("conversation/delete", status=500, times=2)
        client.chat("my secret prompt")
        client.chat("go on", conversation_id="0" * 24)
        wait_until(gateway.is_idle)  # a line is written when all is done, the clean-up too
    text = json.dumps(lines, ensure_ascii=False)
    known = upstream.sim.account(account.uid)
    for secret in (
        KEY,
        account.token,
        known.refresh_token,
        *known.access_tokens,
        "my secret",
        "Bearer",
        "eyJ",
    ):
        assert secret not in text
    requests = [line for line in lines if line["message"] == "request"]
    assert sorted((line["method"], line["route"], line["status"]) for line in requests) == [
        ("GET", "/v1/models", 200),
        ("POST", CHAT, 200),
        ("POST", CHAT, 200),
        ("POST", CHAT, 400),
        ("POST", CHAT, 404),
        ("POST", CHAT, 502),
    ]
    assert all(line["bytes"] > 0 and line["request_id"] and not line["client_left"] for line in requests)
    assert any(line["message"] == "conversation not deleted" for line in lines)


# What nobody else caught


async def explode(request: Request) -> Response:
    raise LookupError("my secret prompt")


async def throttle(request: Request) -> Response:
    raise Throttled("Slower, please.", retry_after_s=2.2)


@pytest.fixture
def broken() -> Iterator[TestClient]:
    app = create_app(Route("/explode", explode), Route("/throttle", throttle), error_body=error_body)
    with TestClient(app, raise_server_exceptions=True) as client:
        yield client


def test_an_unexpected_exception_is_an_error_in_the_dialect(broken: TestClient) -> None:
    with logged() as lines:
        response = broken.get("/explode", headers={"x-request-id": "mine"})
    assert response.status_code == 500
    error = error_of(response)  # type: ignore[arg-type]
    assert (error["type"], error["code"]) == ("api_error", "internal_error")
    assert "secret" not in response.text + json.dumps(lines)
    assert response.headers["x-request-id"] == "mine"
    line = next(line for line in lines if line["message"] == "unexpected error")
    assert line["traceback"][0] == "LookupError"
    assert any("test_edges.py" in place for place in line["traceback"])


def test_a_throttle_says_when_to_come_again(broken: TestClient) -> None:
    response = broken.get("/throttle")
    assert (response.status_code, response.headers["retry-after"]) == (429, "3")
