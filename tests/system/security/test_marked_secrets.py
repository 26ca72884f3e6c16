"""Marked words go in everywhere that a secret does; then every output is searched for them.

Refresh and access tokens are the simulator's: each is a mark by itself.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from hosts.box.mounting import MountedFiles
from lib.upstreams.chatglm import turn as turn_module
from scripts.support.redaction.files import redact_file
from simulator.scenes import SCENES
from simulator.scenes.replay import read_capture
from tests.conftest import SimulatedAccount, Upstream
from tests.support.client import CHAT
from tests.support.files import FileServer
from tests.support.live import LiveGateway
from tests.support.waiting import wait_until
from tests.support.wire import RawClient
from tests.system.security.watch import Watch, WatchedClient, private, secret, watched

KEY = secret("KEY")
PROMPT = private("PROMPT")
PNG = b"\x89PNG\r\n\x1a\n" + private("PICTURE").encode() * 20
PICTURE = "data:image/png;base64," + base64.b64encode(PNG).decode()

Client = WatchedClient


@pytest.fixture
def watch() -> Iterator[Watch]:
    with watched() as watch:
        yield watch


@pytest.fixture
def files(environment: pytest.MonkeyPatch) -> Iterator[FileServer]:
    with FileServer() as server:
        environment.setenv("FETCH_ALLOW_HOSTS", server.host)
        yield server


@pytest.fixture
def captures(tmp_path: Path, environment: pytest.MonkeyPatch) -> Path:
    environment.setenv("CAPTURE_DIR", str(tmp_path / "captures"))
    return tmp_path / "captures"


@pytest.fixture
def owner(
    gateway: LiveGateway,
    account: SimulatedAccount,
    environment: pytest.MonkeyPatch,
    http: httpx.Client,
    watch: Watch,
) -> Client:
    settings = {
        "CHATGLM_REFRESH_TOKENS": account.token,
        "API_KEYS": f"{KEY},{secret('OTHERKEY')}",
        "LOG_LEVEL": "DEBUG",
        "FIRST_CONTENT_TIMEOUT_S": "0.3",
        "IDLE_TIMEOUT_S": "0.3",
        "HEARTBEAT_S": "0.1",
        "ACCOUNT_WAIT_S": "0.3",
    }
    for name, text in settings.items():
        environment.setenv(name, text)
    return Client(http, gateway.url, KEY, watch)


def tokens_of(upstream: Upstream) -> set[str]:
    """Every token that any account ever had: a piece of what it says, and its signature."""
    tokens = set()
    for account in upstream.sim.book:
        tokens |= {account.refresh_token, *account.past_refresh_tokens, *account.access_tokens}
    parts = [token.split(".") for token in tokens if token]
    return {piece for _, payload, signature in parts for piece in (payload[8:48], signature)}


@pytest.fixture(autouse=True)
def _nothing_leaks(
    watch: Watch, upstream: Upstream, gateway: LiveGateway, captures: Path, capfd: pytest.CaptureFixture[str]
) -> Iterator[None]:
    yield
    wait_until(gateway.is_idle, 10, "all is said")
    watch.look_at_values()
    raw = list(captures.glob("*")) if captures.exists() else []
    recorded = [_opened(file) for file in raw]
    redacted = [_opened(redact_file(file)) for file in raw]
    names = [file.name for file in raw]
    assert watch.answers, "nothing was asked"
    assert watch.log.getvalue(), "nothing was logged"
    assert tokens_of(upstream)
    assert watch.leaks(tokens_of(upstream), *capfd.readouterr(), *redacted, *names, recorded=recorded) == []


def _opened(capture: Path) -> str:
    """Return the file as it is, and the answer in it, whose pieces the file may cut within a word."""
    return capture.read_text() + read_capture(capture).body.decode("utf-8", "replace")


def said(text: str = "") -> dict[str, Any]:
    """Make a conversation with a mark at every place of it."""
    call = {"name": private("FUNCTION"), "arguments": json.dumps({"a": private("ARGUMENT")})}
    messages = [
        {"role": "system", "content": private("SYSTEM"), "name": private("NAME")},
        {"role": "user", "content": [{"type": "text", "text": PROMPT}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": private("CALL"), "function": call}]},
        {"role": "tool", "tool_call_id": private("CALL"), "content": private("RESULT")},
        {"role": "user", "content": f"{text}{PROMPT}"},
    ]
    return {"model": "glm-5.3", "messages": messages, "user": private("USER"), "stop": [private("STOP")]}


def with_part(part: dict[str, Any], text: str = "") -> dict[str, Any]:
    content = [{"type": "text", "text": f"{text}{PROMPT}"}, part]
    return {"model": "glm-5.3", "messages": [{"role": "user", "content": content}]}


# What goes well


def test_answers_of_every_endpoint(owner: Client, upstream: Upstream, watch: Watch) -> None:
    for is_stream in (False, True):
        assert owner.post(CHAT, {**said("[scene:echo]"), "stream": is_stream}).status_code == 200
    for path in (
        "/",
        "/ping",
        "/health",
        "/health?deep=1",
        "/health?stream=1",
        "/openapi.json",
        "/v1/models",
    ):
        assert owner.get(path).status_code == 200
    assert owner.get("/v1/models/glm-5.3").status_code == 200
    assert owner.post("/token/check", {}).status_code == 200
    assert owner.post("/token/check", {"token": upstream.add_account().token}).status_code == 200
    image = {"prompt": f"[scene:images]{PROMPT}"}
    assert owner.post("/v1/images/generations", image).status_code == 200
    owner.post("/v1/images/generations", {**image, "response_format": "b64_json"})
    form = {"data": {"prompt": f"[scene:video]{PROMPT}", "model": "m"}}
    video = owner.request("POST", "/v1/videos", **form, files={"input_reference": (private("FILENAME"), PNG)})
    assert video.status_code in {200, 400}
    video = owner.post("/v1/videos", {"prompt": f"[scene:video]{PROMPT}"})
    assert video.status_code == 200
    for path in ("", "/content"):
        owner.get(f"/v1/videos/{video.json()['id']}{path}", follow_redirects=False)
    owner.request("DELETE", f"/v1/videos/{video.json()['id']}")
    generation = owner.post("/v1/videos/generations", {"prompt": f"[scene:video]{PROMPT}", "wait": 0})
    assert owner.get(f"/v1/videos/generations/{generation.json()['id']}").status_code == 200


def test_accounts_that_are_added_and_removed(
    owner: Client, upstream: Upstream, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("STORE_URL", f"sqlite:///{tmp_path / 'state.db'}")
    environment.setenv("STORE_SECRET", secret("STORESECRET"))
    guest, added = upstream.add_account(guest=True), upstream.add_account()
    marked = f"eyJh.{secret('TOKEN')}.x"
    for token, status in ((marked, 400), (guest.token, 400), (added.token, 201), (added.token, 409)):
        assert owner.post("/tokens", {"token": token}).status_code == status
    assert owner.post("/tokens", {"token": upstream.sim.log_in(added.uid)}).status_code == 200
    assert owner.get("/tokens").status_code == owner.get("/health?deep=1").status_code == 200
    assert owner.post(CHAT, said()).status_code == 200
    upstream.sim.revoke(added.uid)
    assert owner.request("DELETE", f"/tokens/{added.label}").status_code == 204
    assert owner.request("DELETE", f"/tokens/{secret('LABEL')}").status_code == 404


def test_files(owner: Client, files: FileServer) -> None:
    place = f"/{private('PATH')}.txt?sig={private('SIGNATURE')}"
    address = files.serve(place, private("CONTENT").encode() * 99, "content-type: text/plain")
    there = {"type": "file_url", "file_url": {"url": address}}
    inline = {"type": "file", "file": {"filename": private("FILENAME") + ".txt", "file_data": "QUJD"}}
    for part in (there, inline, {"type": "image_url", "image_url": {"url": PICTURE}}):
        answer = owner.post(CHAT, with_part(part, "[scene:files]"))
        assert answer.status_code == 200, answer.text
    for wrong in (
        f"{files.url}/{private('PATH')}/nothing",
        f"http://{private('USER')}:{private('PASSWORD')}@{files.host}/x",
        f"http://127.0.0.1:1/{private('PATH')}",
        f"http://{private('HOST').lower()}.invalid/",
        f"ftp://{private('HOST')}/x",
        f"data:image/png;base64,{private('BASE64')}!",
        private("NOURL"),
    ):
        assert (
            owner.post(CHAT, with_part({"type": "image_url", "image_url": {"url": wrong}})).status_code == 400
        )
        owner.post("/v1/videos/generations", {"prompt": PROMPT, "image_url": wrong, "wait": 0})


def test_a_rotation_is_nobodys_business(owner: Client, upstream: Upstream) -> None:
    for _ in range(3):
        upstream.sim.expire_access_tokens()
        assert owner.post(CHAT, said()).status_code == 200


# What does not


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
def test_every_way_in_which_the_upstream_misbehaves(owner: Client, *, is_stream: bool) -> None:
    for name in SCENES:
        if name not in {"replay", "keepalive_only", "many_tiny", "big_event"}:
            owner.post(CHAT, {**said(f"[scene:{name}]"), "stream": is_stream})


CALLS = (
    "user/refresh",
    "assistant/stream",
    "stop_stream",
    "conversation/delete",
    "bulk_delete",
    "file/chat_upload",
    "static/upload",
    "user/info",
    "detail",
    "cur_ts",
    "drawing/config",
    "video-api/v1/chat",
    "chat/status/{chat_id}",
    "v1/chat/{chat_id}",
    "composite_video",
)


def ask_for_everything(owner: Client) -> None:
    owner.post(CHAT, {**with_part({"type": "image_url", "image_url": {"url": PICTURE}}), "stream": True})
    owner.post(CHAT, {**said("[scene:slow first=0 gap=0.01 count=99]"), "max_tokens": 3})
    owner.post(
        "/v1/images/generations", {"prompt": f"[scene:images]{PROMPT}", "n": 4, "style": private("STYLE")}
    )
    order = {"prompt": f"[scene:video]{PROMPT}", "image_url": PICTURE, "audio_id": "rain", "wait": 0}
    for path, body in (("/v1/videos", {"prompt": PROMPT}), ("/v1/videos/generations", order)):
        video = owner.post(path, body)
        if "id" in video.json():
            owner.get(f"{path}/{video.json()['id']}")
            owner.request("DELETE", f"/v1/videos/{video.json()['id']}")
    owner.get("/v1/models")
    owner.post("/token/check", {})
    owner.get("/health?deep=1&fresh=1")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("number", [10025, 40014])
def test_an_upstream_that_says_again_what_it_was_told(
    owner: Client, upstream: Upstream, account: SimulatedAccount, call: str, number: int
) -> None:
    """In its words for an error: those go to the caller without a token, and not into the log."""
    session = upstream.sim.account(account.uid)
    words = f"bad request: {PROMPT}, {session.refresh_token} {session.newest_access_token}"
    for failing in {call, "cur_ts"} if number == 40014 else {call}:
        body = {"status": number, "message": words, "result": {}}
        upstream.sim.fail(failing, status=400, body=body, times=99)
    ask_for_everything(owner)
    upstream.sim.faults.clear()


def test_a_connection_that_breaks(owner: Client, upstream: Upstream) -> None:
    for call in CALLS:
        upstream.sim.fail(call, disconnect=True, times=3)
        ask_for_everything(owner)
        upstream.sim.faults.clear()


def test_requests_that_are_refused(owner: Client) -> None:
    for body in (
        {**said(), "n": 2},
        {**said(), "tools": [{"type": "function", "function": {"name": f"{private('TOOL')} "}}]},
        {**said(), "max_tokens": private("NUMBER")},
        {**said(), "reasoning_effort": private("EFFORT")},
        {"messages": [{"role": private("ROLE"), "content": PROMPT}]},
        {"messages": [{"role": "user", "content": [{"type": private("TYPE"), "text": PROMPT}]}]},
        {**said(), "conversation_id": "a" * 24},
        {**said(), "model": private("MODEL") * 99},
    ):
        assert owner.post(CHAT, body).status_code in {400, 404}
    for raw in (PROMPT, f'{{"messages": "{PROMPT}', f'"{PROMPT}"', "[" * 99999 + PROMPT, "\udcff" + PROMPT):
        content = raw.encode("utf-8", "surrogateescape")
        for path in (CHAT, "/v1/videos", "/v1/images/generations", "/token/check"):
            assert owner.request("POST", path, content=content).status_code in {400, 413}
    form = {"content-type": "multipart/form-data; boundary=b"}
    for part in (f"--b\r\n{PROMPT}", f'--b\r\nContent-Disposition: x; name="{PROMPT}\udcff"\r\n\r\n{PROMPT}'):
        content = part.encode("utf-8", "surrogateescape")
        assert owner.request("POST", "/v1/videos", content=content, headers=form).status_code == 400
    for path in (
        "/nothing",
        f"/v1/models/{PROMPT}",
        f"/v1/videos/{PROMPT}",
        f"/ping?key={secret('QUERY')}",
    ):
        owner.get(path)
        owner.request("DELETE", path)


def test_wrong_keys(owner: Client) -> None:
    wrong = secret("WRONG")
    token = f"eyJh.{secret('TOKEN')}.x"
    for place in (
        {"authorization": f"Bearer {wrong}"},
        {"authorization": f"Basic {wrong}"},
        {"authorization": wrong},
        {"authorization": f"Bearer {token}"},
        {"authorization": f"Bearer {token},{token}"},
        {"authorization": "", "x-api-key": wrong},
        {"authorization": "", "x-goog-api-key": wrong},
    ):
        for path in ("/v1/models", "/health?deep=1"):
            assert owner.get(path, headers=place).status_code in {401, 429}
    nothing = {"authorization": ""}
    assert owner.get(f"/v1/models?key={wrong}", headers=nothing).status_code in {401, 429}
    assert owner.get(f"/v1/models?key={KEY}", headers=nothing).status_code == 200
    assert owner.post("/token/check", {"token": wrong}, headers=nothing).status_code in {401, 429}
    assert owner.post("/token/check", {"token": token}).status_code == 200


def test_callers_with_tokens_of_their_own(
    owner: Client, upstream: Upstream, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("ALLOW_PASSTHROUGH", "true")
    alive, dead, guest, blocked = (
        upstream.add_account(),
        upstream.add_account(),
        upstream.add_account(guest=True),
        upstream.add_account(blocked=True),
    )
    upstream.sim.revoke(dead.uid)
    unknown = f"{alive.token.partition('.')[0]}.{secret('PAYLOAD')}.{secret('SIGNATURE')}"
    for token in (
        alive.token,
        dead.token,
        guest.token,
        blocked.token,
        unknown,
        f"{dead.token},{alive.token}",
    ):
        owner.credential = token
        for is_stream in (False, True):
            owner.post(CHAT, {**said(), "stream": is_stream})
        owner.get("/v1/models")
        owner.post("/token/check", {})
        owner.post("/token/check", {"token": token})
        owner.post("/v1/videos", {"prompt": f"[scene:video]{PROMPT}"})
        owner.get("/v1/videos/video_x")
        owner.get("/health?deep=1")
    owner.credential = upstream.sim.account(alive.uid).newest_access_token
    owner.post(CHAT, said())


@pytest.mark.parametrize(
    "settings",
    [
        {"CHATGLM_REFRESH_TOKENS": secret("BROKEN")},
        {"CHATGLM_REFRESH_TOKENS": f"eyJh.{secret('BROKEN')}.x,{secret('BROKEN')}"},
        {"CHATGLM_REFRESH_TOKENS": ""},
        {"API_KEYS": f"sha256:{secret('HASH')}"},
        {"STORE_URL": f"redis://{secret('USER')}:{secret('PASSWORD')}@127.0.0.1:1/0"},
        {"STORE_URL": f"redis://{secret('USER')}:{secret('PASSWORD')}@bad host/"},
        {"STORE_URL": f"rediss://:{secret('PASSWORD')}@127.0.0.1:1"},
        {"STORE_URL": f"mysql://{secret('USER')}:{secret('PASSWORD')}@x"},
        {"KV_REST_API_URL": "http://127.0.0.1:1", "KV_REST_API_TOKEN": secret("UPSTASH")},
        {"KV_REST_API_URL": f"ftp://{secret('UPSTASH')}", "KV_REST_API_TOKEN": secret("UPSTASH")},
        {
            "STORE_URL": "dynamodb://table?region=eu-central-1",
            "AWS_ACCESS_KEY_ID": secret("AWSID"),
            "AWS_SECRET_ACCESS_KEY": secret("AWSSECRET"),
            "AWS_SESSION_TOKEN": secret("AWSSESSION"),
            "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        },
        {"CHATGLM_BASE_URL": f"http://{secret('USER')}:{secret('PASSWORD')}@127.0.0.1:1/chatglm"},
        {"CHATGLM_BASE_URL": secret("BASE")},
        {"CHATGLM_SIGN_SECRET": f"{secret('SIGN')}\u00e9"},
        {
            "HTTPS_PROXY": f"http://{secret('PROXY')}@127.0.0.1:1",
            "HTTP_PROXY": f"http://{secret('PROXY')}@127.0.0.1:1",
        },
        {"CAPTURE_DIR": f"/proc/{private('FOLDER')}"},
    ],
    ids=lambda settings: ",".join(f"{name}={text[:9]}" for name, text in settings.items()),
)
def test_settings_of_every_kind_and_with_every_mistake(
    owner: Client, environment: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    for name, text in settings.items():
        environment.setenv(name, text)
    for path in ("/health", "/health?deep=1", "/v1/models", "/token/check"):
        owner.request("POST" if path == "/token/check" else "GET", path)
    owner.post(CHAT, said())
    owner.post("/v1/videos", {"prompt": f"[scene:video]{PROMPT}"})


# Faults of ours


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("heard", [0, 3], ids=["before the answer", "in the middle"])
def test_a_crash_tells_where_it_was_and_not_what_it_was_about(
    *,
    owner: Client,
    account: SimulatedAccount,
    monkeypatch: pytest.MonkeyPatch,
    watch: Watch,
    heard: int,
    is_stream: bool,
) -> None:
    read, reads = turn_module.Turn._read_upstream, count()

    async def fail_later(turn: turn_module.Turn, *until: float | None) -> Any:
        if next(reads) >= heard:
            watch.look_at_values()
            try:
                json.loads(f"{PROMPT} {account.token}")
            except ValueError as error:
                raise LookupError(f"{PROMPT} {account.token} {KEY}") from error
        return await read(turn, *until)

    monkeypatch.setattr(turn_module.Turn, "_read_upstream", fail_later)
    try:
        owner.post(CHAT, {**said("[scene:slow first=0 gap=0.01 count=99]"), "stream": is_stream})
    except httpx.RemoteProtocolError:
        assert is_stream
        owner.get("/ping")
    assert "LookupError" in watch.log.getvalue()


@pytest.mark.parametrize("name", ["call_of", "read_body", "answer_chat", "open_reply"])
def test_a_crash_anywhere_in_a_handler(
    *,
    owner: Client,
    gateway: LiveGateway,
    account: SimulatedAccount,
    monkeypatch: pytest.MonkeyPatch,
    watch: Watch,
    name: str,
) -> None:
    def crash(*arguments: object, **_: object) -> object:
        raise KeyError(PROMPT, account.token, KEY, arguments)

    monkeypatch.setitem(globals_of(CHAT, gateway), name, crash)
    assert owner.post(CHAT, said()).status_code == 500
    assert "KeyError" in watch.log.getvalue()


def globals_of(path: str, gateway: LiveGateway) -> dict[str, Any]:
    """Find what the functions behind a path use, in the very server that answers."""
    served = gateway._server.config.app
    assert isinstance(served, MountedFiles)
    routes = [route for app in served._apps for route in app.routes if isinstance(route, Route)]
    [endpoint] = [route.endpoint for route in routes if route.path == path]
    found: dict[str, Any] = endpoint.__globals__
    return found


def test_clients_that_leave(owner: Client, gateway: LiveGateway, upstream: Upstream, watch: Watch) -> None:
    for scene in ("silence_before_headers", "stall", "slow first=0 gap=0.01 count=900"):
        raw = RawClient(gateway.url)
        raw.post(CHAT, {**said(f"[scene:{scene}]"), "stream": True}, authorization=f"Bearer {KEY}")
        wait_until(lambda: upstream.sim.active_generations() or upstream.count("assistant/stream"))
        watch.look_at_values()
        raw.leave()
        wait_until(gateway.is_idle, 30)
    owner.get("/ping")
