"""Records the upstream's answers to chats in files, for a bug report and a replay.

A file holds lines of JSON: the head of the answer, each piece of it, and its end (docs/observability.md). It
is raw: it holds the owner's words. `scripts/redact` makes a copy without them, by code that is not deployed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import msgspec

from lib.trace import current_trace
from lib.upstreams.chatglm.wire.protocol import decode_event

FORMAT = 1
SUFFIX, UNFINISHED = ".raw.jsonl", ".unfinished"

_CONTENT_TYPE = re.compile(r"[\w/+.;= -]{0,80}")
_DATA = re.compile(rb"^(?:\xef\xbb\xbf)?data: *", re.MULTILINE)
_TOKEN = re.compile(rb"eyJ[\w.-]*")
"""Every token of the upstream is a JWT (2026-09), and a JWT begins so."""

End = Literal["closed", "broken", "left", "cut"]
"""`closed`: the upstream ended the answer. `broken`: the connection broke. `left`: the gateway stopped
reading. `cut`: the recording reached its limit."""

log = logging.getLogger("glm_gateway")


class CaptureLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a folder of captures."""

    files: int = 200
    """The folder keeps at most so many files. The oldest is deleted first."""
    folder_bytes: int = 50 * 1024 * 1024
    """All files together are at most so large. The oldest is deleted first."""
    answer_bytes: int = 2 * 1024 * 1024
    """An answer is recorded up to here. A long one has some hundred kilobytes."""
    write_s: float = 5.0
    """All files of a turn are written within this time: a retry on another account waits for them."""
    min_write_s: float = 0.5
    """With less time left, no file is begun."""
    waiting: int = 2
    """So many answers wait for the writer. Each holds a whole answer in memory; more are dropped."""
    stale_s: float = 3600.0
    """A process that was killed left an unfinished file that is older than this."""


class Recording:
    """Passes one answer on to its reader, and keeps each piece with its time."""

    def __init__(
        self,
        status: int,
        content_type: str,
        chunks: AsyncIterator[bytes],
        *,
        max_bytes: int = CaptureLimits().answer_bytes,
    ) -> None:
        self.status = status
        self.content_type = content_type
        self.began_at = datetime.now(UTC)
        self.pieces: list[tuple[float, bytes]] = []
        self.end: End = "left"
        self.ended_at_s = 0.0
        self._chunks = chunks
        self._max_bytes = max_bytes
        self._size = 0
        self._clock = monotonic()
        self._is_over = False

    def __aiter__(self) -> Recording:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await anext(self._chunks)
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError):
                self._end("closed" if isinstance(error, StopAsyncIteration) else "broken")
            raise
        if not self._is_over:
            self._take(chunk)
        return chunk

    def stop(self, *, is_complete: bool) -> None:
        """Record no more: the gateway itself causes the rest, by its stop."""
        self._end("closed" if is_complete else "left")

    def _take(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._max_bytes:
            self._end("cut")
        else:
            self.pieces.append((monotonic() - self._clock, chunk))

    def _end(self, end: End) -> None:
        if not self._is_over:
            self._is_over, self.end, self.ended_at_s = True, end, monotonic() - self._clock


class Captures:
    """The recordings of one turn: one for each answer that its requests get."""

    def __init__(self, folder: CaptureFolder) -> None:
        self._folder = folder
        self._recordings: list[Recording] = []

    def __call__(self, status: int, content_type: str, chunks: AsyncIterator[bytes]) -> Recording:
        max_bytes = self._folder.limits.answer_bytes
        self._recordings.append(Recording(status, content_type, chunks, max_bytes=max_bytes))
        return self._recordings[-1]

    def stop(self, *, is_complete: bool) -> None:
        for recording in self._recordings:
            recording.stop(is_complete=is_complete)

    async def write(self, until: float) -> None:
        """Write all files before `until` (loop time). A file that cannot be written spoils no answer."""
        until = min(until, asyncio.get_running_loop().time() + self._folder.limits.write_s)
        request_id = current_trace().request_id
        for recording in self._recordings:
            await self._folder.write(recording, request_id, until)


class CaptureWriter:
    """One thread that writes files. The loop's own threads look up names, and must not wait for a disk."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="captures")
        self._writing: list[Future[None]] = []
        self._has_warned = False

    def submit(self, folder: CaptureFolder, recording: Recording, request_id: str) -> Future[None] | None:
        """Return None if too many recordings wait already."""
        waiting = folder.limits.waiting
        self._writing = [writing for writing in self._writing if not writing.done()]
        if len(self._writing) > waiting:  # The first one is being written.
            if not self._has_warned:
                log.warning("capture dropped", extra={"waiting": waiting})
            self._has_warned = True
            return None
        self._writing.append(self._executor.submit(folder.write_now, recording, request_id))
        return self._writing[-1]


class CaptureFolder:
    """The folder that keeps the latest files."""

    def __init__(
        self,
        path: Path,
        *,
        limits: CaptureLimits = CaptureLimits(),  # noqa: B008 - frozen
        writer: CaptureWriter | None = None,
    ) -> None:
        self.limits = limits
        self._path = path
        self._writer = writer or process_writer()
        self._is_failing = False

    async def write(self, recording: Recording, request_id: str, until: float) -> None:
        try:
            if until - asyncio.get_running_loop().time() < self.limits.min_write_s:
                raise TimeoutError
            writing = self._writer.submit(self, recording, request_id)
            if writing is None:
                return
            async with asyncio.timeout_at(until):
                await asyncio.wrap_future(writing)
        except Exception as error:  # noqa: BLE001 - a capture that fails must not fail the answer
            if not self._is_failing:
                log.warning("capture not written", extra={"error": type(error).__name__})
            self._is_failing = True
        else:
            self._is_failing = False

    def write_now(self, recording: Recording, request_id: str) -> None:
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = [json.dumps(line, ensure_ascii=False) + "\n" for line in _lines(recording, request_id)]
        content = "".join(lines).encode()
        self._delete_old(1, len(content))  # Before the write: captures may have filled the disk.
        began_at = recording.began_at.strftime("%Y%m%dT%H%M%S.%f")
        name = f"{began_at[:-3]}Z-{request_id[:40] or 'none'}-{secrets.token_hex(2)}{SUFFIX}"
        unfinished = self._path / f"{name}{UNFINISHED}"
        try:
            with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
            unfinished.replace(self._path / name)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        self._delete_old()  # After it, too: other processes write.

    def _delete_old(self, coming: int = 0, coming_bytes: int = 0) -> None:
        """Delete the oldest files, so that the limits hold with the files that are about to come."""
        for file in self._path.glob(f"*{SUFFIX}{UNFINISHED}"):
            with suppress(FileNotFoundError):
                if datetime.now(UTC).timestamp() - file.stat().st_mtime > self.limits.stale_s:
                    file.unlink()
        size = coming_bytes
        files = sorted(self._path.glob(f"*{SUFFIX}"), reverse=True)
        for number, file in enumerate(files, 1 + coming):  # The names begin with the time.
            with suppress(FileNotFoundError):  # Another process deletes files, too.
                size += file.stat().st_size
                if number > self.limits.files or size > self.limits.folder_bytes:
                    file.unlink()


@lru_cache(maxsize=1)
def process_writer() -> CaptureWriter:
    return CaptureWriter()


@lru_cache(maxsize=8)
def folder_at(path: str) -> CaptureFolder:
    """Return the process's one folder for a path: its warnings are counted there."""
    return CaptureFolder(Path(path))


def _lines(recording: Recording, request_id: str) -> Iterator[dict[str, Any]]:
    body = _without_tokens(b"".join(piece for _, piece in recording.pieces))
    conversation_id, history_id = _ids_in(body)
    yield {
        "glm_capture": FORMAT,
        "redacted": False,
        "recorded_at": recording.began_at.isoformat(timespec="milliseconds"),
        "request_id": request_id,
        "status": recording.status,
        "content_type": recording.content_type if _CONTENT_TYPE.fullmatch(recording.content_type) else "",
        "conversation_id": conversation_id,
        "history_id": history_id,
    }
    done = 0
    for at_s, piece in recording.pieces:
        yield {"at_ms": round(at_s * 1000, 1), **spelled(body[done : done + len(piece)])}
        done += len(piece)
    yield {"at_ms": round(recording.ended_at_s * 1000, 1), "end": recording.end}


def _without_tokens(body: bytes) -> bytes:
    """Replace each token by as many `x`: an upstream may send a token back in an error."""
    return _TOKEN.sub(lambda token: b"x" * len(token[0]), body)


def _ids_in(body: bytes) -> tuple[str, str]:
    """Find the conversation's and the history's id. The simulator replaces them by its own."""
    conversation_id = history_id = ""
    for line in _DATA.finditer(body):
        event = decode_event(body[line.end() :].partition(b"\n")[0].rstrip(b"\r"))
        if event is not None:
            conversation_id = conversation_id or event.conversation_id or ""
            history_id = history_id or event.id or ""
        if conversation_id and history_id:
            break
    return conversation_id, history_id


def spelled(piece: bytes) -> dict[str, str]:
    """Write a piece as text, which can be searched, unless it is cut within a character."""
    try:
        return {"text": piece.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(piece).decode()}
