"""The server in one process: how it starts, what it says, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hosts.box.environment import use_local_store
from hosts.box.listening import listen
from hosts.box.mounting import API_FOLDER
from hosts.box.server import main
from hosts.box.terminal import greeting, shown_host
from lib.settings import Settings
from lib.store.settings import SqliteSettings
from lib.upstreams.condition import AddedAccounts
from lib.version import VERSION
from tests.conftest import Upstream
from tests.hosts.box.served import (
    STREAM,
    Served,
    ask,
    leases,
    lets_in,
)
from tests.support.client import KEY
from tests.support.waiting import wait_until


@pytest.mark.parametrize("port", ["65536", "-1", "http", "٣"])
def test_what_is_no_port_is_said_clearly(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([f"--port={port}"])
    assert f"or 0 for any free port, got {port!r}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argument", ["--workers=0", "--workers=two", "--grace=-1", "--grace=soon", "--grace=inf"]
)
def test_what_is_no_number_is_said_clearly(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([argument])
    assert f"got {argument.partition('=')[2]!r}" in capsys.readouterr().err


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"glm-gateway {VERSION}\n"


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
    text = greeting("http://h:1", Settings(refresh_tokens=("secret",), store=SqliteSettings("x")))
    assert "http://h:1/v1\n" in text
    assert "page: http://h:1/\n" in text
    assert f"version {VERSION}, default model glm-5.3-flash" in text
    assert "accounts: 1, API keys: 0" in text
    assert "pass-through: on" in text
    assert "store: sqlite, x" in text
    assert "note: CHATGLM_REFRESH_TOKENS is set without API_KEYS" in text
    assert "secret" not in text


def test_without_an_account_the_start_says_where_to_add_one() -> None:
    waiting = Settings(api_keys=("sk",), allow_passthrough=False, store=SqliteSettings("x"))
    assert "note: CHATGLM_REFRESH_TOKENS is not set: add an account" in greeting("http://h:1", waiting)
    assert "POST /tokens" in greeting("http://h:1", waiting)
    complete = Settings(refresh_tokens=("secret",), api_keys=("sk",), store=SqliteSettings("x"))
    assert "POST /tokens" not in greeting("http://h:1", complete)
    assert "no account and no key is set" not in greeting("http://h:1", waiting)


def test_accounts_that_were_added_at_run_time_are_counted_and_none_is_asked_for() -> None:
    settings = Settings(api_keys=(KEY,), allow_passthrough=False, store=SqliteSettings("x"))
    text = greeting("http://h:1", settings, added=AddedAccounts(1, is_locked=False))
    assert "accounts: 1 (1 added at run time), API keys: 1\n" in text
    assert "note: " not in text
    locked = greeting("http://h:1", settings, added=AddedAccounts(0, is_locked=True))
    assert "note: the store holds accounts that were added at run time, and no key" in locked


def test_with_nothing_set_the_start_says_how_to_begin() -> None:
    text = greeting("http://h:1", Settings(allow_passthrough=True, store=SqliteSettings("x")))
    assert "note: no account and no key is set. For your own account, set CHATGLM_REFRESH_TOKENS" in text
    assert "--demo" in text


def test_keys_of_the_official_api_are_counted_and_its_default_model_is_named() -> None:
    text = greeting("http://h:1", Settings(official_keys=("a.b", "c.d"), api_keys=("sk",)))
    assert "accounts: 0, API keys: 1, keys of the official API: 2\n" in text
    assert f"default model {Settings().official_default_model}\n" in text


# A real server, in a process of its own


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
    printed = capsys.readouterr().err
    assert "another program (perhaps another scripts/serve)" in printed
    assert f"uses port {port} of 127.0.0.1. Choose another port" in printed


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


def test_an_account_that_was_added_is_counted_at_the_next_start(
    upstream: Upstream, owned: dict[str, str]
) -> None:
    environ = {**owned, "CHATGLM_REFRESH_TOKENS": ""}
    with Served(API_FOLDER, **environ) as server:
        added = httpx.post(
            f"{server.url()}/tokens",
            json={"token": upstream.add_account().token},
            headers={"authorization": f"Bearer {KEY}"},
            trust_env=False,
        )
        assert added.status_code == 201, added.text
        server.end(signal.SIGTERM)
    with Served(API_FOLDER, **environ) as server:
        server.url()
        assert server.process.stdout is not None
        said = list(iter(server.process.stdout.readline, "Ctrl-C ends it.\n"))
        assert "  accounts: 1 (1 added at run time), API keys: 1\n" in said
        assert not [line for line in said if "CHATGLM_REFRESH_TOKENS" in line]
        assert server.end(signal.SIGTERM) == (0, "")


# The end, with the real endpoints and an upstream


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


def test_a_ctrl_c_after_a_sigterm_ends_the_answers_at_once(
    upstream: Upstream, owned: dict[str, str], tmp_path: Path
) -> None:
    upstream.sim.play("stall s=60")
    with Served(API_FOLDER, "--grace", "60", **owned) as server:
        with ask(server.url(), stream=True) as streamed:
            streamed.read_until(b"and then")
            assert server.process.stderr is not None
            server.process.send_signal(signal.SIGTERM)
            assert "a second Ctrl-C or SIGTERM ends them now" in server.process.stderr.readline()
            server.process.send_signal(signal.SIGINT)
            assert "it cuts the answers under way short" in server.process.stderr.readline()
            told = streamed.read_to_end()
        assert server.process.wait(timeout=15) == 0
    assert b'"code":"shutting_down"' in told.rpartition(b"data: ")[2]
    assert leases(tmp_path) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_ctrl_c_ends_the_answers_at_once_with_their_error(
    upstream: Upstream, owned: dict[str, str], tmp_path: Path, workers: str
) -> None:
    upstream.sim.play("stall s=60")
    with Served(API_FOLDER, "--grace", "60", "--workers", workers, **owned) as server:
        url = server.url()
        with ask(url, stream=True) as streamed:
            streamed.read_until(b"and then")
            assert server.process.stderr is not None
            for said in ("it waits for the answers under way", "it cuts the answers under way short"):
                os.killpg(server.process.pid, signal.SIGINT)  # A terminal sends it to the workers, too.
                line = json.loads(server.process.stderr.readline())
                assert said in line["message"]
                assert line["answers"] == 1
            told = streamed.read_to_end()
        assert server.process.wait(timeout=15) == 0
        lines = server.process.stderr.read().splitlines()
        assert all(line.startswith("{") for line in lines), "no traceback"
    assert b'"code":"shutting_down"' in told.rpartition(b"data: ")[2]
    assert leases(tmp_path) == 0
