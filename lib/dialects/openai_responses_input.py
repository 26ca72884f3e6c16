"""The input of a Responses request: a text or a list of items, read into messages.

An item that adds nothing to a conversation here (a search of the past) is passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from lib.chat.request import FilePart, ImagePart, Message, Part, Role, TextPart, ToolCall
from lib.chat.size import MAX_CALLS
from lib.dialects.fields import read_text
from lib.dialects.json_body import convert, invalid_value, missing_field, shown, unsupported
from lib.dialects.openai_responses_tools import Toolbox
from lib.errors import InvalidRequest, NotFound

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "assistant": "assistant",
}
_PASSED_OVER = {
    "compaction", "compaction_trigger", "configuration_update", "additional_tools",
    "web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call",
    "mcp_call", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response",
}  # fmt: skip
"""Items of OpenAI's own that no model here can use."""
_PASSED_OVER_IDS = ("rs_", "ws_")
"""The beginnings of ids that this gateway gives to items of those kinds."""


class _Url(msgspec.Struct):
    url: str


class _Part(msgspec.Struct):
    type: str
    text: str | UnsetType | None = UNSET
    refusal: str | UnsetType | None = UNSET
    image_url: str | _Url | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | UnsetType | None = UNSET


class _Call(msgspec.Struct):
    call_id: str
    name: str
    arguments: Any = ""
    input: str = ""
    """The text of a free-form call."""
    namespace: str | None = None


class _ToolOutput(msgspec.Struct):
    call_id: str
    output: str | list[_Part] | dict[str, Any] | None = None


class Conversation(msgspec.Struct, frozen=True):
    messages: tuple[Message, ...]
    ignored: tuple[str, ...] = ()
    """For the log: one word for each item that is not known here."""


def read_input(
    wire: str | list[dict[str, Any]], instructions: str | None, box: Toolbox, *, is_continued: bool
) -> Conversation:
    """Raise InvalidRequest for an item that cannot be read, NotFound for a reference to an unknown one.

    `is_continued`: the conversation so far is known to the upstream, and references lead into it.
    """
    reader = _Reader(wire if isinstance(wire, list) else (), box, is_continued=is_continued)
    if instructions:
        reader.messages.append(Message(role="system", parts=(TextPart(instructions),)))
    if isinstance(wire, str):
        reader.messages.append(Message(role="user", parts=(TextPart(wire),) if wire else ()))
    conversation = reader.read()
    if not any(message.parts or message.role == "tool" for message in conversation.messages):
        raise InvalidRequest("Invalid value for 'input': expected any text, got none.", param="input")
    return conversation


class _Reader:
    """Turns the items of one input into messages, in their order."""

    def __init__(self, items: Sequence[dict[str, Any]], box: Toolbox, *, is_continued: bool) -> None:
        self.messages: list[Message] = []
        self._items = items
        self._box = box
        self._is_continued = is_continued
        self._ignored: list[str] = []
        self._reasoning = ""
        """The reasoning of the turn whose words or calls come next."""
        self._unresolved: NotFound | None = None
        """A reference that leads nowhere, forgiven if calls of the same turn follow it."""

    def read(self) -> Conversation:
        for index, item in enumerate(self._items):
            self._read_item(item, f"input[{index}]")
        self._settle()
        return Conversation(tuple(self.messages), tuple(self._ignored))

    def _read_item(self, item: dict[str, Any], param: str) -> None:
        kind = _kind(item, param)
        if kind == "item_reference":
            self._refer(item, param)
        elif kind in ("function_call", "custom_tool_call"):
            self._call(convert(item, _Call, param), is_freeform=kind == "custom_tool_call")
        elif kind in _PASSED_OVER:
            return
        elif kind == "reasoning":
            self._reasoning += _thoughts(item)
        elif kind == "message":
            self._settle()
            self._add(_message(convert(item, _Message, param), param))
        elif kind in ("function_call_output", "custom_tool_call_output"):
            self._settle()
            self._take_output(convert(item, _ToolOutput, param), f"{param}.output")
        else:
            self._read_foreign(kind, item)

    def _read_foreign(self, kind: str, item: dict[str, Any]) -> None:
        """Read a call of a tool of OpenAI's own, or its output: `local_shell_call`, `shell_call_output` …"""
        # The output of a local shell names its call by `id` (OpenAI's reference, 2026-11).
        call_id = item.get("call_id") or item.get("id")
        if not isinstance(call_id, str):
            self._ignored.append("ignored_item")
        elif kind.endswith("_call"):
            details = item.get("action") or item.get("operation") or item.get("arguments") or {}
            self._call(_Call(call_id, kind.removesuffix("_call"), details), is_freeform=False)
        elif kind.endswith("_output"):
            self._settle()
            self._take_output(_ToolOutput(call_id, _in_words(item.get("output", ""))), "")
        else:
            self._ignored.append("ignored_item")

    def _call(self, wire: _Call, *, is_freeform: bool) -> None:
        """Add a call to the assistant's message before it; the words beside a call are one turn with it."""
        self._unresolved = None
        call = ToolCall(
            wire.call_id,
            self._box.name_of(wire.namespace, wire.name),
            wire.input if is_freeform else _in_words(wire.arguments),
            is_freeform,
        )
        if self.messages and self.messages[-1].role == "assistant":
            last = self.messages.pop()
            if len(last.tool_calls) >= MAX_CALLS:
                raise InvalidRequest(
                    f"Expected at most {MAX_CALLS} tool calls without another item between them.",
                    param="input",
                )
            self._add(msgspec.structs.replace(last, tool_calls=(*last.tool_calls, call)))
        else:
            self._add(Message(role="assistant", tool_calls=(call,)))

    def _add(self, message: Message) -> None:
        if message.role == "assistant" and self._reasoning:
            message = msgspec.structs.replace(message, reasoning=message.reasoning + self._reasoning)
        self._reasoning = ""
        self.messages.append(message)

    def _take_output(self, wire: _ToolOutput, param: str) -> None:
        output = wire.output if isinstance(wire.output, str | list) else _in_words(wire.output or "")
        self.messages.append(
            Message(role="tool", parts=_parts(output, param), tool_call_id=wire.call_id or None)
        )

    def _refer(self, item: dict[str, Any], param: str) -> None:
        self._settle()
        name = item.get("id")
        if not isinstance(name, str):
            raise missing_field(f"{param}.id")
        is_here = any(other.get("id") == name and _has_content(other) for other in self._items)
        if not (self._is_continued or is_here or name.startswith(_PASSED_OVER_IDS)):
            self._unresolved = NotFound(
                f"The item {shown(name)} is not known: items are not kept here. Send the item itself, as "
                "clients do with store: false; or go on with previous_response_id, after store: true.",
                param=f"{param}.id",
            )

    def _settle(self) -> None:
        """Raise the error of a reference that no call follows: the model would miss those words."""
        if self._unresolved is not None:
            raise self._unresolved


def _thoughts(item: dict[str, Any]) -> str:
    """Return the text of a reasoning item: its content, or the summary that this gateway gives."""
    for name in ("content", "summary"):
        parts = item.get(name)
        if isinstance(parts, list) and parts:
            return "".join(read_text(part.get("text")) for part in parts if isinstance(part, dict))
    return ""


def _kind(item: dict[str, Any], param: str) -> str:
    kind = item.get("type")
    if kind is None:
        if "role" in item:
            return "message"
        if "id" in item:
            return "item_reference"
        raise missing_field(f"{param}.type")
    if not isinstance(kind, str):
        raise invalid_value(f"{param}.type", "a string", type(kind).__name__)
    return kind


def _has_content(item: dict[str, Any]) -> bool:
    return "role" in item or item.get("type", "item_reference") != "item_reference"


def _message(wire: _Message, param: str) -> Message:
    role = _ROLES.get(wire.role)
    if role is None:
        raise invalid_value(f"{param}.role", f"one of {', '.join(_ROLES)}", wire.role)
    if wire.content is UNSET:
        raise missing_field(f"{param}.content")
    if wire.content is None and role != "assistant":
        raise invalid_value(f"{param}.content", "a string or an array of parts", None)
    return Message(role=role, parts=_parts(wire.content or "", f"{param}.content"))


def _parts(content: str | list[_Part], param: str) -> tuple[Part, ...]:
    """Read the parts. Empty texts are left out: a message without parts says nothing."""
    if isinstance(content, str):
        return (TextPart(content),) if content else ()
    parts = [_part(part, f"{param}[{index}]") for index, part in enumerate(content)]
    return tuple(part for part in parts if part != TextPart(""))


def _part(wire: _Part, param: str) -> Part:
    match wire.type:
        case "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text":
            return TextPart(_required(wire.text, f"{param}.text"))
        case "refusal":
            return TextPart(_required(wire.refusal, f"{param}.refusal"))
        case "input_image" | "image_url":
            return _image(wire, param)
        case "input_file" | "file":
            return _file(wire, param)
        case _:
            words = "cannot be taken; send input_text, input_image or input_file"
            raise unsupported(param, f"parts of the type {shown(wire.type)} {words}")


def _image(wire: _Part, param: str) -> ImagePart:
    url = wire.image_url.url if isinstance(wire.image_url, _Url) else wire.image_url
    if url:
        return ImagePart(url, param)
    if wire.file_id:
        raise _no_files(f"{param}.file_id", "image_url")
    raise missing_field(f"{param}.image_url")


def _file(wire: _Part, param: str) -> FilePart:
    if wire.file_data:
        is_url = wire.file_data[:5].lower() == "data:"
        url = wire.file_data if is_url else f"data:;base64,{wire.file_data}"
        return FilePart(url, wire.filename, param)
    if wire.file_url:
        return FilePart(wire.file_url, wire.filename, param)
    if wire.file_id:
        raise _no_files(f"{param}.file_id", "file_data or file_url")
    raise missing_field(f"{param}.file_data")


def _no_files(param: str, instead: str) -> InvalidRequest:
    return unsupported(param, f"files are not kept here between requests; send {instead}")


def _required(text: str | UnsetType | None, param: str) -> str:
    if text is UNSET:
        raise missing_field(param)
    if text is None:
        raise invalid_value(param, "a string", None)
    return text


def _in_words(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
