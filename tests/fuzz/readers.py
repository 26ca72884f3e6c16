"""Checks of what reads a model's words: tool calls and JSON in any text, however it is cut."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from lib.chat.events import Failed, Finished, ReplyEvent, Started, TextDelta, ToolCallDelta
from lib.chat.request import ChatRequest, JsonFormat, Message, TextPart
from lib.chat.stages.interface import Stage
from lib.flows.plan import plan
from lib.upstreams.interface import Abilities
from tests.fuzz.upstream import chunkings
from tests.unit.tools.samples import TOOLS

SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string"}, "n": {"type": "integer"}},
    "required": ["answer"],
}
CHAT = ChatRequest(model="glm", messages=(Message("user", (TextPart("?"),)),))


class Told(msgspec.Struct, frozen=True):
    text: str
    calls: list[tuple[str, str]]
    ending: str
    """The reason, or `repair`."""


def _told(stage: Stage, pieces: Sequence[str]) -> Told:
    events: list[ReplyEvent] = list(stage.feed([Started("a", "glm")]))
    for piece in pieces:
        if stage.is_done:
            break
        events += stage.feed([TextDelta(piece)])
    if not stage.is_done or not _endings(events):
        events += stage.feed([Finished("stop")])
    endings = _endings(events)
    assert len(endings) == (stage.repair is None), "one ending, or one more turn"
    assert not endings or events[-1] is endings[0], "nothing follows the ending"
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    ending = "repair" if stage.repair is not None else _reason(endings[0])
    return Told(text, _calls(events), ending)


def _endings(events: Sequence[ReplyEvent]) -> list[Finished | Failed]:
    return [event for event in events if isinstance(event, Finished | Failed)]


def _reason(ending: Finished | Failed) -> str:
    return ending.reason if isinstance(ending, Finished) else "failed"


def _calls(events: Sequence[ReplyEvent]) -> list[tuple[str, str]]:
    """Return each call's name and its arguments, which come whole or in pieces."""
    calls: dict[int, tuple[str, str]] = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            name, arguments = calls.get(event.index, ("", ""))
            calls[event.index] = (name + (event.name or ""), arguments + event.arguments)
    return list(calls.values())


def _pieces(data: bytes) -> list[list[str]]:
    """Cut a text as the chunks of its bytes are cut."""
    text = data.decode("utf-8", "replace")
    whole = text.encode("utf-8")
    cuts = [[part.decode("utf-8", "ignore") for part in parts] for parts in chunkings(whole)]
    return [cut for cut in cuts if "".join(cut) == text]


def tool_calls(data: bytes) -> None:
    chat = msgspec.structs.replace(CHAT, tools=TOOLS)
    told = [_told(plan(chat, Abilities(), is_streamed=True).stages, pieces) for pieces in _pieces(data)]
    names = {tool.name for tool in TOOLS}
    for one in told:
        assert one.calls == told[0].calls, "the pieces make a difference"
        assert one.ending == told[0].ending, "the pieces make a difference"
        for name, arguments in one.calls:
            assert name in names
            assert isinstance(json.loads(arguments), dict)
        assert bool(one.calls) == (one.ending == "tool_calls")


def json_answer(data: bytes) -> None:
    for wanted in (JsonFormat(), JsonFormat(schema=SCHEMA, name="x", strict=True)):
        for is_streamed in (False, True):
            chat = msgspec.structs.replace(CHAT, json_format=wanted)
            for pieces in _pieces(data):
                one = _told(plan(chat, Abilities(), is_streamed=is_streamed).stages, pieces)
                if one.ending == "stop":
                    _check_value(one.text, wanted)


def _check_value(text: str, wanted: JsonFormat) -> None:
    try:
        value = json.loads(text)
    except RecursionError:
        return  # It may be JSON. Python reads some thousand levels.
    assert isinstance(value, dict)
    assert wanted.schema is None or "answer" in value  # `2` for a text is passed on, with a notice.
