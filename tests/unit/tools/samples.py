"""The tools of the catalogue (tools.md §4), and a reader that is fed in many ways."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any

import msgspec

from lib.chat.events import (
    Failed,
    Finished,
    FinishReason,
    Notice,
    ReasoningDelta,
    ReplyEvent,
    TextDelta,
    ToolCallDelta,
)
from lib.chat.request import ChatRequest, JsonFormat, Tool, ToolChoice
from lib.tools.prompt import describe
from lib.tools.reader import ToolReader
from lib.tools.toolbox import Toolbox

TEXT = {"type": "string"}


def tool(name: str, properties: dict[str, Any], required: Sequence[str] = (), **more: Any) -> Tool:
    schema = {"type": "object", "properties": properties, "required": list(required), **more}
    return Tool(name=name, description=f"Does {name}.", schema=schema)


READ = tool("read", {"path": TEXT, "limit": {"type": "integer"}}, ["path"])
WRITE = tool("write", {"path": TEXT, "content": TEXT}, ["path", "content"])
BASH = tool("bash", {"command": TEXT}, ["command"])
TASK = {"type": "object", "properties": {"t": TEXT, "done": {"type": "boolean"}}}
TODO = tool("todo", {"items": {"type": "array", "items": TASK}}, ["items"])
FIND = tool("find", {"q": TEXT, "tags": {"type": "array", "items": TEXT}, "deep": {"type": "boolean"}}, ["q"])
NOW = tool("now", {})
TOOLS = (READ, WRITE, BASH, TODO, FIND, NOW)
OPEN = "<bridge_run>"
CLOSE = "</bridge_run>"


def request(tools: Iterable[Tool] = TOOLS, **more: Any) -> ChatRequest:
    return ChatRequest(**{"model": "m", "messages": (), "tools": tuple(tools), **more})


def box_of(tools: Iterable[Tool] = TOOLS, **more: Any) -> Toolbox:
    return describe(request(tools, **more)).toolbox


FORCED = ToolChoice(mode="required")
JSON = JsonFormat()


def new_ids() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"call_{next(numbers)}"


def reader_of(box: Toolbox | None = None) -> ToolReader:
    return ToolReader(box or box_of(), new_id=new_ids())


class Told(msgspec.Struct, frozen=True):
    """A reply, as a client sees it."""

    items: tuple[Any, ...]
    """Texts and calls `(name, arguments)`, in their order."""
    ending: str
    """A finish reason, `repair` or an error's code."""
    repair: str = ""
    reasoning: str = ""

    @property
    def calls(self) -> list[tuple[str, Any]]:
        return [item for item in self.items if not isinstance(item, str)]

    @property
    def text(self) -> str:
        return "".join(item for item in self.items if isinstance(item, str))


def summary(events: Sequence[ReplyEvent], repair: str | None) -> Told:
    items: list[Any] = []
    ending, reasoning = "repair" if repair else "", ""
    names: dict[int, str] = {}
    for event in events:
        match event:
            case TextDelta(text):
                if items and isinstance(items[-1], str):
                    items[-1] += text
                else:
                    items.append(text)
            case ReasoningDelta(text):
                reasoning += text
            case ToolCallDelta(index=index, name=str(name)):
                assert index == len(names)
                names[index] = name
                items.append((name, ""))
            case ToolCallDelta(index=index, arguments=arguments):
                assert index == len(names) - 1
                items[-1] = (names[index], items[-1][1] + arguments)
            case Finished(reason=reason):
                assert not ending
                ending = reason
            case Failed(error=error):
                assert not ending
                ending = error.code or ""
    read = [item if isinstance(item, str) else (item[0], json.loads(item[1])) for item in items]
    return Told(tuple(read), ending, repair or "", reasoning)


def play(reader: ToolReader, events: Sequence[ReplyEvent], *, one_by_one: bool = True) -> Told:
    """Feed one turn, and stop as the flow does."""
    out: list[ReplyEvent] = []
    for batch in [[event] for event in events] if one_by_one else [list(events)]:
        out += reader.feed(batch)
        if reader.is_done:
            break
    return summary(out, reader.repair)


def say(pieces: Iterable[str], reason: FinishReason = "stop") -> list[ReplyEvent]:
    return [*map(TextDelta, pieces), Finished(reason)]


def read(text: str, box: Toolbox | None = None, reason: FinishReason = "stop") -> Told:
    return play(reader_of(box), say([text], reason))


def notices(events: Sequence[ReplyEvent]) -> list[str]:
    return [event.kind for event in events if isinstance(event, Notice)]
