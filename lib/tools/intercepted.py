"""Calls that the upstream's own tool layer took out of the text: a client's call, or a destroyed one."""

from __future__ import annotations

import re

from lib.chat.events import InterceptedCall
from lib.tools.drafts import Call, Draft, Fault
from lib.tools.markup import MarkupReader
from lib.tools.schema import properties_of
from lib.tools.tags import native_family
from lib.tools.toolbox import Toolbox
from lib.tools.words import TAKEN

_RESIDUE = re.compile(r"[<>\[\](){}\s]|\Atool_[0-9a-f]{6,}")
"""field.md §1.1: `tool_call] get_weather`, `Bash({…})</arg_value>`, `tool_9a822147</arg_value>`."""
_UNKNOWN = re.compile(r"unknown tool", re.IGNORECASE)
_ENDS = re.compile(r"(?:</(?:arg_value|arg_key|tool_call)>\s*)+\Z")
DESTROYED = Fault("the last action was lost on its way")


class Interception:
    """The intercepted calls of one turn of the model."""

    def __init__(self, box: Toolbox) -> None:
        self._box = box
        self._calls: dict[str, InterceptedCall] = {}
        self._anonymous = 0

    def take(self, event: InterceptedCall) -> None:
        """Add a call, or news of it: the upstream tells it in pieces, and again with its result."""
        key = event.id or self._known(event)
        known = self._calls.get(key)
        if known and len(event.arguments) < len(known.arguments):
            event = InterceptedCall(event.name, known.arguments, event.id, event.result)
        self._calls[key] = event

    def _known(self, event: InterceptedCall) -> str:
        for key, known in reversed(self._calls.items()):
            if not known.id and known.name == event.name and event.arguments.startswith(known.arguments):
                return key
        self._anonymous += 1
        return f" {self._anonymous}"

    def judge(self) -> list[Call | Fault]:
        """Judge the calls, and forget them. The upstream's own ones are left out."""
        judged = [found for event in self._calls.values() if (found := _judge(event, self._box))]
        self._calls.clear()
        return judged

    @property
    def is_pending(self) -> bool:
        return bool(self._calls)


def _judge(event: InterceptedCall, box: Toolbox) -> Call | Fault | None:
    if event.name in TAKEN and event.name not in box.names:
        return None
    if box.find(event.name):
        return box.check(Draft(name=event.name, arguments=event.arguments))
    if _RESIDUE.search(event.name):
        return _salvaged(event, box) or DESTROYED
    return DESTROYED if _UNKNOWN.search(event.result) else None


def _salvaged(event: InterceptedCall, box: Toolbox) -> Call | None:
    """A name that holds a whole call in GLM's own syntax, or a tool without arguments, lost nothing."""
    if "<arg_key>" in event.name:
        reader = MarkupReader(box, native_family)
        drafts = reader.feed(f"<tool_call>{event.name}</tool_call>") + reader.finish()
        found = box.check(drafts[0].draft) if len(drafts) == 1 else None
        return found if isinstance(found, Call) else None
    name = _ENDS.sub("", event.name)
    tool = box.find(name) if name != event.name and not _RESIDUE.search(name) else None
    if tool is None or properties_of(tool.schema):
        return None
    found = box.check(Draft(name=name))
    return found if isinstance(found, Call) else None
