"""Replay a capture of the gateway (CAPTURE_DIR, docs/observability.md): a bug report becomes a test.

Raw captures play, too: the simulator listens on this machine alone, and nothing of them leaves it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.steps import Abort, Cue, Head, Json, Pause, Reply, Scene, Step

from .registry import scene

FORMAT = 1
HOLD_S = 120.0
"""The rest is unknown if the gateway stopped reading: the replay is silent for so long."""

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NO_CAPTURE: Json = {"status": 404, "message": "no such capture", "result": None}


@dataclass(frozen=True, slots=True)
class Capture:
    """An answer as it came: redacted (`.capture.jsonl`), or the owner's raw one (`.raw.jsonl`)."""

    status: int
    content_type: str
    conversation_id: str
    history_id: str
    pieces: tuple[tuple[float, bytes], ...]
    """Each with its time, in milliseconds since the answer began."""
    end: str

    @property
    def body(self) -> bytes:
        return b"".join(piece for _, piece in self.pieces)


def read_capture(path: Path) -> Capture:
    """Raise ValueError if the file is not a capture."""
    # Not splitlines: there are more ends of a line than JSON knows.
    lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    try:
        head, *pieces, last = map(json.loads, lines)
        if head["glm_capture"] != FORMAT:
            raise ValueError(head["glm_capture"])
        return Capture(
            status=int(head["status"]),
            content_type=str(head["content_type"]),
            conversation_id=str(head["conversation_id"]),
            history_id=str(head["history_id"]),
            pieces=tuple((float(piece["at_ms"]), _bytes_of(piece)) for piece in pieces),
            end=str(last["end"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name} is no capture of format {FORMAT}") from error


def replay_capture(path: Path, *, pace: float = 0.0, hold_s: float = HOLD_S) -> Scene:
    """Make a scene for `Simulator.play`; `pace` 1 is as fast as it came, 2 takes twice as long, 0 no time."""
    capture = read_capture(path)
    return lambda cue: _replay(cue, capture, pace, hold_s)


@scene("http")
def replay(cue: Cue) -> Iterator[Step]:
    """Replay the capture `file` of the replay folder, `pace` times as slowly as it came (0: at once)."""
    path = _find(cue.replay_dir, cue.args.get("file", ""))
    try:
        capture = read_capture(path) if path else None
    except ValueError:
        capture = None
    if capture is None:
        yield Reply(404, _NO_CAPTURE)
    else:
        yield from _replay(cue, capture, cue.number("pace", 0.0), cue.number("hold", HOLD_S))


def _find(folder: Path | None, name: str) -> Path | None:
    """Find a file in the folder itself, and nowhere else."""
    if folder is None or not _FILE_NAME.fullmatch(name):
        return None
    path = (folder / name).resolve()
    return path if path.parent == folder.resolve() and path.is_file() else None


def _replay(cue: Cue, capture: Capture, pace: float, hold_s: float) -> Iterator[Step]:
    body = _readdressed(capture, cue)
    if capture.end == "closed" and (capture.status != 200 or body.lstrip()[:1] in (b"{", b"<")):
        yield Reply(capture.status, body, capture.content_type)
        return
    yield Head(capture.status, capture.content_type or None)
    done, now_ms = 0, 0.0
    for at_ms, piece in capture.pieces:
        if pace:
            yield Pause((at_ms - now_ms) / 1000 * pace)
        yield body[done : done + len(piece)]
        done, now_ms = done + len(piece), at_ms
    if capture.end == "broken":
        yield Abort()
    elif capture.end != "closed":
        yield Pause(hold_s)


def _readdressed(capture: Capture, cue: Cue) -> bytes:
    """Replace the recorded ids by the ids of this answer, so that it can be stopped and deleted."""
    body = capture.body
    ids = ((capture.conversation_id, cue.conversation_id), (capture.history_id, cue.history_id))
    for recorded, here in ids:
        if len(recorded) == len(here):  # else the pieces would be cut elsewhere
            body = body.replace(recorded.encode(), here.encode())
    return body


def _bytes_of(line: dict[str, Any]) -> bytes:
    return base64.b64decode(line["base64"]) if "base64" in line else str(line["text"]).encode()
