"""The one server of many files: which file answers, and how it starts and ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import httpx
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message

import local
from lib.settings import Settings

ROOT = Path(local.__file__).parent

FILE = """
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def answer(request):
    return JSONResponse({{"file": {name!r}, "path": request.url.path, **request.path_params}})

async def unknown(request, error):
    return JSONResponse({{"file": {name!r}, "error": error.status_code}}, error.status_code)

app = Starlette(
    routes=[Route(path, answer, methods={methods!r}) for path in {paths!r}],
    exception_handlers={{404: unknown, 405: unknown}},
)
"""


def write_file(folder: Path, name: str, *paths: str, methods: tuple[str, ...] = ("GET",)) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(FILE.format(name=name, paths=paths, methods=list(methods)))


@pytest.fixture
def api_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "api"
    write_file(folder, "index.py", "/", "/api/index")
    write_file(folder, "v1/models.py", "/v1/models", "/v1/models/{id}", "/api/v1/models")
    write_file(
        folder,
        "v1/chat/completions.py",
        "/v1/chat/completions",
        "/api/v1/chat/completions",
        methods=("POST",),
    )
    return folder


@pytest.fixture
def client(api_folder: Path) -> Iterator[TestClient]:
    with TestClient(local.mount(api_folder)) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "file"),
    [
        ("GET", "/", "index.py"),
        ("GET", "/v1/models", "v1/models.py"),
        ("HEAD", "/v1/models", "v1/models.py"),
        ("GET", "/api/v1/models", "v1/models.py"),
        ("GET", "/v1/models/glm-5.3", "v1/models.py"),
        ("POST", "/v1/chat/completions", "v1/chat/completions.py"),
        ("POST", "/api/v1/chat/completions", "v1/chat/completions.py"),
    ],
)
def test_a_request_is_answered_by_the_file_that_knows_its_path(
    client: TestClient, method: str, path: str, file: str
) -> None:
    for _ in range(2):  # found, then remembered
        answer = client.request(method, path)
        assert answer.status_code == 200
        assert method == "HEAD" or answer.json()["file"] == file


def test_the_file_gets_the_parameters_of_its_own_route(client: TestClient) -> None:
    assert client.get("/v1/models/a").json()["id"] == "a"
    assert client.get("/v1/models/b").json()["id"] == "b"


def test_a_wrong_method_is_refused_by_the_file_of_the_path(client: TestClient) -> None:
    for _ in range(2):
        answer = client.get("/v1/chat/completions")
        assert answer.status_code == 405
        assert answer.json()["file"] == "v1/chat/completions.py"


def test_a_method_of_one_file_and_another_of_the_next_both_answer(api_folder: Path) -> None:
    write_file(api_folder, "v1/more.py", "/v1/models", methods=("DELETE",))
    client = TestClient(local.mount(api_folder))
    assert client.delete("/v1/models").json()["file"] == "v1/more.py"
    assert client.get("/v1/models").json()["file"] == "v1/models.py"
    assert client.put("/v1/models").json() == {"file": "v1/models.py", "error": 405}


def test_what_no_file_knows_is_answered_by_the_index(client: TestClient) -> None:
    answer = client.get("/v1/nothing")
    assert answer.status_code == 404
    assert answer.json()["file"] == "index.py"


def test_a_route_for_everything_in_the_index_hides_no_other_file(api_folder: Path) -> None:
    write_file(api_folder, "index.py", "/{path:path}")
    client = TestClient(local.mount(api_folder))
    assert client.get("/v1/models").json()["file"] == "v1/models.py"
    assert client.get("/v1/nothing").json()["file"] == "index.py"


def test_files_that_are_no_functions_on_the_host_are_not_loaded(api_folder: Path) -> None:
    for name in ("_helper.py", "_lib/x.py", ".hidden/x.py", "__pycache__/x.py"):
        (api_folder / name).parent.mkdir(exist_ok=True)
        (api_folder / name).write_text("raise AssertionError('loaded')")
    local.mount(api_folder)


def test_the_same_file_name_in_two_folders_is_two_files(api_folder: Path) -> None:
    write_file(api_folder, "v2/models.py", "/v2/models")
    client = TestClient(local.mount(api_folder))
    assert client.get("/v1/models").json()["file"] == "v1/models.py"
    assert client.get("/v2/models").json()["file"] == "v2/models.py"


def test_a_file_without_an_app_is_named(api_folder: Path) -> None:
    (api_folder / "v1/broken.py").write_text("handler = 1")
    with pytest.raises(TypeError, match=r"v1/broken\.py must define `app`"):
        local.mount(api_folder)


def test_a_folder_without_an_index_is_refused(api_folder: Path) -> None:
    (api_folder / "index.py").unlink()
    with pytest.raises(RuntimeError, match=r"index\.py is missing"):
        local.mount(api_folder)


def test_a_websocket_is_refused_by_the_index(client: TestClient) -> None:
    with pytest.raises(Exception, match=r".*"), client.websocket_connect("/v1/models"):
        pass


def test_what_is_shared_is_closed_when_the_server_ends(api_folder: Path) -> None:
    closed = []

    async def close() -> None:
        closed.append(True)

    with TestClient(local.mount(api_folder, close)):
        assert not closed
    assert closed == [True]


async def test_finding_the_file_of_a_known_path_takes_less_than_20_microseconds(api_folder: Path) -> None:
    for number in range(9):  # twelve files, as many as there may be
        write_file(api_folder, f"v1/other{number}.py", f"/v1/other{number}", f"/api/v1/other{number}")
    app = local.mount(api_folder)
    scope = {"type": "http", "method": "PUT", "path": "/v1/models", "headers": []}

    async def receive() -> Message:
        raise AssertionError("nothing is read")

    async def send(message: Message) -> None:
        pass

    async def seconds_for(target: ASGIApp) -> float:
        started = time.perf_counter()
        for _ in range(200):
            await target(dict(scope), receive, send)
        return (time.perf_counter() - started) / 200

    direct = app._index
    assert (
        min([await seconds_for(app) for _ in range(5)]) - min([await seconds_for(direct) for _ in range(5)])
        < 20e-6
    )


@pytest.mark.parametrize("port", ["65536", "-1", "http", "٣"])
def test_what_is_no_port_is_said_clearly(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        local.main([f"--port={port}"])
    assert f"not {port!r}" in capsys.readouterr().err


# The environment


def test_without_a_store_the_owners_state_folder_is_used(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    local._use_local_store(environ)
    assert environ["STORE_URL"] == f"sqlite:///{tmp_path}/glm-gateway/state.db"
    assert (tmp_path / "glm-gateway").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("state_home", [None, "relative/folder"])
def test_a_state_folder_that_is_unset_or_relative_is_the_usual_one(
    state_home: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    environ = {"XDG_STATE_HOME": state_home} if state_home else {}
    local._use_local_store(environ)
    assert environ["STORE_URL"] == f"sqlite:///{tmp_path}/.local/state/glm-gateway/state.db"


def test_a_store_that_is_set_is_kept() -> None:
    environ = {"STORE_URL": "redis://x"}
    local._use_local_store(environ)
    assert environ == {"STORE_URL": "redis://x"}


def test_the_demo_leaves_nothing_of_the_owners_account_in_reach() -> None:
    environ = {
        "CHATGLM_REFRESH_TOKENS": "mine",
        "CHATGLM_SIGN_SECRET": "mine",
        "API_KEYS": "mine",
        "STORE_URL": "sqlite:///mine",
        "NO_PROXY": "example.org",
        "HOME": "kept",
    }
    local._use_simulator(environ, "http://127.0.0.1:9/chatglm", "made-up")
    assert "mine" not in " ".join(environ.values())
    assert environ["CHATGLM_BASE_URL"] == "http://127.0.0.1:9/chatglm"
    assert environ["CHATGLM_REFRESH_TOKENS"] == "made-up"
    assert environ["HOME"] == "kept"
    assert environ["no_proxy"] == "example.org,127.0.0.1,localhost"


# What is said


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "127.0.0.1"),
        ("::1", "[::1]"),
        ("box", "box"),
    ],
)
def test_the_url_names_the_host_as_a_client_would(host: str, shown: str) -> None:
    assert local._shown_host(host) == shown


def test_what_is_missing_is_said_at_the_start() -> None:
    text = local._text("http://h:1", Settings(refresh_tokens=("secret",), store_url="sqlite:///x"))
    assert "http://h:1/v1" in text
    assert "note: CHATGLM_REFRESH_TOKENS is set without API_KEYS" in text
    assert "secret" not in text


def test_the_demo_says_the_url_the_key_and_what_to_copy() -> None:
    text = local._demo_text("http://127.0.0.1:8000")
    assert "base URL  http://127.0.0.1:8000/v1" in text
    assert "curl -N http://127.0.0.1:8000/v1/chat/completions" in text
    assert 'OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="sk-demo")' in text


# A real server, in a process of its own

STREAM = """
import asyncio
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

async def pieces():
    yield b"first"
    await asyncio.sleep(0.5)
    yield b", last"

async def answer(request):
    return StreamingResponse(pieces())

app = Starlette(routes=[Route("/stream", answer)])
"""


class Served:
    """`local.main` over a folder, in a process of its own, on a port of its choice."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        program = (
            f"import sys, pathlib, local; sys.exit(local.main(api_folder=pathlib.Path({str(folder)!r})))"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, "--port", "0", *arguments],
            cwd=ROOT,
            env={**os.environ, "STORE_URL": "memory://"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:  # which waits for it, and closes its pipes
            self.process.kill()

    def url(self) -> str:
        """Wait until it says where it is."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"(http://\S+)/v1$", line):
                return found[1]
        raise AssertionError(f"it ended before it served: {self.process.communicate()[1]}")

    def end(self, how: signal.Signals) -> tuple[int, str]:
        self.process.send_signal(how)
        _, errors = self.process.communicate(timeout=15)
        return self.process.returncode, errors


@pytest.fixture
def served(api_folder: Path) -> Iterator[Served]:
    (api_folder / "stream.py").write_text(STREAM)
    with Served(api_folder) as server:
        yield server


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_server_answers_once_it_has_said_where_and_ends_quietly(
    served: Served, how: signal.Signals
) -> None:
    url = served.url()
    answer = httpx.get(f"{url}/v1/models", trust_env=False)
    assert answer.json()["file"] == "v1/models.py"
    assert "server" not in answer.headers
    assert served.end(how) == (0, "")


def test_an_answer_under_way_is_finished_before_the_server_ends(served: Served) -> None:
    with httpx.stream("GET", f"{served.url()}/stream", trust_env=False) as answer:
        pieces = answer.iter_bytes()
        received = next(pieces)
        served.process.send_signal(signal.SIGTERM)
        received += b"".join(pieces)
    assert received == b"first, last"
    assert served.process.wait(timeout=15) == 0


def test_answers_do_not_wait_for_acknowledgements() -> None:
    with local._listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP  # without which asyncio sets no TCP_NODELAY


def test_a_port_that_is_taken_is_said_clearly(api_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert local.main(["--port", str(port)], api_folder) == 1
    assert f"port {port} of 127.0.0.1 is taken by another program" in capsys.readouterr().err


@pytest.mark.parametrize("where", [["--host", "192.0.2.1", "--port", "0"], ["--host", "no such host"]])
def test_an_address_that_is_not_ours_is_said_clearly(
    where: list[str], api_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert local.main(where, api_folder) == 1
    assert capsys.readouterr().err.startswith("error: cannot listen on ")


def test_wrong_settings_are_said_without_a_traceback(
    api_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STORE_URL", "memory://")
    monkeypatch.setenv("HEARTBEAT_S", "soon")
    assert local.main(["--port", "0"], api_folder) == 1
    assert "HEARTBEAT_S" in capsys.readouterr().err


SETTINGS = """
import os
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def answer(request):
    names = ("CHATGLM_BASE_URL", "CHATGLM_REFRESH_TOKENS", "API_KEYS", "STORE_URL")
    return JSONResponse({name: os.environ[name] for name in names})

app = Starlette(routes=[Route("/settings", answer)])
"""


def test_the_demo_runs_beside_its_own_upstream(api_folder: Path) -> None:
    (api_folder / "settings.py").write_text(SETTINGS)
    with Served(api_folder, "--demo") as server:
        settings = httpx.get(f"{server.url()}/settings", trust_env=False).json()
        assert settings["API_KEYS"] == "sk-demo"
        assert settings["STORE_URL"] == "memory://"
        assert settings["CHATGLM_REFRESH_TOKENS"].count(".") == 2  # a JWT
        upstream = settings["CHATGLM_BASE_URL"]
        assert upstream.startswith("http://127.0.0.1:")
        assert httpx.get(upstream, trust_env=False).status_code == 404  # there, and strict
        assert server.end(signal.SIGINT) == (0, "")


# The real folder


def test_the_demo_chats_with_the_official_sdk() -> None:
    with (
        Served(local.API_FOLDER, "--demo") as server,
        OpenAI(base_url=f"{server.url()}/v1", api_key=local.DEMO_KEY, max_retries=0, timeout=30) as client,
    ):
        messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello!"}]
        answer = client.chat.completions.create(model="glm-5.3", messages=messages)
        assert answer.choices[0].message.content
        with client.chat.completions.create(model="glm-5.3", messages=messages, stream=True) as chunks:
            pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        assert len(pieces) > 2
        assert "".join(pieces)
        status, logged = server.end(signal.SIGINT)
        assert status == 0
        assert all(line.startswith('{"time"') for line in logged.splitlines()), (
            logged
        )  # the log, no traceback


def test_every_file_of_the_repository_answers_at_its_own_path_in_both_forms() -> None:
    mounted = local.mount(local.API_FOLDER)
    for path in local._function_files(local.API_FOLDER):
        name = path.relative_to(local.API_FOLDER).with_suffix("").as_posix()
        for url_path in ("/",) if name == "index" else (f"/{name}", f"/api/{name}"):
            answering = mounted._find("ANY", url_path)
            assert answering is sys.modules[f"api:{path}"].app, f"{path} does not answer {url_path}"
