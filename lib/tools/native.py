"""Tools for an upstream that takes them in its requests. It lacks forced calls, JSON Schema, and some names.

The request gets other names and English sentences. The stage checks the calls and gives the client's names.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from lib.chat.events import Failed, Finished, Notice, ReplyEvent, TextDelta, ToolCallDelta
from lib.chat.request import ChatRequest, JsonFormat, Message, Tool, ToolCall, ToolChoice
from lib.tools.arguments import NotAnObject, as_object
from lib.tools.drafts import Call, Draft, Fault
from lib.tools.loose_json import CutOff
from lib.tools.repair import failure, words_for_fault, words_for_silence
from lib.tools.schema import ANYTHING, Schema, problem_of
from lib.tools.toolbox import Declared, Lesson, Toolbox, encoded
from lib.tools.words import FREEFORM, OUTPUT

MAX_CALLS = 32
"""In one answer. More is a model that repeats itself."""
_TAKEN = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_OTHERS = re.compile(r"[^a-zA-Z0-9_-]+")
_FREEFORM: Mapping[str, Any] = {
    "type": "object",
    "properties": {FREEFORM: {"type": "string"}},
    "required": [FREEFORM],
}


class NativeTools(msgspec.Struct, frozen=True):
    """A request as the upstream should see it, and the values that the stage needs."""

    chat: ChatRequest
    box: Toolbox


def prepare(chat: ChatRequest, *, has_json_schema: bool) -> NativeTools:
    """Rename the tools that the upstream does not take so, and say in words what it has no field for."""
    names = _Names(chat)
    choice = chat.tool_choice
    is_on = bool(chat.tools) and choice.mode != "none"
    allowed = [tool for tool in chat.tools if is_on and (not choice.names or tool.name in choice.names)]
    forcing = _forcing(chat, [names.of(tool.name) for tool in allowed]) if allowed else ""
    output = "" if chat.json_format is None or has_json_schema else _output(chat.json_format)
    seen = msgspec.structs.replace(
        chat,
        messages=tuple([names.in_message(message) for message in chat.messages]),
        tools=tuple([_declared_so(tool, names.of(tool.name)) for tool in allowed]),
        tool_choice=ToolChoice(),
        closing="\n\n".join(filter(None, (output, forcing))),
    )
    tools = [_declared(tool, names.of(tool.name)) for tool in allowed]
    box = Toolbox(
        tools,
        choice=choice if allowed else ToolChoice(mode="none"),
        is_parallel=chat.parallel_tool_calls,
        lesson=Lesson("call", reminder=forcing),
        label="",
    )
    return NativeTools(seen, box)


class _Names:
    """The names of a request's tools, and the ones that the upstream takes in their place."""

    def __init__(self, chat: ChatRequest) -> None:
        made = (call.name for message in chat.messages for call in message.tool_calls)
        known = dict.fromkeys((*(tool.name for tool in chat.tools), *made))
        self._shown: dict[str, str] = {name: name for name in known if _TAKEN.fullmatch(name)}
        for name in known:
            if name not in self._shown:
                self._shown[name] = _free_name(name, self._shown.values())

    def of(self, name: str) -> str:
        return self._shown.get(name, name)

    def in_message(self, message: Message) -> Message:
        if not message.tool_calls:
            return message
        calls = tuple([self._in_call(call) for call in message.tool_calls])
        return msgspec.structs.replace(message, tool_calls=calls)

    def _in_call(self, call: ToolCall) -> ToolCall:
        arguments = encoded({FREEFORM: call.arguments}) if call.is_freeform else call.arguments
        return ToolCall(call.id, self.of(call.name), arguments)


def _free_name(name: str, used: Iterable[str]) -> str:
    """Make a name that the upstream takes. The same name of a client's becomes the same each time."""
    short = _OTHERS.sub("_", name).strip("_")[:55] or "tool"
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    candidates = (short, *(f"{short}_{digest[:length]}" for length in range(4, 9)))
    taken = set(used)
    return next((made for made in candidates if made not in taken), f"tool_{digest[:32]}")


def _declared_so(tool: Tool, shown: str) -> Tool:
    schema = _FREEFORM if tool.is_freeform else tool.schema
    return Tool(name=shown, description=tool.description, schema=schema)


def _declared(tool: Tool, shown: str) -> Declared:
    schema: Schema = _FREEFORM if tool.is_freeform else tool.schema or ANYTHING
    return Declared(
        name=tool.name,
        shown=shown,
        description=tool.description,
        schema=schema,
        is_freeform=tool.is_freeform,
    )


def _forcing(chat: ChatRequest, shown: Sequence[str]) -> str:
    """Say the rule for calls that the upstream's `tool_choice` cannot say."""
    if chat.tool_choice.mode == "required":
        count = "at least one" if chat.parallel_tool_calls else "exactly one"
        if len(shown) == 1:
            return f"You must make exactly one call of the function {shown[0]} now, whatever the user asks."
        return f"You must make {count} call of these functions now: {', '.join(shown)}"
    return "" if chat.parallel_tool_calls else "Make at most one function call in an answer."


def _output(wanted: JsonFormat) -> str:
    lines = [OUTPUT, "An answer in words is one JSON value and nothing else: no fence, no words around it."]
    if wanted.schema is None:
        lines.append("The value is a JSON object.")
    else:
        lines += ["The value satisfies this JSON Schema:", encoded(wanted.schema)]
    return "\n".join(lines)


class _Made:
    """One call as it comes."""

    def __init__(self, index: int, call_id: str, name: str) -> None:
        self.index = index
        self.id = call_id
        self.name = name
        self.pieces: list[str] = []

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)


class NativeCalls:
    """Stage (lib/chat/stages/interface.py) for an upstream with tools of its own.

    Text flows at once unless a call is forced. A call comes whole and checked.
    """

    def __init__(self, box: Toolbox) -> None:
        self._box = box
        self._made: list[_Made] = []
        self._told = 0
        self._held: list[str] = []
        """The text of a turn that must make a call, until it does."""
        self._fault: Fault | None = None
        self._has_repaired = False
        self._is_over = False
        self.is_done = False
        self.repair: str | None = None

    def feed(self, events: Sequence[ReplyEvent]) -> list[ReplyEvent]:
        self.repair = None
        out: list[ReplyEvent] = []
        for event in events:
            if self._is_over:
                break
            if type(event) is TextDelta:
                self._take_text(event, out)
            elif type(event) is ToolCallDelta:
                self._take_piece(event, out)
            elif type(event) is Finished:
                self._finish(event, out)
            else:
                self._is_over = isinstance(event, Failed)
                out.append(event)
        return out

    def _take_text(self, event: TextDelta, out: list[ReplyEvent]) -> None:
        if self._box.is_forced or self._has_repaired:
            self._held.append(event.text)
        else:
            out.append(event)

    def _take_piece(self, event: ToolCallDelta, out: list[ReplyEvent]) -> None:
        last = self._made[-1] if self._made else None
        if last is None or last.index != event.index:
            self._tell_complete(out)  # A new call begins, so the one before it is whole.
            if self._told >= (MAX_CALLS if self._box.is_parallel else 1):
                self.is_done = True
                self._end(Finished("tool_calls"), out)
                return
            last = _Made(event.index, event.id or "", event.name or "")
            self._made.append(last)
        last.pieces.append(event.arguments)

    def _tell_complete(self, out: list[ReplyEvent], reason: str = "tool_calls") -> None:
        """Check the calls that are whole, and pass them on up to the first one with a fault."""
        for made in self._made:
            checked = self._check(made, is_cut=reason == "length")
            if isinstance(checked, Fault):
                self._fault = self._fault or checked
                out.append(Notice("tool_invalid", "undeclared" if checked.is_undeclared else "invalid"))
            elif self._fault is None:
                self._tell(made, checked, out)
        self._made.clear()

    def _tell(self, made: _Made, call: Call, out: list[ReplyEvent]) -> None:
        if self._held and not self._told:
            out.append(TextDelta("".join(self._held)))
            self._held.clear()
        out += [Notice("tool_mended", note) for note in call.notes]
        out.append(ToolCallDelta(self._told, "", made.id, call.name))
        out.append(ToolCallDelta(self._told, call.arguments))
        self._told += 1

    def _check(self, made: _Made, *, is_cut: bool) -> Call | Fault:
        arguments = made.arguments or "{}"
        tool = self._box.find(made.name)
        if tool is not None and _is_right(arguments, tool.schema):
            return Call(tool.name, arguments)
        checked = self._box.check(Draft(name=made.name, arguments=arguments, is_cut=is_cut))
        if isinstance(checked, Fault) and self._has_repaired and tool is not None and not is_cut:
            return _as_written(tool, arguments) or checked
        return checked

    def _finish(self, event: Finished, out: list[ReplyEvent]) -> None:
        if event.reason != "content_filter":
            self._tell_complete(out, event.reason)
        if self._told:
            # The client runs the calls before a fault. The model sees then that the others were not made.
            self._end(msgspec.structs.replace(event, reason="tool_calls"), out)
        elif event.reason in ("content_filter", "length"):
            self._release(out)
            self._end(event, out)
        else:
            self._conclude(event, out)

    def _conclude(self, event: Finished, out: list[ReplyEvent]) -> None:
        """The turn has no call that can be run: ask again, once, if there had to be one."""
        words = None
        if self._fault is not None:
            words = words_for_fault(self._fault, self._box)
        elif self._box.is_forced:
            words = words_for_silence(self._box, is_forced=True)
        if words is None:
            self._release(out)
            self._end(event, out)
        elif self._has_repaired:
            self._end(Failed(failure(self._fault, self._box)), out)
        else:
            out.append(Notice("tool_repair"))
            self._begin_again(words)

    def _begin_again(self, words: str) -> None:
        self._has_repaired = True
        self.repair = words
        self._made.clear()
        self._held.clear()
        self._fault = None

    def _release(self, out: list[ReplyEvent]) -> None:
        if self._held:
            out.append(TextDelta("".join(self._held)))
            self._held.clear()

    def _end(self, ending: Finished | Failed, out: list[ReplyEvent]) -> None:
        self._is_over = True
        out.append(ending)


def _is_right(arguments: str, schema: Schema) -> bool:
    """Tell whether the arguments are a strict JSON object of the schema: then they pass as they are."""
    try:
        value = msgspec.json.decode(arguments.encode("utf-8", "surrogatepass"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(value, dict) and problem_of(value, schema) is None


def _as_written(tool: Declared, arguments: str) -> Call | None:
    """Pass on an object that is against the schema even in a second turn: the client's tool says why."""
    try:
        value = as_object(arguments)
    except (NotAnObject, CutOff):
        return None
    return Call(tool.name, encoded(value), ("as_written",))
