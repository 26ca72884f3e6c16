"""Guessing keys, over the whole way: who is slowed, who is not, and that it is bounded."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator

import httpx
import pytest
from starlette.routing import Route

from hosts.box.mounting import API_FOLDER, mount
from lib.web.ending import cut_short
from lib.web.guessing import GUESSES, LIMITS, GuessLimits
from tests.conftest import Upstream
from tests.support.client import CHAT, KEY, Client, error_of
from tests.support.live import LiveGateway
from tests.support.waiting import wait_until
from tests.support.wire import RawClient, head

FREE_FAILURES = LIMITS.free_failures
ROUTES = [
    ("POST", CHAT),
    ("POST", "/v1/completions"),
    ("POST", "/v1beta/models/glm-5.3:generateContent"),
    ("POST", "/v1beta/models/glm-5.3:streamGenerateContent"),
    ("POST", "/v1beta/models/glm-5.3:countTokens"),
    ("POST", "/v1/models/glm-5.3:generateContent"),
    ("POST", "/v1/models/glm-5.3:streamGenerateContent"),
    ("POST", "/v1/models/glm-5.3:countTokens"),
    ("GET", "/v1beta/models"),
    ("GET", "/v1beta/models/glm-5.3"),
    ("POST", "/v1/messages"),
    ("POST", "/v1/messages/count_tokens"),
    ("POST", "/v1/responses"),
    ("GET", "/v1/responses/response_x"),
    ("DELETE", "/v1/responses/response_x"),
    ("GET", "/v1/responses/response_x/input_items"),
    ("POST", "/v1/images/generations"),
    ("POST", "/v1/videos"),
    ("GET", "/v1/videos/video_x"),
    ("DELETE", "/v1/videos/video_x"),
    ("GET", "/v1/videos/video_x/content"),
    ("POST", "/v1/videos/generations"),
    ("GET", "/v1/videos/generations/video_x"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/glm-5.3"),
    ("POST", "/token/check"),
    ("GET", "/tokens"),
    ("POST", "/tokens"),
    ("DELETE", "/tokens/label_x"),
    ("GET", "/health?deep=1"),
    ("GET", "/health?stream=1"),
]
OPEN = {"GET /", "GET /index", "GET /ping", "GET /robots.txt", "GET /health", "GET /openapi.json"}
WRONG = f"{KEY}-but-wrong"


def test_no_route_is_forgotten_here() -> None:
    routes = [route for app in mount(API_FOLDER)._apps for route in app.routes]
    served = {
        f"{method} {route.path}"
        for route in routes
        if isinstance(route, Route) and not route.path.startswith("/api")
        for method in (route.methods or set()) - {"HEAD"}
    }
    asked = {
        f"{method} {re.sub('video_x|response_x|label_x|glm-5.3|[?].*', '*', path)}" for method, path in ROUTES
    }
    assert {re.sub("{.*?}", "*", route) for route in served - OPEN} == asked - {"GET /health*"}


def code_of(response: httpx.Response) -> str:
    """Return the gateway's code, which Google's form keeps as the reason of a detail."""
    error = response.json()["error"]
    return str(error["details"][0]["reason"] if "details" in error else error["code"])


def guess(client: Client, method: str = "GET", path: str = "/v1/models", key: str = WRONG) -> httpx.Response:
    return client.request(method, path, headers={"authorization": f"Bearer {key}"})


@pytest.fixture
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse at once whatever would wait: to see what would."""
    monkeypatch.setattr(GUESSES, "limits", GuessLimits(max_waiting=0))


@pytest.mark.usefixtures("_nobody_waits")
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_guesses_are_slowed_on_every_route_that_asks_for_a_key(
    client: Client, method: str, path: str
) -> None:
    for _ in range(FREE_FAILURES):
        refused = guess(client, method, path)
        assert (refused.status_code, code_of(refused)) == (401, "invalid_api_key")
    slowed = guess(client, method, path)
    assert (slowed.status_code, code_of(slowed)) == (429, "too_many_attempts")
    assert 1 <= int(slowed.headers["retry-after"]) <= 4
    assert KEY not in slowed.text


@pytest.mark.usefixtures("_nobody_waits")
def test_a_token_in_the_body_is_a_credential_like_any(client: Client) -> None:
    def check() -> httpx.Response:
        return client._http.post(f"{client.url}/token/check", json={"token": "no-token"})

    assert [check().status_code for _ in range(FREE_FAILURES + 1)] == [401] * FREE_FAILURES + [429]


@pytest.mark.usefixtures("_nobody_waits")
def test_the_right_key_is_never_slowed_and_neither_is_who_sends_none(client: Client) -> None:
    for _ in range(20):
        guess(client)
        assert guess(client, key=KEY).status_code == 200
        assert client._http.get(f"{client.url}/v1/models").status_code == 401


@pytest.mark.usefixtures("_nobody_waits")
def test_a_hashed_key_is_right_as_a_clear_one_is(client: Client, environment: pytest.MonkeyPatch) -> None:
    digest = f"sha256:{hashlib.sha256(KEY.encode()).hexdigest()}"
    environment.setenv("API_KEYS", digest)
    for _ in range(20):
        assert guess(client, key=KEY).status_code == 200
        assert guess(client, key=digest).status_code in {401, 429}


@pytest.mark.usefixtures("_nobody_waits")
def test_tokens_that_the_upstream_refuses_are_slowed_like_wrong_keys(
    client: Client, upstream: Upstream, environment: pytest.MonkeyPatch
) -> None:
    environment.delenv("API_KEYS")
    environment.setenv("ALLOW_PASSTHROUGH", "true")
    dead = upstream.add_account()
    upstream.sim.revoke(dead.uid)
    client.credential = dead.token
    for number in range(2 * FREE_FAILURES):
        answer = client.chat()
        is_free = number < FREE_FAILURES
        told = (401, "refresh_token_expired") if is_free else (429, "too_many_attempts")
        assert (answer.status_code, error_of(answer)["code"]) == told


@pytest.fixture
def held(
    client: Client, gateway: LiveGateway, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], RawClient]]:
    """Give a function that guesses once more, whose answer then waits until the test is over."""
    monkeypatch.setattr(
        GUESSES, "limits", GuessLimits(first_delay_s=3600.0, max_delay_s=3600.0, max_waiting=3)
    )
    waiting: list[RawClient] = []
    for _ in range(FREE_FAILURES):
        guess(client)

    def hold() -> RawClient:
        waiting.append(RawClient(gateway.url))
        waiting[-1].send(head("GET", "/v1/models", {"authorization": f"Bearer {WRONG}"}))
        wait_until(lambda: GUESSES._waiting == len(waiting))
        return waiting[-1]

    yield hold
    gateway.loop.call_soon_threadsafe(cut_short)  # as at the end of the server
    for raw in waiting:
        assert b"shutting_down" in raw.read_until(b"shutting_down")
        raw.close()
    wait_until(lambda: GUESSES._waiting == 0)


def test_while_guesses_wait_the_right_key_is_served_and_the_next_guess_refused(
    client: Client, held: Callable[[], RawClient]
) -> None:
    for _ in range(3):
        held()
    for _ in range(5):
        assert client.text("[scene:text chars=9]")
        assert guess(client).status_code == 429
    assert GUESSES._waiting == 3


def test_a_guess_that_waits_is_told_when_the_server_ends(held: Callable[[], RawClient]) -> None:
    assert held().received == b""
