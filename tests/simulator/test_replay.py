"""The scene that replays a capture, and what it will not read."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from simulator.app import Simulator
from simulator.scenes.replay import read_capture, replay_capture
from simulator.server import SimulatorServer
from tests.simulator.browser import Browser

ROOT = Path(__file__).parents[2]
HEAD = {
    "glm_capture": 1,
    "status": 200,
    "content_type": "text/event-stream",
    "conversation_id": "c" * 24,
    "history_id": "e" * 24,
}
EVENT = (
    'data: {"id":"' + "e" * 24 + '","conversation_id":"' + "c" * 24 + '","status":"finish","parts":[]}\n\n'
)


def write(path: Path, *lines: dict[str, Any], end: str = "closed", **head: Any) -> Path:
    every = [HEAD | head, *lines, {"at_ms": 900.0, "end": end}]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in every), encoding="utf-8")
    return path


@pytest.fixture
def folder(sim: Simulator, tmp_path: Path) -> Iterator[Path]:
    sim.replay_dir = tmp_path / "captures"
    sim.replay_dir.mkdir()
    yield sim.replay_dir
    sim.replay_dir = None


def test_it_sends_what_was_recorded_with_its_own_ids(sim: Simulator, browser: Browser, folder: Path) -> None:
    write(folder / "a.jsonl", {"at_ms": 1, "text": EVENT[:20]}, {"at_ms": 2, "text": EVENT[20:]})
    response = browser.chat("[scene:replay file=a.jsonl]")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream")
    [conversation] = sim.conversations.values()
    event = json.loads(response.content.partition(b"data: ")[2])
    assert event["conversation_id"] == conversation.id
    assert event["id"] == conversation.turns[0].history_id
    assert len(response.content) == len(EVENT)


def test_pieces_come_apart_whatever_they_are_cut_in(sim: Simulator, browser: Browser, folder: Path) -> None:
    write(folder / "a.jsonl", {"at_ms": 1, "base64": "5A=="}, {"at_ms": 2, "base64": "uJY="})
    with browser.open_chat("[scene:replay file=a.jsonl]") as response:
        assert b"".join(response.iter_raw()) == "世".encode()
    capture = read_capture(folder / "a.jsonl")
    assert [piece for _, piece in capture.pieces] == [b"\xe4", b"\xb8\x96"]


def test_ids_of_another_length_stay(browser: Browser, folder: Path) -> None:
    write(folder / "a.jsonl", {"at_ms": 1, "text": EVENT}, conversation_id="c", history_id="")
    assert browser.chat("[scene:replay file=a.jsonl]").content == EVENT.encode()


@pytest.mark.parametrize(("status", "body"), [(429, '{"status":10061}'), (200, "<html>"), (403, "plain")])
def test_what_was_no_stream_is_none(
    sim: Simulator, browser: Browser, folder: Path, status: int, body: str
) -> None:
    write(folder / "a.jsonl", {"at_ms": 1, "text": body}, status=status, content_type="text/html")
    response = browser.chat("[scene:replay file=a.jsonl]")
    assert (response.status_code, response.text) == (status, body)
    assert response.headers["content-type"] == "text/html"
    assert sim.live_conversations() == []


def test_without_a_content_type_there_is_none(browser: Browser, folder: Path) -> None:
    write(folder / "a.jsonl", {"at_ms": 1, "text": EVENT}, content_type="")
    assert "content-type" not in browser.chat("[scene:replay file=a.jsonl]").headers


def test_a_broken_connection_breaks_again(browser: Browser, folder: Path) -> None:
    write(folder / "a.jsonl", {"at_ms": 1, "text": EVENT[:30]}, end="broken")
    with pytest.raises(httpx.RemoteProtocolError):
        browser.chat("[scene:replay file=a.jsonl]")


@pytest.mark.parametrize("end", ["left", "cut"])
def test_where_nobody_knows_what_came_nothing_comes(browser: Browser, folder: Path, end: str) -> None:
    write(folder / "a.jsonl", {"at_ms": 1, "text": EVENT}, end=end)
    began_at = time.monotonic()
    assert browser.chat("[scene:replay file=a.jsonl hold=0.2]").content.startswith(b"data:")
    assert time.monotonic() - began_at >= 0.2


def test_it_takes_its_time_where_that_is_wanted(browser: Browser, folder: Path) -> None:
    write(folder / "a.jsonl", {"at_ms": 50, "text": ": \n\n"}, {"at_ms": 150, "text": EVENT})
    began_at = time.monotonic()
    browser.chat("[scene:replay file=a.jsonl pace=2]")
    assert time.monotonic() - began_at >= 0.3


def test_ends_of_lines_that_json_does_not_know_are_text(folder: Path) -> None:
    file = write(folder / "a.jsonl", {"at_ms": 1, "text": "a\u2028b\x85c"})
    assert read_capture(file).body == "a\u2028b\x85c".encode()


@pytest.mark.parametrize(
    "name",
    [
        "../secret.jsonl",
        "/etc/passwd",
        "..",
        ".",
        "link.jsonl",
        "below/b.jsonl",
        "nothing.jsonl",
        ".hidden",
        "",
    ],
)
def test_nothing_but_a_file_of_the_folder_is_read(browser: Browser, folder: Path, name: str) -> None:
    secret = write(folder.parent / "secret.jsonl", {"at_ms": 1, "text": EVENT})
    write(folder / ".hidden", {"at_ms": 1, "text": EVENT})
    (folder / "link.jsonl").symlink_to(secret)
    (folder / "below").mkdir()
    write(folder / "below" / "b.jsonl", {"at_ms": 1, "text": EVENT})
    response = browser.chat(f"[scene:replay file={name}]" if name else "[scene:replay]")
    assert (response.status_code, response.json()["message"]) == (404, "no such capture")


def test_without_a_folder_there_is_no_file(browser: Browser, sim: Simulator, tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", {"at_ms": 1, "text": EVENT})
    assert sim.replay_dir is None
    assert browser.chat("[scene:replay file=a.jsonl]").status_code == 404


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]\n[]",
        '{"glm_capture":2}\n{}',
        '{"glm_capture":1}\n{"at_ms":1}\n{"end":"closed"}',
        "{}\n{}",
    ],
)
def test_what_is_no_capture_is_said_to_be_none(browser: Browser, folder: Path, text: str) -> None:
    file = folder / "a.jsonl"
    file.write_text(text)
    with pytest.raises(ValueError, match="no capture of format 1"):
        replay_capture(file)
    assert browser.chat("[scene:replay file=a.jsonl]").status_code == 404


def test_another_format_is_not_read(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", {"at_ms": 1, "text": EVENT}, glm_capture=2)
    with pytest.raises(ValueError, match="no capture of format 1"):
        read_capture(file)


def test_a_capture_can_be_played_from_anywhere(sim: Simulator, browser: Browser, tmp_path: Path) -> None:
    sim.play(replay_capture(write(tmp_path / "issue.jsonl", {"at_ms": 1, "text": EVENT})))
    assert browser.events("anything")[0]["status"] == "finish"


def test_the_program_replays_from_its_folder(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", {"at_ms": 1, "text": EVENT})
    command = [sys.executable, "-m", "simulator", "--port", "0", "--replay", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            with httpx.Client(base_url=told["url"], trust_env=False) as http:
                state = http.get(told["url"].removesuffix("/chatglm") + "/__simulator__/state").json()
                account = SimpleNamespace(device_id=state["accounts"][0]["device_id"])
                known: Any = SimpleNamespace(account=lambda _: account)
                window = Browser(known, http, told["refresh_token"])
                window.refresh()
                assert window.events("[scene:replay file=a.jsonl]")[0]["status"] == "finish"
        finally:
            process.terminate()


def test_it_can_be_queued_over_http(
    server: SimulatorServer, sim: Simulator, browser: Browser, folder: Path
) -> None:
    write(folder / "a.jsonl", {"at_ms": 1, "text": EVENT})
    control = server.base_url.removesuffix("/chatglm") + "/__simulator__/play"
    assert httpx.post(control, json={"scene": "replay file=a.jsonl"}, trust_env=False).status_code == 200
    assert browser.events("anything")[0]["status"] == "finish"
