"""Recordings of the upstream's answers, and their files."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lib.trace import traced
from lib.upstreams.chatglm.captures import (
    CaptureFolder,
    CaptureLimits,
    Captures,
    CaptureWriter,
    Recording,
    process_writer,
)
from simulator.chatglm.tokens import sign_token
from simulator.scenes.replay import read_capture
from tests.conftest import SimulatedAccount
from tests.support.log import logged
from tests.unit.conftest import Flow

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


async def write(
    folder: CaptureFolder, recording: Recording, request_id: str, *, left_s: float = 10.0
) -> None:
    await folder.write(recording, request_id, asyncio.get_running_loop().time() + left_s)


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


async def test_what_is_read_is_what_came() -> None:
    recording = recorded(b"one", b"", b"two")
    assert await read_all(recording) == b"onetwo"
    assert [piece for _, piece in recording.pieces] == [b"one", b"", b"two"]
    assert recording.end == "closed"
    recording.stop(is_complete=False)
    assert recording.end == "closed", "it had ended before"


async def test_a_connection_that_breaks_is_recorded_so_and_breaks_for_its_reader_too() -> None:
    recording = Recording(200, "", chunks(b"one", error=LookupError("the network's")))
    with pytest.raises(LookupError):
        await read_all(recording)
    assert (recording.end, len(recording.pieces)) == ("broken", 1)


async def test_what_comes_after_the_stop_is_passed_on_and_not_recorded() -> None:
    for is_complete, end in ((False, "left"), (True, "closed")):
        recording = recorded(b"one", b"two", b"three")
        assert await anext(recording) == b"one"
        recording.stop(is_complete=is_complete)
        assert await read_all(recording) == b"twothree"
        assert [piece for _, piece in recording.pieces] == [b"one"]
        assert recording.end == end


async def test_a_reader_that_is_cancelled_breaks_nothing() -> None:
    async def silence() -> AsyncIterator[bytes]:
        await asyncio.Future()
        yield b""

    recording = Recording(200, "", silence())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await anext(recording)
    recording.stop(is_complete=False)
    assert recording.end == "left"


async def test_a_long_answer_is_recorded_up_to_the_limit(tmp_path: Path) -> None:
    made = Captures(CaptureFolder(tmp_path, limits=CaptureLimits(answer_bytes=6)))
    recording = made(200, "", chunks(b"one", b"two", b"x", b""))
    assert await read_all(recording) == b"onetwox"
    assert [piece for _, piece in recording.pieces] == [b"one", b"two"]
    assert recording.end == "cut"


async def test_a_file_is_lines_of_json_in_the_order_in_which_it_came(tmp_path: Path) -> None:
    whole = EVENT + b": keep-alive\n\n"
    cut = whole.index("界".encode()) + 1
    recording = recorded(whole[:cut], whole[cut : len(EVENT)], whole[len(EVENT) :])
    await read_all(recording)
    await write(CaptureFolder(tmp_path), recording, "req-1")
    [file] = files_of(tmp_path)
    assert file.name.endswith(".raw.jsonl")
    assert "-req-1-" in file.name
    head, first, second, third, end = lines_of(file)
    assert (head["glm_capture"], head["status"], head["content_type"]) == (1, 200, "text/event-stream")
    assert head["redacted"] is False
    assert (head["request_id"], head["conversation_id"], head["history_id"]) == (
        "req-1",
        "bbbbbbbbbbbb",
        "aaaaaaaaaaaa",
    )
    assert set(first) == set(second) == {"at_ms", "base64"}
    assert third["text"].startswith(": ")
    assert third["text"].endswith("\n\n")
    assert end["end"] == "closed"
    assert 0 <= first["at_ms"] <= second["at_ms"] <= third["at_ms"] <= end["at_ms"]
    assert read_capture(file).body == whole


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_a_token_that_the_upstream_sends_back_is_not_written(tmp_path: Path, size: int) -> None:
    token = sign_token({"uid": "u-1", "type": "access"}, b"a secret")
    body = f'{{"status":1,"message":"bad token {token}, {token}"}}\n\n世'.encode()
    recording = recorded(*(body[start : start + size] for start in range(0, len(body), size)))
    assert await read_all(recording) == body, "the decoder reads the original"
    await write(CaptureFolder(tmp_path), recording, "")
    [file] = files_of(tmp_path)
    kept = read_capture(file)
    assert kept.body == body.replace(token.encode(), b"x" * len(token))
    assert [len(piece) for _, piece in kept.pieces] == [len(piece) for _, piece in recording.pieces]
    assert not [piece for piece in token.split(".") if piece in file.read_text()]


async def test_ids_are_found_in_the_first_events_that_have_them(tmp_path: Path) -> None:
    body = b'event: message\r\ndata: junk\r\n\r\ndata:{"id":"h-1"}\r\n\r\n' + EVENT
    recording = recorded(body)
    await read_all(recording)
    await write(CaptureFolder(tmp_path), recording, "")
    [file] = files_of(tmp_path)
    capture = read_capture(file)
    assert (capture.conversation_id, capture.history_id) == ("bbbbbbbbbbbb", "h-1")


async def test_a_strange_content_type_is_not_written(tmp_path: Path) -> None:
    for content_type, written in (("text/html; charset=utf-8", True), ("a\r\nb", False), ("x" * 81, False)):
        recording = recorded(content_type=content_type)
        await read_all(recording)
        await write(CaptureFolder(tmp_path / content_type[:2]), recording, "")
        [file] = files_of(tmp_path / content_type[:2])
        assert lines_of(file)[0]["content_type"] == (content_type if written else "")
        assert "Z-none-" in file.name


async def test_the_latest_files_are_kept(tmp_path: Path) -> None:
    others = [tmp_path / name for name in ("mine.txt", "20010101T0-x.raw.json", "20010101T0-x.capture.jsonl")]
    for other in others:
        other.write_text("not a capture, or a redacted one")
    folder = CaptureFolder(tmp_path, limits=CaptureLimits(files=3))
    for number in range(5):
        await write(folder, recorded(), f"req-{number}")
    kept = [file for file in files_of(tmp_path) if file not in others]
    assert [lines_of(file)[0]["request_id"] for file in kept] == ["req-2", "req-3", "req-4"]
    assert all(other.exists() for other in others)


async def test_no_more_bytes_are_kept_than_allowed(tmp_path: Path) -> None:
    await write(CaptureFolder(tmp_path), recorded(), "req-0")
    [file] = files_of(tmp_path)
    folder = CaptureFolder(tmp_path, limits=CaptureLimits(folder_bytes=2 * file.stat().st_size + 10))
    for number in range(1, 4):
        await write(folder, recorded(), f"req-{number}")
    assert [lines_of(file)[0]["request_id"] for file in files_of(tmp_path)] == ["req-2", "req-3"]


async def test_what_a_killed_process_left_behind_is_cleared_away(tmp_path: Path) -> None:
    stale, fresh = tmp_path / "a.raw.jsonl.unfinished", tmp_path / "b.raw.jsonl.unfinished"
    for file in (stale, fresh):
        file.touch()
    os.utime(stale, (0, 0))
    await write(CaptureFolder(tmp_path), recorded(), "")
    assert not stale.exists()
    assert fresh.exists(), "it may be written just now"


async def test_two_processes_that_clear_away_do_not_disturb_each_other(tmp_path: Path) -> None:
    folders = [CaptureFolder(tmp_path, limits=CaptureLimits(files=1)) for _ in range(4)]
    with logged() as lines:
        await asyncio.gather(
            *(
                asyncio.to_thread(folder.write_now, recorded(EVENT), str(n))
                for n, folder in enumerate(folders * 5)
            )
        )
    assert lines == []
    assert len(files_of(tmp_path)) == 1


async def test_what_cannot_be_written_is_one_warning_until_it_can(tmp_path: Path) -> None:
    blocked = tmp_path / "captures"
    blocked.write_text("a file where the folder should be")
    folder = CaptureFolder(blocked)
    with logged() as lines:
        for _ in range(3):
            await write(folder, recorded(), "")
        blocked.unlink()
        await write(folder, recorded(), "")
        (kept,) = files_of(blocked)
        kept.unlink()
        blocked.rmdir()
        blocked.touch()
        await write(folder, recorded(), "")
    assert [line["message"] for line in lines] == ["capture not written"] * 2
    assert {line["error"] for line in lines} <= {"FileExistsError", "NotADirectoryError"}
    assert all(line["level"] == "WARNING" for line in lines)


@pytest.mark.parametrize(
    "error", [RecursionError("so deep"), LookupError("a mistake of ours"), MemoryError()]
)
async def test_whatever_is_wrong_with_it_is_only_a_warning(tmp_path: Path, error: Exception) -> None:
    class Failing(CaptureFolder):
        def write_now(self, recording: Recording, request_id: str) -> None:
            raise error

    with logged() as lines:
        await write(Failing(tmp_path), recorded(EVENT), "")
    assert [(line["message"], line["error"]) for line in lines] == [
        ("capture not written", type(error).__name__)
    ]


@contextmanager
def held(writer: CaptureWriter) -> Iterator[threading.Event]:
    """Hold the writer's thread until the event is set, or the block ends."""
    release = threading.Event()
    writer._executor.submit(release.wait, 10.0)
    try:
        yield release
    finally:
        release.set()


async def test_writing_takes_no_longer_than_its_time(tmp_path: Path) -> None:
    writer, loop, limits = CaptureWriter(), asyncio.get_running_loop(), CaptureLimits(min_write_s=0.1)
    began_at = loop.time()
    with held(writer), logged() as lines:
        folder = CaptureFolder(tmp_path, limits=limits, writer=writer)
        await write(folder, recorded(EVENT), "", left_s=0.2)
        assert loop.time() - began_at < 2.0
    assert [line["error"] for line in lines] == ["TimeoutError"]


async def test_all_files_of_a_turn_share_one_time(tmp_path: Path) -> None:
    writer, loop, limits = (
        CaptureWriter(),
        asyncio.get_running_loop(),
        CaptureLimits(write_s=0.3, min_write_s=0.1),
    )
    made = Captures(CaptureFolder(tmp_path, limits=limits, writer=writer))
    for _ in range(5):
        await read_all(made(200, "", chunks(EVENT)))
    began_at = loop.time()
    with held(writer):
        await made.write(began_at + 60.0)
        assert 0.2 < loop.time() - began_at < 1.0


async def test_with_little_time_left_no_file_is_begun(tmp_path: Path) -> None:
    await write(CaptureFolder(tmp_path), recorded(EVENT), "", left_s=CaptureLimits().min_write_s - 0.1)
    assert files_of(tmp_path) == []


async def test_captures_keep_no_thread_of_the_loop_and_few_wait(tmp_path: Path) -> None:
    writer, loop = CaptureWriter(), asyncio.get_running_loop()
    folder = CaptureFolder(tmp_path, writer=writer)
    loop.set_default_executor(ThreadPoolExecutor(max_workers=1))
    with held(writer) as release, logged() as lines:
        writing = [asyncio.create_task(write(folder, recorded(EVENT), str(n))) for n in range(6)]
        await asyncio.sleep(0)
        async with asyncio.timeout(5.0):
            await loop.getaddrinfo("127.0.0.1", 80)
            await asyncio.gather(*writing[3:])
        release.set()
        await asyncio.gather(*writing)
    assert [line["message"] for line in lines] == ["capture dropped"]
    assert len(files_of(tmp_path)) == 3


async def test_a_full_disk_keeps_no_half_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = CaptureFolder(tmp_path, limits=CaptureLimits(files=2))
    for number in range(2):
        await write(folder, recorded(), f"req-{number}")

    def full(descriptor: int, *_: object) -> None:
        os.close(descriptor)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, logged() as lines:
        patch.setattr(os, "fdopen", full)
        await write(folder, recorded(), "req-2")
    assert [line["error"] for line in lines] == ["OSError"]
    [kept] = files_of(tmp_path)
    assert "-req-1-" in kept.name, "the oldest made room before"


async def test_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        await write(CaptureFolder(tmp_path), recorded(EVENT), "")
    finally:
        os.umask(before)
    assert files_of(tmp_path)[0].stat().st_mode & 0o777 == 0o600


async def test_a_turn_has_a_file_for_each_answer_of_the_upstream(tmp_path: Path) -> None:
    made = Captures(CaptureFolder(tmp_path / "captures"))
    for status in (401, 200):
        await read_all(made(status, "application/json", chunks(b'{"status":40102,"message":"x"}')))
    made.stop(is_complete=True)
    with traced("req-9"):
        await made.write(asyncio.get_running_loop().time() + 10.0)
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


async def test_a_capture_takes_only_the_rest_of_the_clean_up(
    flow: Flow, accounts: list[SimulatedAccount], tmp_path: Path
) -> None:
    flow.configure(capture_dir=str(tmp_path))
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    with held(process_writer()):
        async with flow.open(accounts[:1], left_s=4.0) as reply:
            assert [event async for batch in reply for event in batch]
        assert loop.time() - began_at < 3.9
        assert files_of(tmp_path) == []
    assert flow.leases() == set()
