"""Recording what the upstream answers to a chat, redacted, in a file: for a bug report, and for a replay.

A file is lines of JSON: what the answer was, then each piece of it as it came, then how it ended
(docs/observability.md). The simulator replays it.
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
from random import Random
from time import monotonic
from typing import Any, Literal

from lib.trace import current_trace
from lib.upstreams.chatglm.captures.redaction import redact

FORMAT = 1
MOST_FILES = 200
MOST_BYTES = 50 * 1024 * 1024
"""Of all files together; the oldest goes first."""
MOST_RECORDED_BYTES = 2 * 1024 * 1024
"""Of one answer. To redact so much takes seconds of a processor; a long answer has some hundred kilobytes."""
WRITE_TIMEOUT_S = 5.0
"""For all files of a turn: a retry on another account waits for them."""
LEAST_WRITE_S = 2.0
"""With less time left, none is begun."""
MOST_WAITING = 2
"""Each holds one whole answer in memory. More of them than a processor redacts are not recorded."""
STALE_S = 3600.0
"""A file that is written for longer than that was left behind by a process that was killed."""

SUFFIX, UNFINISHED = ".capture.jsonl", ".unfinished"

_CONTENT_TYPE = re.compile(r"[\w/+.;= -]{0,80}")

Ending = Literal["closed", "broken", "left", "cut"]
"""By the upstream, properly; by the network; by us, who stopped reading; by our limit."""

log = logging.getLogger("glm_gateway")


class Recording:
    """One answer as it comes, for whoever reads it from here instead."""

    def __init__(self, status: int, content_type: str, chunks: AsyncIterator[bytes]) -> None:
        self.status = status
        self.content_type = content_type
        self.began_at = datetime.now(UTC)
        self.pieces: list[tuple[float, bytes]] = []
        self.ending: Ending = "left"
        self.ended_at_s = 0.0
        self._chunks = chunks
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
        """Record no more: what comes now comes because of us."""
        self._end("closed" if is_complete else "left")

    def _take(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > MOST_RECORDED_BYTES:
            self._end("cut")
        else:
            self.pieces.append((monotonic() - self._clock, chunk))

    def _end(self, ending: Ending) -> None:
        if not self._is_over:
            self._is_over, self.ending, self.ended_at_s = True, ending, monotonic() - self._clock


class Captures:
    """What one turn records: a recording for each answer that its requests get."""

    def __init__(self, folder: str) -> None:
        self._folder = _folder_at(folder)
        self._recordings: list[Recording] = []

    def __call__(self, status: int, content_type: str, chunks: AsyncIterator[bytes]) -> Recording:
        self._recordings.append(Recording(status, content_type, chunks))
        return self._recordings[-1]

    def stop(self, *, is_complete: bool) -> None:
        for recording in self._recordings:
            recording.stop(is_complete=is_complete)

    async def write(self, until: float) -> None:
        """Write all files until then (loop time); what cannot be written is lost, and spoils nothing."""
        until = min(until, asyncio.get_running_loop().time() + WRITE_TIMEOUT_S)
        request_id = current_trace().request_id
        for recording in self._recordings:
            await self._folder.write(recording, request_id, until)


class CaptureFolder:
    """The files, of which the latest are kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_failing = False

    async def write(self, recording: Recording, request_id: str, until: float) -> None:
        try:
            if until - asyncio.get_running_loop().time() < LEAST_WRITE_S:
                raise TimeoutError
            writing = _worker().submit(self, recording, request_id)
            if writing is None:
                return
            async with asyncio.timeout_at(until):
                await asyncio.wrap_future(writing)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a capture, the answer is not
            if not self._is_failing:
                log.warning("capture not written", extra={"error": type(error).__name__})
            self._is_failing = True
        else:
            self._is_failing = False

    def write_now(self, recording: Recording, request_id: str) -> None:
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = [json.dumps(line, ensure_ascii=False) + "\n" for line in _lines(recording, request_id)]
        content = "".join(lines).encode()
        self._forget_old(1, len(content))  # first: a full disk may be full of captures
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
        self._forget_old()  # again: others write, too

    def _forget_old(self, coming: int = 0, coming_bytes: int = 0) -> None:
        """Delete what is too much, with the files that are about to come."""
        for file in self._path.glob(f"*{SUFFIX}{UNFINISHED}"):
            with suppress(FileNotFoundError):
                if datetime.now(UTC).timestamp() - file.stat().st_mtime > STALE_S:
                    file.unlink()
        size = coming_bytes
        files = sorted(self._path.glob(f"*{SUFFIX}"), reverse=True)
        for number, file in enumerate(files, 1 + coming):  # the names begin with the time
            with suppress(FileNotFoundError):  # another process forgets, too
                size += file.stat().st_size
                if number > MOST_FILES or size > MOST_BYTES:
                    file.unlink()


class _Worker:
    """The one thread that redacts and writes: the loop's own threads look up names, and must not wait."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="captures")
        self._writing: list[Future[None]] = []
        self._has_warned = False

    def submit(self, folder: CaptureFolder, recording: Recording, request_id: str) -> Future[None] | None:
        """Return None where too many wait already."""
        self._writing = [writing for writing in self._writing if not writing.done()]
        if len(self._writing) > MOST_WAITING:  # the first one is being written
            if not self._has_warned:
                log.warning("capture dropped", extra={"waiting": MOST_WAITING})
            self._has_warned = True
            return None
        self._writing.append(self._executor.submit(folder.write_now, recording, request_id))
        return self._writing[-1]


@lru_cache(maxsize=1)
def _worker() -> _Worker:
    return _Worker()


@lru_cache(maxsize=8)
def _folder_at(path: str) -> CaptureFolder:
    return CaptureFolder(Path(path))


def _lines(recording: Recording, request_id: str) -> Iterator[dict[str, Any]]:
    redacted = redact(b"".join(piece for _, piece in recording.pieces), Random(secrets.randbits(128)))
    yield {
        "glm_capture": FORMAT,
        "recorded_at": recording.began_at.isoformat(timespec="milliseconds"),
        "request_id": request_id,
        "status": recording.status,
        "content_type": recording.content_type if _CONTENT_TYPE.fullmatch(recording.content_type) else "",
        "conversation_id": redacted.conversation_id,
        "history_id": redacted.history_id,
    }
    done = 0
    for at_s, piece in recording.pieces:
        yield {"at_ms": round(at_s * 1000, 1), **_spelled(redacted.body[done : done + len(piece)])}
        done += len(piece)
    yield {"at_ms": round(recording.ended_at_s * 1000, 1), "end": recording.ending}


def _spelled(piece: bytes) -> dict[str, str]:
    """Text can be searched; a piece that is cut within a character is none."""
    try:
        return {"text": piece.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(piece).decode()}
