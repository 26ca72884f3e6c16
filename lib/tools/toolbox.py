"""The declared tools of one request: finds a tool by a name as the model writes it, and checks a call."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from lib.chat.request import ChatRequest, Tool, ToolChoice
from lib.tools.arguments import NotAnObject, read_arguments
from lib.tools.drafts import Call, Draft, Fault
from lib.tools.loose_json import CutOff
from lib.tools.schema import ANYTHING, Schema, problem_of
from lib.tools.words import ALIAS, ARGUMENT, FREEFORM, RUN, TAKEN

_FREEFORM_SCHEMA: Schema = {
    "type": "object",
    "properties": {FREEFORM: {"type": "string"}},
    "required": [FREEFORM],
}
_CALL_MARKS = re.compile(r"\s*\(\s*\)\s*\Z|:\d+\Z")
_NAMESPACE = re.compile(r"[.:/]|__")
MAX_NAME_CHARS = 160


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """A tool as the model sees it."""

    name: str
    shown: str
    """The name in the prompt: another one if the upstream uses the client's name itself."""
    description: str
    schema: Schema
    is_freeform: bool = False


class Lesson(msgspec.Struct, frozen=True):
    """The words of the prompt that a repair turn says again."""

    unit: str = "block"
    example: str = ""
    reminder: str = ""


class Toolbox:
    """Everything that the reader must know of a request."""

    def __init__(
        self,
        tools: Iterable[Declared] = (),
        *,
        choice: ToolChoice | None = None,
        tag: str = RUN,
        label: str = ARGUMENT,
        is_parallel: bool = True,
        is_looping: bool = False,
        expects_json: bool = False,
        lesson: Lesson | None = None,
    ) -> None:
        self.tools = tuple(tools)
        self.choice = choice or ToolChoice()
        self.tag = tag
        self.label = label
        """Stands before an argument's name in words for the model."""
        self.is_parallel = is_parallel
        self.is_looping = is_looping
        """The last turns of the conversation made the same call again and again: nudges only prolong that."""
        self.expects_json = expects_json
        self.lesson = lesson or Lesson()
        self._exact = {tool.name: tool for tool in self.tools} | {tool.shown: tool for tool in self.tools}
        self._folded = _unique((_fold(name), tool) for name, tool in self._exact.items())
        self._last = _unique((_fold(_NAMESPACE.split(name)[-1]), tool) for name, tool in self._exact.items())

    @property
    def is_on(self) -> bool:
        return bool(self.tools) and self.choice.mode != "none"

    @property
    def is_forced(self) -> bool:
        return self.is_on and self.choice.mode == "required"

    @property
    def allowed(self) -> tuple[Declared, ...]:
        names = self.choice.names
        return tuple(tool for tool in self.tools if not names or tool.name in names)

    @property
    def names(self) -> tuple[str, ...]:
        """Every spelling that is certainly a declared tool's."""
        return tuple(self._exact)

    def find(self, written: str) -> Declared | None:
        """Find the tool that the model means: exactly, or by the only one whose name is alike."""
        if len(written) > MAX_NAME_CHARS:
            return None
        name = written.strip().strip("\"'`<> ")
        name = _CALL_MARKS.sub("", name)
        if found := self._exact.get(name):
            return found
        folded = _fold(name)
        if not folded:
            return None
        last = _fold(_NAMESPACE.split(name)[-1])
        return self._folded.get(folded) or self._folded.get(last) or self._last.get(last)

    def check(self, draft: Draft) -> Call | Fault:
        """Type the arguments, then check them by the schema."""
        tool = self.find(draft.name)
        if tool is None:
            said = f"there is no action {draft.name.strip()[:80]!r}; the actions are {self.listed}"
            return Fault(said, draft.is_explicit, is_undeclared=True)
        if tool not in self.allowed:
            return Fault(f"this answer may only use {self.listed}", draft.is_explicit)
        if draft.is_cut:
            return Fault(f"the arguments of {tool.shown} were cut off", draft.is_explicit)
        notes: list[str] = []
        try:
            arguments = read_arguments(draft, tool.schema, note=notes.append)
        except CutOff:
            return Fault(f"the arguments of {tool.shown} were cut off", draft.is_explicit)
        except NotAnObject as error:
            return Fault(str(error).replace("%", self.label), draft.is_explicit)
        if problem := problem_of(arguments, tool.schema):
            return Fault(f"{self.label}{problem}", draft.is_explicit)
        return Call(tool.name, encoded(arguments), tuple(notes))

    @property
    def listed(self) -> str:
        return ", ".join(tool.shown for tool in self.allowed)


def declared_tools(chat: ChatRequest) -> tuple[Declared, ...]:
    """Give every tool of the request the name that the model shall see."""
    names = {tool.name.lower() for tool in chat.tools}
    return tuple(_declared(tool, names) for tool in chat.tools)


def _declared(tool: Tool, names: set[str]) -> Declared:
    shown = tool.name
    if shown.lower() in TAKEN:
        shown = ALIAS + shown
        while shown.lower() in names:
            shown = ALIAS + shown
    return Declared(
        name=tool.name,
        shown=shown,
        description=tool.description,
        schema=_FREEFORM_SCHEMA if tool.is_freeform else tool.schema or ANYTHING,
        is_freeform=tool.is_freeform,
    )


def encoded(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _fold(name: str) -> str:
    return re.sub(r"[\s_\-]", "", name).lower()


def _unique(pairs: Iterable[tuple[str, Declared]]) -> dict[str, Declared]:
    found: dict[str, Declared] = {}
    twice = set()
    for name, tool in pairs:
        if found.setdefault(name, tool) is not tool:
            twice.add(name)
    return {name: tool for name, tool in found.items() if name not in twice and name}
