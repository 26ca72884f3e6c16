"""Several processes on one socket: they serve together, are replaced, and end together."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from hosts.box.mounting import API_FOLDER
from hosts.box.server import main
from tests.conftest import Upstream
from tests.hosts.box.served import (
    PROCESS,
    STREAM,
    Served,
    ask,
    has_ended,
    leases,
    lets_in,
    process_that_answers,
)
from tests.support.client import CHAT, KEY, chat_body
from tests.support.waiting import wait_until


@pytest.fixture
def several(api_folder: Path, tmp_path: Path) -> Iterator[Served]:
    (api_folder / "process.py").write_text(PROCESS)
    (api_folder / "stream.py").write_text(STREAM)
    with Served(api_folder, "--workers", "3", STORE_URL=f"sqlite:///{tmp_path}/state.db") as server:
        yield server


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
