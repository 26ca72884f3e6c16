"""GET /health over a live server: who may see what, and scripts/doctor, which looks at it all."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import ClassVar

import pytest
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from lib.upstreams.choose import close_services
from lib.version import VERSION
from simulator.official.app import Official
from simulator.official.server import OfficialServer
from tests.conftest import SimulatedAccount, Upstream
from tests.support.client import CHAT, KEY, Client, chat_body, error_of
from tests.support.live import LiveGateway
from tests.support.wire import RawClient, head

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "support" / "doctor.py"
OWNERS = ("/health?deep=1", "/health?deep=true&fresh=1", "/health?stream=1", "/api/health?deep=1")


@pytest.mark.parametrize("path", OWNERS)
def test_what_is_the_owners_wants_a_key(client: Client, upstream: Upstream, path: str) -> None:
    for authorization in ("", "Bearer wrong"):
        response = client.request("GET", path, headers={"authorization": authorization})
        assert response.status_code == 401
        assert error_of(response)["code"] == "invalid_api_key"
    assert upstream.sim.calls == []


@pytest.mark.parametrize("path", OWNERS)
def test_tokens_of_ones_own_open_no_look_at_the_owners(
    client: Client, upstream: Upstream, environment: pytest.MonkeyPatch, path: str
) -> None:
    environment.setenv("ALLOW_PASSTHROUGH", "true")
    client.credential = upstream.add_account().token
    response = client.get(path)
    assert (response.status_code, error_of(response)["type"]) == (401, "authentication_error")
    assert "key of API_KEYS" in error_of(response)["message"]
    assert upstream.sim.calls == []


@pytest.mark.parametrize(
    "path", ["/health", "/health?deep=0", "/health?deep=&stream=false", "/health?fresh=1"]
)
def test_anybody_may_look_and_the_upstream_is_left_alone(
    client: Client, upstream: Upstream, path: str
) -> None:
    response = client.request("GET", path, headers={"authorization": ""})
    assert response.status_code == 200
    assert set(response.json()) == {
        *(
            "status",
            "version",
            "accounts",
            "api_keys",
            "passthrough",
            "store",
            "store_works",
            "default_model",
        ),
        *("web_search_by_default", "max_duration_s", "notes"),
    }
    assert response.headers["cache-control"] == "no-store"
    assert upstream.sim.calls == []


def test_a_store_that_fails_is_no_failure_of_the_page(
    client: Client, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "no").touch()
    environment.setenv("STORE_URL", f"sqlite:///{tmp_path / 'no' / 'state.db'}")
    response = client.get("/health")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert not response.json()["store_works"]


def test_one_look_tells_all_and_no_secret(
    client: Client, upstream: Upstream, account: SimulatedAccount, environment: pytest.MonkeyPatch
) -> None:
    guest = upstream.add_account(guest=True)
    environment.setenv("CHATGLM_REFRESH_TOKENS", f"{account.token},{guest.token}")
    response = client.get("/health?deep=1")
    health = response.json()
    assert response.status_code == 200
    assert [found["state"] for found in health["accounts"]] == ["alive", "guest"]
    assert health["store"]["scheme"] == "memory"
    assert health["clock"]["problem"] is None
    assert health["status"] == "degraded"
    assert response.headers["cache-control"] == "no-store"
    known = upstream.sim.account(account.uid)
    for secret in (account.token, guest.token, KEY, known.refresh_token, *known.access_tokens, known.uid):
        assert secret not in response.text


def test_the_last_error_of_the_instance_is_told_without_anything_of_the_caller(
    client: Client, upstream: Upstream
) -> None:
    assert client.get("/health?deep=1").json()["last_error"] is None
    upstream.sim.fail("assistant/stream", status=500, times=9)
    refused = client.post(CHAT, chat_body("my secret words"))
    assert refused.status_code == 502
    client.get("/v1/nothing")  # A client's mistake is none of the gateway's errors.
    error = client.get("/health?deep=1").json()["last_error"]
    assert error.pop("at").endswith("+00:00")
    assert error == {
        "status": 502,
        "code": "upstream_error",
        "route": CHAT,
        "request_id": refused.headers["x-request-id"],
    }


def test_it_is_asked_again_only_where_that_is_wanted(client: Client, upstream: Upstream) -> None:
    for path, asked in (("deep=1", 1), ("deep=1", 1), ("deep=1&fresh=1", 2), ("deep=1&fresh=0", 2)):
        assert client.get(f"/health?{path}").json()["accounts"][0]["state"] == "alive"
        assert upstream.count("user/info") == asked


def test_events_arrive_as_far_apart_as_they_are_sent(client: Client, gateway: LiveGateway) -> None:
    with RawClient(gateway.url) as raw:
        raw.send(head("GET", "/health?stream=1", {"authorization": f"Bearer {KEY}"}))
        raw.read_until(b'"number":1,')
        assert b'"number":3,' not in raw.received
        assert b"text/event-stream" in raw.received
        assert raw.read_until(b'"number":5,"of":5,').count(b"data: ") == 5
        raw.read_until(b"\r\n0\r\n\r\n")


def test_where_an_answer_is_sent_in_one_piece_the_look_says_so(
    client: Client, environment: pytest.MonkeyPatch
) -> None:
    app = import_module("api.health").app

    async def under_mangum(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "aws.event": {}}, receive, send)
        await close_services()

    with TestClient(under_mangum) as invoked:
        report = invoked.get("/health?deep=1", headers={"authorization": f"Bearer {KEY}"}).json()
    assert "--chat" in report["streaming"]


# scripts/doctor


def check(url: str, *arguments: str, key: str = KEY) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "API_KEY": key, "no_proxy": "127.0.0.1"}
    command = [sys.executable, str(SCRIPT), url, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_gateway_in_order_passes(
    client: Client,
    upstream: Upstream,
    account: SimulatedAccount,
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    upstream.sim.pace_s = 0.02
    environment.setenv("STORE_URL", f"sqlite:///{tmp_path / 'state.db'}")
    done = check(f"{client.url}/v1/", "--chat", "--fresh")
    assert (done.returncode, done.stderr) == (0, "")
    for words in (
        "/ping: pong",
        f"/health: version {VERSION}, store sqlite",
        f"account {account.label}: alive, free",
        "store sqlite: works",
    ):
        assert f"ok    {words}" in done.stdout
    for words in ("clock: the upstream's is ", "streaming: 5 events", "chat: "):
        assert f"ok    {words}" in done.stdout
    assert KEY not in done.stdout


def test_a_gateway_without_a_key_is_checked_as_far_as_anybody_may(client: Client) -> None:
    done = check(client.url, key="")
    assert done.returncode == 1, "memory:// is worth a note"
    assert "WRONG settings: STORE_URL is memory://" in done.stdout
    assert "no key" in done.stdout
    assert (done.stdout.count("ok  "), done.stdout.count("WRONG")) == (2, 1)


def test_what_is_wrong_is_told(
    client: Client, upstream: Upstream, environment: pytest.MonkeyPatch, account: SimulatedAccount
) -> None:
    blocked = upstream.add_account(blocked=True)
    environment.setenv("CHATGLM_REFRESH_TOKENS", f"{blocked.token},junk")
    upstream.sim.fail("cur_ts", status=404, times=3)
    done = check(client.url, KEY, key="another")
    assert done.returncode == 1
    assert f"WRONG account {blocked.label}: blocked, cooling until " in done.stdout
    assert "WRONG account 2: unusable\n      to mend it: copy the cookie chatglm_refresh_token" in done.stdout
    assert "WRONG clock: " in done.stdout
    lines = done.stdout.splitlines()
    assert len(set(lines)) == len(lines)
    cured = [
        lines[at + 1] for at, line in enumerate(lines) if line.startswith("WRONG") and "settings" not in line
    ]
    assert all(line.startswith("      to mend it: ") for line in cured), done.stdout
    assert "Entry 2 of" not in done.stdout, "the account's line tells it"


def test_a_wrong_key_is_told_in_the_gateways_words(client: Client) -> None:
    done = check(client.url, key="wrong")
    assert done.returncode == 1
    assert "HTTP 401: The credential is not a key of API_KEYS" in done.stdout
    assert "wrong" not in done.stdout
    assert done.stdout.count("WRONG") == 1, "each further check would say the same"
    assert "to mend it: give one of API_KEYS: scripts/doctor URL KEY" in done.stdout


def test_a_wrong_base_url_is_one_finding() -> None:
    with stranger(404, b"nothing here") as (url, _):
        done = check(url)
    assert done.returncode == 1
    assert done.stdout.count("WRONG") == 1, "each further check would say the same"
    assert "to mend it: check the address: give the base URL of the gateway" in done.stdout


def test_keys_of_the_official_api_are_checked_too(
    client: Client, environment: pytest.MonkeyPatch, official: Official, official_server: OfficialServer
) -> None:
    environment.setenv("GLM_API_KEYS", f"{official.add_key()},{'0' * 32}.{'a' * 16}")
    environment.setenv("GLM_API_BASE_URL", official_server.base_url)
    done = check(client.url)
    assert done.returncode == 1
    ok, wrong = (line for line in done.stdout.splitlines() if "official key" in line)
    assert ok.startswith("ok    official key ")
    assert ok.endswith(": alive")
    assert wrong.startswith("WRONG official key ")
    assert ": refused, " in wrong
    assert "to mend it: see the key at open.bigmodel.cn" in done.stdout


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://127.0.0.1:9/v1"])
def test_where_nobody_answers_it_ends_at_once(url: str) -> None:
    done = check(url)
    assert done.returncode == 1
    assert done.stdout.count("WRONG") == 1


def test_what_is_no_address_is_a_mistake() -> None:
    assert check("gateway.example").returncode == 2


class _Stranger(BaseHTTPRequestHandler):
    """Something else that answers at the address."""

    status, location, body = 200, "", b""
    keys: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        self.keys.append(self.headers["authorization"])
        self.send_response(self.status)
        if self.location:
            self.send_header("location", self.location)
        self.send_header("content-length", str(len(self.body) + (self.status == 206)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - its name there


@contextmanager
def stranger(
    status: int = 200, body: bytes = b"", location: str = ""
) -> Iterator[tuple[str, type[_Stranger]]]:
    fields = {"status": status, "body": body, "location": location, "keys": []}
    kind = type("_OneStranger", (_Stranger,), fields)
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", kind
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_the_key_is_sent_nowhere_else(status: int) -> None:
    with stranger() as (elsewhere, other), stranger(status, location=f"{elsewhere}/login") as (url, _):
        done = check(url)
    assert other.keys == []
    assert done.returncode == 1
    assert f"HTTP {status}: it redirects to {elsewhere}/login" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"{}"), (200, b"[]"), (200, b'"x"'), (200, b"<html>"), (200, b'{"status": "ok"}'), (206, b"cut")],
)
def test_an_answer_that_is_no_gateways_is_told(status: int, body: bytes) -> None:
    with stranger(status, body) as (url, _):
        done = check(url)
    assert (done.returncode, done.stderr) == (1, "")
    assert "WRONG /ping: " in done.stdout or "WRONG the connection: " in done.stdout


class _Buffering(BaseHTTPRequestHandler):
    """A proxy that passes nothing on before it has it all."""

    target = ""

    def do_GET(self) -> None:
        self._pass_on(None)

    def do_POST(self) -> None:
        self._pass_on(self.rfile.read(int(self.headers["content-length"])))

    def _pass_on(self, body: bytes | None) -> None:
        headers = {
            name: self.headers[name] for name in ("authorization", "content-type") if self.headers[name]
        }
        request = urllib.request.Request(self.target + self.path, body, headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as response:
            content = response.read()
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - its name there


@pytest.fixture
def buffering_proxy(gateway: LiveGateway) -> Iterator[str]:
    _Buffering.target = gateway.url
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Buffering)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_proxy_that_buffers_is_found_out(client: Client, buffering_proxy: str) -> None:
    done = check(buffering_proxy, "--chat")
    assert "WRONG streaming: 5 events, sent within 0.8 s, arrived within 0.0 s" in done.stdout
    assert "WRONG chat: " in done.stdout
    assert done.returncode == 1
