"""The steps of a scene, and the frames that carry them (protocol.md §3.1, §3.2)."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from .records import StoredFile, Turn

Json = dict[str, Any]

_PIECES = re.compile(r" ?[A-Za-z']+|[\s\S]")
_HOLE = "\x00hole\x00"


def new_id() -> str:
    """Make an id as the upstream's are: 24 hex digits."""
    return uuid.uuid4().hex[:24]


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait; stop_stream and a client that leaves end the wait. As the first step: before the headers."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Pace:
    """Wait for the simulator's `pace_s`."""


@dataclass(frozen=True, slots=True)
class Head:
    """Send the response's head now; without this step it goes out before the first byte."""

    status: int = 200
    content_type: str | None = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Split:
    """Send the bytes in pieces of this size, each on its own."""

    data: bytes
    size: int = 1


@dataclass(frozen=True, slots=True)
class Abort:
    """Break the connection. `hard` resets it; that may also lose the bytes just sent."""

    hard: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """As the first step: an HTTP answer that is no stream. It makes no conversation."""

    status: int
    body: bytes | str | Json
    content_type: str = "application/json"


Step = Json | bytes | Pause | Pace | Head | Split | Abort | Reply
"""A dict is an event; missing ids are filled in. Bytes are sent as they are."""


@dataclass(slots=True)
class Cue:
    """The request that a scene answers, and the words that it has said so far."""

    prompt: str
    args: Mapping[str, str] = field(default_factory=dict)
    scene: str = ""
    conversation_id: str = field(default_factory=new_id)
    history_id: str = field(default_factory=new_id)
    assistant_id: str = ""
    chat_mode: str = ""
    model: str = "moe_53f"
    web_search: bool = False
    turns: Sequence[Turn] = ()
    files: Sequence[StoredFile] = ()
    """The files that the message refers to, if the account has them."""
    image_base: str = "https://sfile.chatglm.cn/testpath"
    replay_dir: Path | None = None
    """The folder of captures."""
    said: list[str] = field(default_factory=list)
    thought: list[str] = field(default_factory=list)
    erred: bool = False
    """Set by a scene that made a mistake on purpose: the next answer may repair it."""

    def number(self, name: str, default: float) -> float:
        return float(self.args.get(name, default))

    def count(self, name: str, default: int) -> int:
        return int(self.args.get(name, default))

    def complete(self, event: Json) -> Json:
        """Fill in the ids of an event that was written by hand."""
        ids = {"id": self.history_id, "conversation_id": self.conversation_id}
        return ids | {"assistant_id": self.assistant_id} | event

    @property
    def answer(self) -> str:
        return "".join(self.said)

    @property
    def reasoning(self) -> str:
        return "".join(self.thought)


Scene = Callable[[Cue], Iterator[Step]]
PACE = Pace()


def frame(event: Json) -> bytes:
    return b"event: message\ndata: %b\n\n" % msgspec.json.encode(event)


def cut(text: str, step: int = 0) -> list[str]:
    """Cut a text as a model would, into words and characters; or into pieces of `step` characters."""
    if not step:
        return _PIECES.findall(text)
    return [text[start : start + step] for start in range(0, len(text), step)]


def text_item(text: str) -> Json:
    return {"type": "text", "text": text}


def think_item(text: str) -> Json:
    return {"type": "think", "think": text, "tool_calls": {}}


class Script:
    """Write the events of one answer."""

    def __init__(self, cue: Cue) -> None:
        self.cue = cue
        self.created_at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        self.settled: dict[str, Json] = {}
        """Finished parts by logic_id; the terminal event may repeat them."""

    def part(self, logic_id: str, *items: Json, status: str = "init", **fields: Any) -> Json:
        return {
            "id": self.cue.history_id,
            "logic_id": logic_id,
            "role": "assistant",
            "content": list(items),
            "model": self.cue.model,
            "recipient": "",
            "created_at": self.created_at,
            "meta_data": {},
            "status": status,
        } | fields

    def event(self, *parts: Json, status: str = "init", increase: bool | None = False, **fields: Any) -> Json:
        flag = {} if increase is None else {"if_increase_push": increase}
        return {
            "id": self.cue.history_id,
            "conversation_id": self.cue.conversation_id,
            "assistant_id": self.cue.assistant_id,
            "parts": list(parts),
            "created_at": self.created_at,
            "status": status,
            "last_error": {},
            "meta_data": {
                "if_plus_model": False,
                "plus_model_available": False,
                "is_networking": self.cue.web_search,
                "input_question_type": "xxxx",
                "channel": "",
                "platform": "pc",
            }
            | flag,
        } | fields

    def opening(self) -> Json:
        """Make the first event: it names the conversation and has no parts."""
        return self.event(increase=None)

    def increments(
        self, kind: str, pieces: Sequence[str], *, logic_id: str, increase: bool | None = True
    ) -> Iterator[bytes]:
        """Yield one frame for each piece. The envelope is encoded once: benchmarks read this."""
        item = think_item(_HOLE) if kind == "think" else text_item(_HOLE)
        template = frame(self.event(self.part(logic_id, item), increase=increase))
        before, _, after = template.partition(msgspec.json.encode(_HOLE))
        heard = self.cue.thought if kind == "think" else self.cue.said
        encode = msgspec.json.encode
        for piece in pieces:
            heard.append(piece)
            yield b"%b%b%b" % (before, encode(piece), after)

    def finish_part(self, logic_id: str, *items: Json, **fields: Any) -> Json:
        """Make the event with the full content of a finished part."""
        self.settled[logic_id] = self.part(logic_id, *items, status="finish", **fields)
        return self.event(self.settled[logic_id])

    def write(self, kind: str, text: str, *, step: int = 0, pieces: Sequence[str] = ()) -> Iterator[Step]:
        """Stream one part as of 2026: increments, then the finished part with the whole."""
        logic_id = str(uuid.uuid4())
        for piece in self.increments(kind, pieces or cut(text, step), logic_id=logic_id):
            yield piece
            yield PACE
        item = think_item(text) if kind == "think" else text_item(text)
        yield self.finish_part(logic_id, item)

    def finish(self, *parts: Json, **fields: Any) -> Json:
        """Make the terminal event; it repeats the last finished part, as captured."""
        last = list(self.settled.values())[-1:]
        return self.event(*(parts or last), status="finish", **fields)

    def error(self, code: int, message: str) -> Json:
        """Make the terminal event of a failed answer."""
        reason = {"error_code": code, "err_msg": message}
        return self.event(status="error", increase=None, last_error=reason, error=reason)

    def intervene(self, text: str) -> Json:
        """Make the terminal event of a withdrawn answer."""
        return self.event(status="intervene", increase=None, last_error={"intervene_text": text})
