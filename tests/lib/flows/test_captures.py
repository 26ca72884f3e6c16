"""Recordings, and the files that they become."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lib.chat.trace import traced
from lib.flows import captures
from lib.flows.captures import CaptureFolder, Captures, Recording
from simulator.scenes.replay import read_capture
from tests.conftest import SimulatedAccount
from tests.harness.log import logged
from tests.lib.flows.conftest import Flow

EVENT = 'data: {"id":"aaaaaaaaaaaa","conversation_id":"bbbbbbbbbbbb","parts":[],"x":"世界"}\n\n'.encode()


async def chunks(*pieces: bytes, error: BaseException | None = None) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    if error is not None:
        raise error


async def read_all(recording: Recording) -> bytes:
    return b"".join([chunk async for chunk in recording])


def recorded(*pieces: bytes, status: int = 200, content_type: str = "text/event-stream") -> Recording:
    return Recording(status, content_type, chunks(*pieces))


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


async def test_what_is_read_is_what_came() -> None:
    recording = recorded(b"one", b"", b"two")
    assert await read_all(recording) == b"onetwo"
    assert [piece for _, piece in recording.pieces] == [b"one", b"", b"two"]
    assert recording.ending == "closed"
    recording.stop(is_complete=False)
    assert recording.ending == "closed", "it had ended before"


async def test_a_connection_that_breaks_is_recorded_so_and_breaks_for_its_reader_too() -> None:
    recording = Recording(200, "", chunks(b"one", error=LookupError("the network's")))
    with pytest.raises(LookupError):
        await read_all(recording)
    assert (recording.ending, len(recording.pieces)) == ("broken", 1)


async def test_what_comes_after_the_stop_is_passed_on_and_not_recorded() -> None:
    for is_complete, ending in ((False, "left"), (True, "closed")):
        recording = recorded(b"one", b"two", b"three")
        assert await anext(recording) == b"one"
        recording.stop(is_complete=is_complete)
        assert await read_all(recording) == b"twothree"
        assert [piece for _, piece in recording.pieces] == [b"one"]
        assert recording.ending == ending


async def test_a_reader_that_is_cancelled_breaks_nothing() -> None:
    async def silence() -> AsyncIterator[bytes]:
        await asyncio.Future()
        yield b""

    recording = Recording(200, "", silence())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await anext(recording)
    recording.stop(is_complete=False)
    assert recording.ending == "left"


async def test_a_long_answer_is_recorded_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captures, "MOST_RECORDED_BYTES", 6)
    recording = recorded(b"one", b"two", b"x", b"")
    assert await read_all(recording) == b"onetwox"
    assert [piece for _, piece in recording.pieces] == [b"one", b"two"]
    assert recording.ending == "cut"


async def test_a_file_is_lines_of_json_in_the_order_in_which_it_came(tmp_path: Path) -> None:
    whole = EVENT + b": keep-alive\n\n"
    cut = whole.index("界".encode()) + 1
    recording = recorded(whole[:cut], whole[cut : len(EVENT)], whole[len(EVENT) :])
    await read_all(recording)
    await CaptureFolder(tmp_path).write(recording, "req-1")
    [file] = files_of(tmp_path)
    assert file.name.endswith(".capture.jsonl")
    assert "-req-1-" in file.name
    head, first, second, third, end = lines_of(file)
    assert (head["glm_capture"], head["status"], head["content_type"]) == (1, 200, "text/event-stream")
    assert (head["request_id"], head["conversation_id"], head["history_id"]) == (
        "req-1",
        "000000000002",
        "000000000001",
    )
    assert set(first) == set(second) == {"at_ms", "base64"}
    assert third["text"].startswith(": ")
    assert third["text"].endswith("\n\n")
    assert end["end"] == "closed"
    assert 0 <= first["at_ms"] <= second["at_ms"] <= third["at_ms"] <= end["at_ms"]
    assert len(read_capture(file).body) == len(whole)
    assert "世界" not in read_capture(file).body.decode()


async def test_a_strange_content_type_is_not_written(tmp_path: Path) -> None:
    for content_type, written in (("text/html; charset=utf-8", True), ("a\r\nb", False), ("x" * 81, False)):
        recording = recorded(content_type=content_type)
        await read_all(recording)
        await CaptureFolder(tmp_path / content_type[:2]).write(recording, "")
        [file] = files_of(tmp_path / content_type[:2])
        assert lines_of(file)[0]["content_type"] == (content_type if written else "")
        assert "Z-none-" in file.name


async def test_the_latest_files_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captures, "MOST_FILES", 3)
    others = [tmp_path / "mine.txt", tmp_path / "20010101T000000.000Z-x-0000.capture.json"]
    for other in others:
        other.write_text("not a capture")
    folder = CaptureFolder(tmp_path)
    for number in range(5):
        await folder.write(recorded(), f"req-{number}")
    kept = [file for file in files_of(tmp_path) if file not in others]
    assert [lines_of(file)[0]["request_id"] for file in kept] == ["req-2", "req-3", "req-4"]
    assert all(other.exists() for other in others)


async def test_no_more_bytes_are_kept_than_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = CaptureFolder(tmp_path)
    await folder.write(recorded(), "req-0")
    [file] = files_of(tmp_path)
    monkeypatch.setattr(captures, "MOST_BYTES", 2 * file.stat().st_size + 10)
    for number in range(1, 4):
        await folder.write(recorded(), f"req-{number}")
    assert [lines_of(file)[0]["request_id"] for file in files_of(tmp_path)] == ["req-2", "req-3"]


async def test_what_a_killed_process_left_behind_is_cleared_away(tmp_path: Path) -> None:
    stale, fresh = tmp_path / "a.capture.jsonl.unfinished", tmp_path / "b.capture.jsonl.unfinished"
    for file in (stale, fresh):
        file.touch()
    os.utime(stale, (0, 0))
    await CaptureFolder(tmp_path).write(recorded(), "")
    assert not stale.exists()
    assert fresh.exists(), "it may be written just now"


async def test_two_processes_that_clear_away_do_not_disturb_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captures, "MOST_FILES", 1)
    folders = [CaptureFolder(tmp_path) for _ in range(4)]
    with logged() as lines:
        await asyncio.gather(*(folder.write(recorded(EVENT), str(n)) for n, folder in enumerate(folders * 5)))
    assert lines == []
    assert len(files_of(tmp_path)) == 1


async def test_what_cannot_be_written_is_one_warning_until_it_can(tmp_path: Path) -> None:
    blocked = tmp_path / "captures"
    blocked.write_text("a file where the folder should be")
    folder = CaptureFolder(blocked)
    with logged() as lines:
        for _ in range(3):
            await folder.write(recorded(), "")
        blocked.unlink()
        await folder.write(recorded(), "")
        (kept,) = files_of(blocked)
        kept.unlink()
        blocked.rmdir()
        blocked.touch()
        await folder.write(recorded(), "")
    assert [line["message"] for line in lines] == ["capture not written"] * 2
    assert {line["error"] for line in lines} <= {"FileExistsError", "NotADirectoryError"}
    assert all(line["level"] == "WARNING" for line in lines)


async def test_writing_takes_no_longer_than_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captures, "WRITE_TIMEOUT_S", 0.0)
    with logged() as lines:
        await CaptureFolder(tmp_path).write(recorded(EVENT), "")
    assert [line["error"] for line in lines] == ["TimeoutError"]


async def test_a_turn_has_a_file_for_each_answer_of_the_upstream(tmp_path: Path) -> None:
    made = Captures(str(tmp_path / "captures"))
    for status in (401, 200):
        await read_all(made(status, "application/json", chunks(b'{"status":40102,"message":"x"}')))
    made.stop(is_complete=True)
    with traced("req-9"):
        await made.write()
    heads = [lines_of(file)[0] for file in files_of(tmp_path / "captures")]
    assert sorted(head["status"] for head in heads) == [200, 401]
    assert {head["request_id"] for head in heads} == {"req-9"}
    assert (tmp_path / "captures").stat().st_mode & 0o777 == 0o700


async def test_without_the_setting_nothing_is_recorded(
    flow: Flow, accounts: list[SimulatedAccount], tmp_path: Path
) -> None:
    assert (await flow.ask(accounts[:1])).reason == "stop"
    assert files_of(tmp_path) == []
    flow.configure(capture_dir=str(tmp_path))
    assert (await flow.ask(accounts[1:2])).reason == "stop"
    assert len(files_of(tmp_path)) == 1
