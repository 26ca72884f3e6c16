"""The one server of many files: which file answers, and how it starts and ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Self

import httpx
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam
from starlette.testclient import TestClient

from hosts.box.demo import DEMO_KEY, use_simulator
from hosts.box.environment import use_local_store
from hosts.box.listening import listen
from hosts.box.mounting import API_FOLDER, MountedFiles, function_files, mount
from hosts.box.server import main
from hosts.box.terminal import demo_greeting, greeting, shown_host
from lib.settings import Settings
from tests.conftest import Upstream
from tests.support.client import CHAT, KEY, chat_body
from tests.support.waiting import wait_until
from tests.support.wire import RawClient

ROOT = Path(__file__).resolve().parents[3]

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
    with TestClient(mount(api_folder)) as client:
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
    client = TestClient(mount(api_folder))
    assert client.delete("/v1/models").json()["file"] == "v1/more.py"
    assert client.get("/v1/models").json()["file"] == "v1/models.py"
    assert client.put("/v1/models").json() == {"file": "v1/models.py", "error": 405}


def test_what_no_file_knows_is_answered_by_the_index(client: TestClient) -> None:
    answer = client.get("/v1/nothing")
    assert answer.status_code == 404
    assert answer.json()["file"] == "index.py"


def test_a_route_for_everything_in_the_index_hides_no_other_file(api_folder: Path) -> None:
    write_file(api_folder, "index.py", "/{path:path}")
    client = TestClient(mount(api_folder))
    assert client.get("/v1/models").json()["file"] == "v1/models.py"
    assert client.get("/v1/nothing").json()["file"] == "index.py"


def test_files_that_are_no_functions_on_the_host_are_not_loaded(api_folder: Path) -> None:
    for name in ("_helper.py", "_lib/x.py", ".hidden/x.py", "__pycache__/x.py"):
        (api_folder / name).parent.mkdir(exist_ok=True)
        (api_folder / name).write_text("raise AssertionError('loaded')")
    mount(api_folder)


def test_the_same_file_name_in_two_folders_is_two_files(api_folder: Path) -> None:
    write_file(api_folder, "v2/models.py", "/v2/models")
    client = TestClient(mount(api_folder))
    assert client.get("/v1/models").json()["file"] == "v1/models.py"
    assert client.get("/v2/models").json()["file"] == "v2/models.py"


def test_a_file_without_an_app_is_named(api_folder: Path) -> None:
    (api_folder / "v1/broken.py").write_text("handler = 1")
    with pytest.raises(TypeError, match=r"v1/broken\.py must define `app`"):
        mount(api_folder)


def test_a_folder_without_an_index_is_refused(api_folder: Path) -> None:
    (api_folder / "index.py").unlink()
    with pytest.raises(RuntimeError, match=r"index\.py is missing"):
        mount(api_folder)


def test_a_websocket_is_refused_by_the_index(client: TestClient) -> None:
    with pytest.raises(Exception, match=r".*"), client.websocket_connect("/v1/models"):
        pass


def test_what_is_shared_is_closed_when_the_server_ends(api_folder: Path) -> None:
    closed = []

    async def close() -> None:
        closed.append(True)

    with TestClient(mount(api_folder, close)):
        assert not closed
    assert closed == [True]


def test_the_file_of_a_known_path_is_looked_for_once(client: TestClient) -> None:
    app = client.app
    assert isinstance(app, MountedFiles)
    for _ in range(50):
        client.get("/v1/models")
        client.get("/v1/nothing")
    assert app._remembered.cache_info().misses == 2


@pytest.mark.parametrize("port", ["65536", "-1", "http", "٣"])
def test_what_is_no_port_is_said_clearly(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([f"--port={port}"])
    assert f"not {port!r}" in capsys.readouterr().err


# The environment


def test_without_a_store_the_owners_state_folder_is_used(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    use_local_store(environ)
    assert environ["STORE_URL"] == f"sqlite:///{tmp_path}/glm-gateway/state.db"
    assert (tmp_path / "glm-gateway").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("state_home", [None, "relative/folder"])
def test_a_state_folder_that_is_unset_or_relative_is_the_usual_one(
    state_home: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    environ = {"XDG_STATE_HOME": state_home} if state_home else {}
    use_local_store(environ)
    assert environ["STORE_URL"] == f"sqlite:///{tmp_path}/.local/state/glm-gateway/state.db"


def test_a_store_that_is_set_is_kept() -> None:
    environ = {"STORE_URL": "redis://x"}
    use_local_store(environ)
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
    use_simulator(environ, "http://127.0.0.1:9/chatglm", "made-up")
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
    assert shown_host(host) == shown


def test_what_is_missing_is_said_at_the_start() -> None:
    text = greeting("http://h:1", Settings(refresh_tokens=("secret",), store_url="sqlite:///x"))
    assert "http://h:1/v1" in text
    assert "note: CHATGLM_REFRESH_TOKENS is set without API_KEYS" in text
    assert "secret" not in text


def test_the_demo_says_the_url_the_key_and_what_to_copy() -> None:
    text = demo_greeting("http://127.0.0.1:8000")
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
    """`main` over a folder, in a process of its own, on a port of its choice."""

    def __init__(
        self, folder: Path, *arguments: str, first: str = "", program: str = "", **environ: str
    ) -> None:
        program = program or (
            f"{first}\nimport sys, pathlib; from hosts.box import server; "
            f"sys.exit(server.main(api_folder=pathlib.Path({str(folder)!r})))"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, "--port", "0", *arguments],
            cwd=ROOT,
            env={**os.environ, "STORE_URL": "memory://", **environ},
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


@pytest.mark.skipif(sys.platform != "linux", reason="the limits of another process are read from /proc")
def test_as_many_connections_are_let_in_as_the_system_allows(api_folder: Path) -> None:
    few = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 4000))"
    with Served(api_folder, first=few) as server:
        server.url()
        limits = Path(f"/proc/{server.process.pid}/limits").read_text()
    [files] = [line for line in limits.splitlines() if line.startswith("Max open files")]
    assert files.split()[3:5] == ["4000", "4000"]


def test_an_answer_under_way_is_finished_before_the_server_ends(served: Served) -> None:
    with httpx.stream("GET", f"{served.url()}/stream", trust_env=False) as answer:
        pieces = answer.iter_bytes()
        received = next(pieces)
        served.process.send_signal(signal.SIGTERM)
        received += b"".join(pieces)
    assert received == b"first, last"
    assert served.process.wait(timeout=15) == 0


def test_answers_do_not_wait_for_acknowledgements() -> None:
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP  # without which asyncio sets no TCP_NODELAY


def test_a_port_that_is_taken_is_said_clearly(api_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["--port", str(port)], api_folder) == 1
    assert f"port {port} of 127.0.0.1 is taken by another program" in capsys.readouterr().err


@pytest.mark.parametrize("where", [["--host", "192.0.2.1", "--port", "0"], ["--host", "no such host"]])
def test_an_address_that_is_not_ours_is_said_clearly(
    where: list[str], api_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(where, api_folder) == 1
    assert capsys.readouterr().err.startswith("error: cannot listen on ")


def test_wrong_settings_are_said_without_a_traceback(
    api_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STORE_URL", "memory://")
    monkeypatch.setenv("HEARTBEAT_S", "soon")
    assert main(["--port", "0"], api_folder) == 1
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


# The end, with the real endpoints and an upstream


@pytest.fixture
def owned(upstream: Upstream, tmp_path: Path) -> dict[str, str]:
    """The environment of an owner with two accounts and a store on disk."""
    tokens = [upstream.add_account().token for _ in range(2)]
    return {
        "CHATGLM_BASE_URL": upstream.base_url,
        "CHATGLM_REFRESH_TOKENS": ",".join(tokens),
        "API_KEYS": KEY,
        "STORE_URL": f"sqlite:///{tmp_path}/state.db",
        "no_proxy": "127.0.0.1",
    }


def leases(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "state.db")) as database:
        found = database.execute("SELECT count(*) FROM entries WHERE CAST(key AS TEXT) LIKE 'lease:%'")
        return int(found.fetchone()[0])


def ask(url: str, *, stream: bool) -> RawClient:
    client = RawClient(url)
    client.post(CHAT, chat_body(stream=stream), authorization=f"Bearer {KEY}")
    return client


@pytest.mark.parametrize("workers", ["1", "2"])
def test_answers_that_do_not_end_are_cut_short_with_an_error_and_cleaned_up(
    upstream: Upstream, owned: dict[str, str], tmp_path: Path, workers: str
) -> None:
    upstream.sim.play("stall s=60", times=2)
    arguments = ("--grace", "0.5", "--workers", workers)
    with Served(API_FOLDER, *arguments, **owned) as server:
        url = server.url()
        with ask(url, stream=True) as streamed, ask(url, stream=False) as whole:
            streamed.read_until(b"and then")
            wait_until(lambda: upstream.sim.active_generations() == 2)
            assert leases(tmp_path) == 2
            server.process.send_signal(signal.SIGTERM)
            told = streamed.read_to_end()
            refused = whole.read_to_end()
        assert server.process.wait(timeout=15) == 0
        assert not lets_in(url)
    assert b'"code":"shutting_down"' in told.rpartition(b"data: ")[2]
    assert b"[DONE]" not in told
    assert told.endswith(b"\r\n0\r\n\r\n"), "the error is the end, and no broken connection"
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b'"code":"shutting_down"' in refused
    wait_until(lambda: upstream.sim.active_generations() == 0)
    assert upstream.sim.live_conversations() == []
    assert leases(tmp_path) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_stream_under_way_is_finished_and_nobody_else_is_let_in(
    upstream: Upstream, owned: dict[str, str], tmp_path: Path, workers: str
) -> None:
    upstream.sim.pace_s = 0.05
    upstream.sim.play("text chars=100")
    with Served(API_FOLDER, "--workers", workers, **owned) as server:
        url = server.url()
        with ask(url, stream=True) as streamed:
            streamed.read_until(b'"content":"')
            server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: not lets_in(url))
            assert upstream.sim.active_generations() == 1
            assert b"data: [DONE]" in streamed.read_to_end()
        assert server.process.wait(timeout=15) == 0
    assert upstream.sim.live_conversations() == []
    assert leases(tmp_path) == 0


def lets_in(url: str) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", httpx.URL(url).port)) == 0


# Several workers

PROCESS = """
import os, sys
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def tell(request):
    return JSONResponse({"process": os.getpid(), "folder": os.getcwd()})

async def die(request):
    os._exit(7)

app = Starlette(routes=[Route("/process", tell), Route("/die", die)])
"""


@pytest.fixture
def several(api_folder: Path, tmp_path: Path) -> Iterator[Served]:
    (api_folder / "process.py").write_text(PROCESS)
    (api_folder / "stream.py").write_text(STREAM)
    with Served(api_folder, "--workers", "3", STORE_URL=f"sqlite:///{tmp_path}/state.db") as server:
        yield server


def process_that_answers(url: str) -> int:
    return int(httpx.get(f"{url}/process", trust_env=False).json()["process"])


def has_ended(process: int) -> bool:
    return not Path(f"/proc/{process}").exists()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_several_workers_answer_on_one_port_and_end_together(several: Served, how: signal.Signals) -> None:
    url = several.url()
    workers: set[int] = set()
    give_up_at = time.monotonic() + 20
    with ThreadPoolExecutor(8) as pool:
        while len(workers) < 3 and time.monotonic() < give_up_at:
            workers.update(pool.map(process_that_answers, [url] * 16))
    assert len(workers) == 3
    assert several.process.pid not in workers
    assert several.end(how) == (0, "")
    assert all(map(has_ended, workers))


def test_a_workers_answer_is_finished_before_the_server_ends(several: Served) -> None:
    with httpx.stream("GET", f"{several.url()}/stream", trust_env=False) as answer:
        pieces = answer.iter_bytes()
        received = next(pieces)
        several.process.send_signal(signal.SIGTERM)
        received += b"".join(pieces)
    assert received == b"first, last"
    assert several.process.wait(timeout=15) == 0


def test_a_worker_that_dies_is_replaced_and_the_log_says_so(several: Served) -> None:
    url = several.url()
    for _ in range(3):
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"{url}/die", trust_env=False)
    assert process_that_answers(url)
    status, logged = several.end(signal.SIGTERM)
    assert status == 0
    lines = [json.loads(line) for line in logged.splitlines()]
    assert {(line["message"], line["exit_status"]) for line in lines} == {("a worker ended", 7)}


def test_workers_end_when_their_supervisor_is_killed(several: Served) -> None:
    url = several.url()
    worker = process_that_answers(url)
    several.process.kill()
    several.process.wait()
    wait_until(lambda: has_ended(worker) and not lets_in(url), 10, "the workers end")


def test_workers_whose_supervisor_is_killed_return_their_leases(
    upstream: Upstream, owned: dict[str, str], tmp_path: Path
) -> None:
    upstream.sim.play("stall s=60")
    with (
        Served(API_FOLDER, "--workers", "2", "--grace", "0.2", **owned) as server,
        ask(server.url(), stream=True) as streamed,
    ):
        streamed.read_until(b"and then")
        assert leases(tmp_path) == 1
        server.process.kill()
        assert b'"code":"shutting_down"' in streamed.read_to_end()
    wait_until(lambda: leases(tmp_path) == 0 and upstream.sim.live_conversations() == [])


def test_a_supervisor_whose_terminal_is_gone_ends(several: Served) -> None:
    url = several.url()
    worker = process_that_answers(url)
    assert several.end(signal.SIGHUP) == (0, "")
    assert has_ended(worker)


IMPATIENT = """
import pathlib, sys
from hosts.box.ending import EndsInTime
from hosts.box.listening import listen
from hosts.box.server import config_of
from hosts.box.supervisor import Supervisor

with listen("127.0.0.1", 0) as listener:
    config = config_of(EndsInTime(pathlib.Path({folder!r}), 0.1), workers=2)
    url = "http://127.0.0.1:%d/v1" % listener.getsockname()[1]
    sys.exit(Supervisor(config, listener, url, end_s=0.5).serve())
"""


def test_a_worker_that_does_not_end_is_killed_in_the_end(api_folder: Path) -> None:
    (api_folder / "process.py").write_text(PROCESS)
    with Served(api_folder, program=IMPATIENT.format(folder=str(api_folder))) as server:
        worker = process_that_answers(server.url())
        os.kill(worker, signal.SIGSTOP)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=15) == 0
    assert has_ended(worker)


def test_a_worker_that_cannot_start_is_the_end(api_folder: Path, tmp_path: Path) -> None:
    (api_folder / "broken.py").write_text("raise RuntimeError('broken')")
    with Served(api_folder, "--workers", "2", STORE_URL=f"sqlite:///{tmp_path}/state.db") as server:
        _, errors = server.process.communicate(timeout=20)
        assert server.process.returncode == 1
        assert "RuntimeError: broken" in errors


def test_workers_need_a_store_that_they_share(
    api_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STORE_URL", "memory://")
    assert main(["--port", "0", "--workers", "2"], api_folder) == 1
    assert "--workers needs a store that the processes share" in capsys.readouterr().err


def test_an_account_makes_one_answer_at_a_time_however_many_workers_there_are(
    upstream: Upstream, owned: dict[str, str], tmp_path: Path
) -> None:
    with (
        Served(API_FOLDER, "--workers", "4", ACCOUNT_WAIT_S="20", **owned) as server,
        ThreadPoolExecutor(60) as pool,
    ):
        url = f"{server.url()}{CHAT}"
        headers = {"authorization": f"Bearer {KEY}"}

        def chat(number: int) -> int:
            body = chat_body(f"[scene:text chars=40] {number}", stream=number % 2 == 0)
            # A connection for each, so that the workers share them.
            return httpx.post(url, json=body, headers=headers, trust_env=False, timeout=60).status_code

        statuses = Counter(pool.map(chat, range(60)))
        status, logged = server.end(signal.SIGTERM)
    assert status == 0
    assert set(statuses) <= {200, 429}
    assert statuses[200] >= 10
    # Overlaps and parallel refreshes would be violations: the fixture holds that there are none.
    assert [account["max_overlap"] for account in upstream.sim.state()["accounts"]] == [1, 1]
    assert upstream.sim.live_conversations() == []
    assert leases(tmp_path) == 0
    assert '"level":"ERROR"' not in logged


def test_the_demo_runs_with_workers() -> None:
    with Served(API_FOLDER, "--demo", "--workers", "2") as server:
        url = f"{server.url()}{CHAT}"
        headers = {"authorization": f"Bearer {DEMO_KEY}"}
        with ThreadPoolExecutor(4) as pool:
            answers = pool.map(
                lambda _: httpx.post(
                    url, json=chat_body(max_tokens=3), headers=headers, trust_env=False, timeout=30
                ),
                range(4),
            )
            assert [answer.status_code for answer in answers] == [200] * 4
        assert server.end(signal.SIGINT)[0] == 0


@pytest.mark.parametrize(
    "argument", ["--workers=0", "--workers=two", "--grace=-1", "--grace=soon", "--grace=inf"]
)
def test_what_is_no_number_is_said_clearly(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([argument])
    assert f"got {argument.partition('=')[2]!r}" in capsys.readouterr().err


# The real folder


def test_the_demo_chats_with_the_official_sdk() -> None:
    with (
        Served(API_FOLDER, "--demo") as server,
        OpenAI(base_url=f"{server.url()}/v1", api_key=DEMO_KEY, max_retries=0, timeout=30) as client,
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


def test_the_demo_replays_what_was_captured(tmp_path: Path) -> None:
    def ask(prompt: str) -> str:
        headers = {"authorization": f"Bearer {DEMO_KEY}"}
        answer = httpx.post(url, json=chat_body(prompt), headers=headers, trust_env=False, timeout=30)
        return str(answer.json()["choices"][0]["message"]["content"])

    with Served(API_FOLDER, "--demo", CAPTURE_DIR=str(tmp_path)) as server:
        url = f"{server.url()}{CHAT}"
        original = ask("[scene:text chars=30]")
        wait_until(lambda: list(tmp_path.glob("*.jsonl")))
        [file] = tmp_path.glob("*.jsonl")
        replayed = ask(f"[scene:replay file={file.name}]")
        assert len(replayed) == len(original) == 30
        assert replayed != original
        assert server.end(signal.SIGINT)[0] == 0


def test_every_file_of_the_repository_answers_at_its_own_path_in_both_forms() -> None:
    mounted = mount(API_FOLDER)
    for path in function_files(API_FOLDER):
        name = path.relative_to(API_FOLDER).with_suffix("").as_posix()
        for url_path in ("/",) if name == "index" else (f"/{name}", f"/api/{name}"):
            answering = mounted._find("ANY", url_path)
            assert answering is sys.modules[f"api:{path}"].app, f"{path} does not answer {url_path}"
