"""What stands between AWS Lambda and api/; tests/system/deploy/aws runs the same in AWS's own runtime."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hosts.aws import handlers, stream_server
from tests.conftest import SimulatedAccount, Upstream
from tests.support.client import KEY, chat_body
from tests.support.waiting import wait_until
from tests.support.wire import RawClient

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.anyio


# The handlers


EVENT = {
    "version": "2.0",
    "rawPath": "/ping",
    "rawQueryString": "",
    "headers": {"host": "h"},
    "requestContext": {"http": {"method": "GET", "path": "/ping", "sourceIp": "192.0.2.1"}},
    "isBase64Encoded": False,
}

INVOKE_TWICE = f"""
import json, sys
from hosts.aws import handlers
assert not [name for name in sys.modules if name.startswith("api.")]
for _ in range(2):
    print(json.dumps(handlers.index({EVENT!r}, None)))
assert [name for name in sys.modules if name.startswith("api.")] == ["api.index"]
assert handlers.index is handlers.index
"""


def test_a_handler_imports_its_own_endpoint_and_answers_again_and_again() -> None:
    # In a process of its own: Mangum sets a loop and keeps it, as on Lambda.
    done = subprocess.run(
        [sys.executable, "-c", INVOKE_TWICE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(answer["statusCode"], answer["body"]) for answer in answers] == [(200, "pong")] * 2


READ_THE_PAGE = f"""
import json
from hosts.aws import handlers
from lib.web.page_files import read_page

def invoke(path):
    http = {{"method": "GET", "path": path, "sourceIp": "192.0.2.1"}}
    return handlers.index({{**{EVENT!r}, "rawPath": path, "requestContext": {{"http": http}}}}, None)

page = invoke("/")
assert (page["statusCode"], page["isBase64Encoded"]) == (200, False), page
for name, file in read_page().files.items():
    answer = invoke(f"/{{name}}")
    assert (answer["statusCode"], answer["isBase64Encoded"]) == (200, False), name
    assert answer["body"] == file.body.decode(), name
    print(name)
"""


def test_every_file_of_the_page_is_sent_as_text() -> None:
    """API Gateway would hand base64 on as it is."""
    done = subprocess.run(
        [sys.executable, "-c", READ_THE_PAGE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {"app.js", "style.css", "icon.svg"} <= set(done.stdout.split())


def test_a_handler_that_there_is_not_is_named() -> None:
    with pytest.raises(AttributeError, match=r"expected a handler of index, health, .*, got 'chat'"):
        handlers.__getattr__("chat")


# The stream server


async def messages_of(app: ASGIApp, log: list[str]) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("nothing is read")

    async def send(message: Message) -> None:
        sent.append(message)
        log.append(f"sent {message.get('body', b'head')!r}, {message.get('more_body', False)}")

    await stream_server.WorkFirst(app)({"type": "http"}, receive, send)
    return sent


def app_that_sends(*bodies: Message, headers: list[tuple[bytes, bytes]], log: list[str]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for body in bodies:
            await send({"type": "http.response.body", **body})
        log.append("worked")

    return app


async def test_a_streams_last_words_are_sent_before_the_work_and_its_end_after() -> None:
    log: list[str] = []
    app = app_that_sends({"body": b"one", "more_body": True}, {"body": b"two"}, headers=[], log=log)
    await messages_of(app, log)
    assert log == [
        "sent b'head', False",
        "sent b'one', True",
        "sent b'two', True",
        "worked",
        "sent b'', False",
    ]


async def test_an_answer_of_known_length_waits_for_the_work() -> None:
    log: list[str] = []
    app = app_that_sends({"body": b"answer"}, headers=[(b"Content-Length", b"6")], log=log)
    await messages_of(app, log)
    assert log == ["sent b'head', False", "worked", "sent b'answer', False"]


async def test_what_fails_before_its_end_is_not_ended_properly() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise OSError("broken")

    log: list[str] = []
    with pytest.raises(OSError, match="broken"):
        await messages_of(app, log)
    assert log == ["sent b'head', False"]


@pytest.mark.parametrize(
    ("headers", "last"),
    [
        ([], ["sent b'answer', True", "sent b'', False"]),
        ([(b"content-length", b"6")], ["sent b'answer', False"]),
    ],
)
async def test_what_fails_after_its_end_is_sent_all_the_same(
    headers: list[tuple[bytes, bytes]], last: list[str]
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"answer"})
        raise OSError("broken")

    log: list[str] = []
    with pytest.raises(OSError, match="broken"):
        await messages_of(app, log)
    assert log == ["sent b'head', False", *last]


async def test_an_answer_that_never_ends_is_not_ended_here() -> None:
    log: list[str] = []
    await messages_of(app_that_sends({"body": b"one", "more_body": True}, headers=[], log=log), log)
    assert log == ["sent b'head', False", "sent b'one', True", "worked"]


def test_a_file_is_loaded_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos.py").write_text("app = 'videos'")
    (tmp_path / "videos/generations.py").write_text("app = 'generations'")
    loaded: list[object] = [stream_server.load(str(file)) for file in sorted(tmp_path.rglob("*.py"))]
    assert loaded == ["generations", "videos"]


def test_what_is_no_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a file of api/, got '.*notes'"):
        stream_server.load(str(tmp_path / "notes"))


@contextmanager
def served(endpoint: str, how: signal.Signals, **environ: str) -> Iterator[httpx.Client]:
    """Serve one file, and end it by the signal after the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, "-m", "hosts.aws.stream_server", endpoint, str(port)],
        cwd=ROOT,
        env={**os.environ, "AWS_LAMBDA_FUNCTION_NAME": "f", **environ},
        stderr=subprocess.PIPE,
    ) as server:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
                wait_until(lambda: _listens(port), 20, "the server listens")
                yield client
            server.send_signal(how)
            server.wait(10)
        finally:
            server.kill()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_server_serves_one_file_until_it_is_told_to_end(how: signal.Signals) -> None:
    with served("api/index.py", how) as client:
        answer = client.get("/ping")
        assert (answer.status_code, answer.text) == (200, "pong")
        assert "server" not in answer.headers
        assert client.get("/v1/models").status_code == 404


def test_the_end_of_an_environment_gives_an_emptied_store_the_login_back(
    upstream: Upstream, account: SimulatedAccount, tmp_path: Path
) -> None:
    environ = {
        "API_KEYS": KEY,
        "CHATGLM_BASE_URL": upstream.base_url,
        "CHATGLM_REFRESH_TOKENS": account.token,
        "STORE_URL": f"sqlite:///{tmp_path}/state.db",
    }
    for is_first in (True, False):
        with served("api/v1/chat/completions.py", signal.SIGTERM, **environ) as client:
            headers = {"authorization": f"Bearer {KEY}"}
            answer = client.post("/v1/chat/completions", json=chat_body("Hello!"), headers=headers)
            assert answer.status_code == 200, answer.text
            if is_first:
                for file in tmp_path.iterdir():
                    file.unlink()
    assert upstream.count("user/refresh") == 1, "the second environment has found the first one's chain"


def test_a_stream_for_http_1_0_has_no_chunks_and_ends_with_its_connection() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one,", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(stream_server.config_of(app, 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        with RawClient(f"http://127.0.0.1:{listener.getsockname()[1]}") as raw:
            raw.send(b"GET / HTTP/1.0\r\n\r\n")
            answered, _, stream = raw.read_to_end().partition(b"\r\n\r\n")
        server.should_exit = True
        thread.join(10)
    assert not thread.is_alive()
    assert b"transfer-encoding" not in answered.lower()
    assert stream == b"one,two"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
