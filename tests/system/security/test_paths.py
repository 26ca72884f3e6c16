"""Paths that mean to confuse: each is a route's own answer or a 404, and never a way round the key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Message

from hosts.box.mounting import API_FOLDER, function_files, load, mount
from hosts.routes import ENDPOINTS
from tests.support.client import KEY
from tests.support.live import LiveGateway
from tests.support.wire import RawClient
from tests.system.security.conftest import Answers

ROUTE, NONE, INVALID = 401, 404, 400
"""What a stranger is told: a route's refusal; nothing is there; that is no HTTP (the server's own words)."""

TARGETS: list[tuple[bytes, set[int]]] = [
    (b"/v1/models", {ROUTE}),
    (b"/api/v1/models", {ROUTE}),
    (b"/v1/%6dodels", {ROUTE}),
    (b"/v1%2fmodels", {ROUTE}),
    (b"/v1%2Fchat%2fcompletions", {405}),
    (b"//v1/models", {ROUTE}),
    (b"/v1//models", {ROUTE}),
    (b"/api//v1/models", {ROUTE}),
    (b"/api/api/v1/models", {NONE}),
    (b"/v1/./models", {NONE}),
    (b"/v1/../v1/models", {NONE}),
    (b"/../../v1/models", {NONE}),
    (b"/%2e%2e/v1/models", {NONE}),
    (b"/ping/../v1/models", {NONE}),
    (b"/ping/..;/v1/models", {NONE}),
    (b"/health%2f..%2fv1%2fmodels", {NONE}),
    (b"/V1/Models", {NONE}),
    (b"/v1/models/", {ROUTE}),
    (b"/v1/models//", {ROUTE}),
    (b"/v1/models;x=1", {NONE}),
    (b"/v1/models%00", {NONE}),
    (b"/v1/models%0a", {NONE}),
    (b"/v1/models%0d%0ax-injected:1", {NONE}),
    (b"/v1/models%20", {NONE}),
    (b"/v1/models%ff%fe", {NONE}),
    (b"/v1/models%c0%af", {NONE}),
    (b"/v1/models/%2e%2e", {ROUTE}),
    (b"/v1/models/%2e%2e%2f%2e%2e%2fhealth", {NONE}),
    (b"/v1/models/%00", {ROUTE}),
    (b"/v1/models/%ff", {ROUTE}),
    (b"/v1/models/%", {ROUTE}),
    (b"/v1/models/%zz%u0041", {ROUTE}),
    (b"/v1/models/a;key=1", {ROUTE}),
    (b"/v1/models/%3fkey=" + KEY.encode(), {ROUTE}),
    (b"/v1/models?", {ROUTE}),
    (b"/v1/models?key=" + KEY.encode() + b"x", {ROUTE}),
    (b"/v1/models?key=%ff%00%0d%0a", {ROUTE}),
    (b"/v1/models?%ff=%", {ROUTE}),
    (b"/v1/models#x", {ROUTE, NONE}),
    (b"/v1/videos/..%2f..%2fping", {NONE}),
    (b"/v1/videos/video_%00%ff", {ROUTE}),
    (b"http://g/v1/models", {ROUTE, NONE}),
    (b"http://elsewhere.example/v1/models", {ROUTE, NONE}),
    (b"http://user@g:9/v1/models", {ROUTE, NONE}),
    (b"https://elsewhere.example", {INVALID, NONE}),
    (b"//elsewhere.example/v1/models", {NONE}),
    (b"*", {NONE}),
    (b"v1/models", {INVALID, NONE}),
    (b"\\v1\\models", {INVALID, NONE}),
    (b"?", {INVALID, NONE}),
    (b"x:y:z", {INVALID, NONE}),
    ("/v1/modèls".encode(), {INVALID}),
    (b"/v1/models\x7f", {INVALID}),
    (b"/v1/mo\x00dels", {INVALID}),
    (b"/v1/models HTTP/1.1 x", {INVALID}),
    (b"/" + b"a" * 40_000, {NONE}),
    (b"/v1/models/" + b"%41" * 15_000, {ROUTE}),
    (b"/api/index.py", {NONE}),
    (b"/lib/settings.py", {NONE}),
    (b"/.env", {NONE}),
    (b"/.git/config", {NONE}),
]


def ask(url: str, target: bytes, *lines: bytes, method: bytes = b"GET") -> Answers:
    """Send one request exactly so, and read all that comes."""
    with RawClient(url) as raw:
        first = method + b" " + target + b" HTTP/1.1"
        raw.send(b"\r\n".join([first, b"host: g", b"connection: close", *lines, b"", b""]))
        raw.read_to_end()
        return Answers(raw.received)


def holds_our_shape(answers: Answers) -> None:
    [(status, headers, body)] = answers.all
    if status == INVALID:
        assert body == b"Invalid HTTP request received."
        return
    assert headers["content-type"] == ["application/json"]
    assert len(headers["x-request-id"]) == 1
    assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}
    assert len(body) < 2000, "a path is not sent back whole"


@pytest.mark.parametrize(("target", "statuses"), TARGETS, ids=[repr(target[:40]) for target, _ in TARGETS])
def test_a_stranger_gets_a_routes_refusal_or_nothing(
    either: LiveGateway, target: bytes, statuses: set[int]
) -> None:
    answers = ask(either.url, target)
    assert set(answers.statuses) <= statuses
    holds_our_shape(answers)
    assert b"x-injected" not in answers.raw.partition(b"\r\n\r\n")[0]


@pytest.mark.parametrize(
    "method", [b"HEAD", b"OPTIONS", b"PUT", b"TRACE", b"CONNECT", b"PURGE", b"get", b"X" * 5000]
)
@pytest.mark.parametrize("target", [b"/v1/models", b"*", b"/nothing"])
def test_no_method_is_a_way_in(either: LiveGateway, method: bytes, target: bytes) -> None:
    [(status, _, body)] = ask(either.url, target, method=method).all
    assert status in {204, INVALID, ROUTE, NONE, 405}
    assert len(body) < 1000


@pytest.mark.parametrize("target", [b"/v1/models", b"/api/v1/models", b"/v1/%6dodels", b"/v1%2fmodels"])
def test_with_the_key_the_same_routes_answer(either: LiveGateway, target: bytes) -> None:
    assert ask(either.url, target, f"authorization: Bearer {KEY}".encode()).statuses == [200]


@pytest.mark.parametrize("host", [b"[", b"]:x", b"a b", b"x\\y", b"", b"g/..//x", b"\xff", b"a" * 5000])
@pytest.mark.parametrize("target", [b"/", b"/nothing", b"/v1/models", b"/openapi.json"])
def test_no_host_is_a_fault_of_ours(either: LiveGateway, host: bytes, target: bytes) -> None:
    with RawClient(either.url) as raw:
        raw.send(b"GET " + target + b" HTTP/1.1\r\nhost: " + host + b"\r\nconnection: close\r\n\r\n")
        raw.read_to_end()
    assert Answers(raw.received).statuses[0] in {200, 400, 401, 404}


# The files one by one, as serverless hosts run them


async def status_of(app: ASGIApp, path: str) -> int:
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "root_path": "",
        "query_string": b"",
        "headers": [],
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    assert set(json.loads(sent[1]["body"])) in ({"error"}, {"type", "error", "request_id"})
    return int(sent[0]["status"])


OPEN = {"index.py", "ping.py", "health.py"}
FILES = [path for path in function_files(API_FOLDER) if path.name not in OPEN]
OWN = {endpoint.file: endpoint.paths[0] for endpoint in ENDPOINTS}
MEANT = ("/{}", "{}/", "/{}//")
"""A slash too many is understood (lib/web/paths.py), and leads to no other answer than the path's own."""
CHANGES = (
    "/.{}", "/..{}", "{}/../ping", "{};x", "{}\x00", "{}\n", "{}\r\n", "\n{}", "{}\ufffd",
    "{}%2f", "/api/api{}", "/API{}", "x{}", "{} ",
)  # fmt: skip


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(API_FOLDER).as_posix())
async def test_no_file_answers_at_a_path_beside_its_own(environment: pytest.MonkeyPatch, file: Path) -> None:
    environment.setenv("API_KEYS", KEY)
    one, all_files = load(file), mount(API_FOLDER)
    own = OWN[f"api/{file.relative_to(API_FOLDER).as_posix()}"]
    for path in (own, f"/api{own}", *(change.format(own) for change in MEANT)):
        assert {await status_of(one, path), await status_of(all_files, path)} <= {ROUTE, 405}
    for path in [change.format(own) for change in CHANGES] + [own.upper(), own[1:], ""]:
        assert await status_of(one, path) == NONE, path
        # What is beside /v1/videos/generations may be a video's id.
        assert await status_of(all_files, path) in {NONE, ROUTE}, path
