"""Messages in Anthropic's form: a list of blocks, or one string."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec

from lib.chat.request import FilePart, ImagePart, Message, Part, Role, TextPart, ToolCall
from lib.dialects.fields import read_text
from lib.dialects.json_body import invalid_value, missing_field, shown, unsupported
from lib.errors import InvalidRequest

_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}


class Source(msgspec.Struct):
    """The bytes of an image or a document, or the place where they are."""

    type: str | None = None
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    content: str | list[Block] | None = None


class Block(msgspec.Struct):
    """Any block. A field that another type of block has in another form is read as that form too."""

    type: str
    text: str | None = None
    source: str | Source | None = None
    """The address of a `search_result` is a string."""
    title: str | None = None
    context: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw(b"{}")
    tool_use_id: str | None = None
    tool_name: str | None = None
    content: str | list[Block] | dict[str, Any] | None = None
    """The result of a server's tool may be an object."""
    is_error: bool | None = None
    thinking: Any = None


Content = str | list[Block]


class WireMessage(msgspec.Struct):
    role: str
    content: Content


def read_messages(wire: Sequence[WireMessage]) -> Iterator[Message]:
    for index, message in enumerate(wire):
        param = f"messages[{index}]"
        role = _ROLES.get(message.role)
        if role is None:
            raise invalid_value(f"{param}.role", f"one of {', '.join(_ROLES)}", message.role)
        if role == "assistant":
            yield from _assistant(message.content, f"{param}.content")
        else:
            yield from _given(role, message.content, f"{param}.content")


def read_system(content: Content | None) -> Iterator[Message]:
    if content:
        yield from _given("system", content, "system")


def _assistant(content: Content, param: str) -> Iterator[Message]:
    """Keep texts, calls and their reasoning; drop the calls that a server answered itself.

    A turn without texts and calls is dropped as a whole.
    """
    blocks = [Block(type="text", text=content)] if isinstance(content, str) else content
    # An answer with citations comes as several blocks of one text.
    parts = tuple(part for block in blocks if block.type == "text" for part in _text(block.text))
    numbered = enumerate(blocks)
    calls = tuple(_call(block, f"{param}[{at}]") for at, block in numbered if block.type == "tool_use")
    if parts or calls:
        thoughts = "".join(read_text(block.thinking) for block in blocks if block.type == "thinking")
        yield Message(role="assistant", parts=parts, tool_calls=calls, reasoning=thoughts)


def _call(block: Block, param: str) -> ToolCall:
    if not block.id:
        raise missing_field(f"{param}.id")
    if not block.name:
        raise missing_field(f"{param}.name")
    arguments = bytes(block.input).decode()
    return ToolCall(block.id, block.name, "{}" if arguments == "null" else arguments)


def _given(role: Role, content: Content, param: str) -> Iterator[Message]:
    """Make one message of the blocks between two results of tools, and one of each result."""
    if isinstance(content, str):
        yield Message(role=role, parts=_text(content))
        return
    numbered = [(f"{param}[{index}]", block) for index, block in enumerate(content)]
    for is_result, run in groupby(numbered, key=lambda at: at[1].type == "tool_result"):
        if is_result:
            yield from (_result(block, where) for where, block in run)
        elif parts := _parts(run):
            yield Message(role=role, parts=parts)


def _result(block: Block, param: str) -> Message:
    if not block.tool_use_id:
        raise missing_field(f"{param}.tool_use_id")
    return Message(
        role="tool",
        parts=_inner(block.content, f"{param}.content"),
        tool_call_id=block.tool_use_id,
        is_error=bool(block.is_error),
    )


def _inner(content: str | list[Block] | dict[str, Any] | None, param: str) -> tuple[Part, ...]:
    if isinstance(content, dict):
        raise InvalidRequest(f"Invalid value for '{param}': expected blocks, got an object.", param=param)
    if isinstance(content, list):
        return _parts((f"{param}[{index}]", block) for index, block in enumerate(content))
    return _text(content)


def _parts(blocks: Iterable[tuple[str, Block]]) -> tuple[Part, ...]:
    """Read blocks. Two texts side by side are two paragraphs, so a line break stands between them."""
    parts: list[Part] = []
    for param, block in blocks:
        read = _read(block, param)
        if parts and read and isinstance(last := parts[-1], TextPart) and isinstance(read[0], TextPart):
            gap = "" if last.text.endswith("\n") else "\n"
            read = (TextPart(gap + read[0].text), *read[1:])
        parts += read
    return tuple(parts)


def _read(block: Block, param: str) -> tuple[Part, ...]:
    match block.type:
        case "text":
            if block.text is None:
                raise missing_field(f"{param}.text")
            return _text(block.text)
        case "image":
            return (ImagePart(_address(block.source, f"{param}.source"), param),)
        case "document":
            return _document(block, param)
        case "search_result":
            head = "\n".join(filter(None, (block.title, _words(block.source))))
            return (*_text(f"{head}\n"), *_inner(block.content, f"{param}.content"))
        case "tool_reference":
            return _text(block.tool_name)
        case "thinking" | "redacted_thinking" | "server_tool_use":
            return ()
        case other if other.endswith("_tool_result"):
            return ()
        case _:
            what = f"blocks of the type {shown(block.type)} cannot be taken; send text, image or document"
            raise unsupported(param, what)


def _document(block: Block, param: str) -> tuple[Part, ...]:
    source = block.source
    if not isinstance(source, Source) or source.type not in ("text", "content"):
        return (FilePart(_address(source, f"{param}.source"), block.title, param),)
    head = "".join(f"{line}\n" for line in (block.title, block.context) if line)
    if source.type == "text":
        return _text(f"{head}{source.data or ''}")
    return (*_text(head), *_inner(source.content, f"{param}.source.content"))


def _address(source: str | Source | None, param: str) -> str:
    """Return the address of an image or a document, which is a data URL if the request holds the bytes."""
    if not isinstance(source, Source):
        raise missing_field(param)
    if source.type == "file":
        what = "files are not kept here between requests; send the type 'base64' or 'url'"
        raise unsupported(f"{param}.file_id", what)
    if source.url:
        return source.url
    if not source.data:
        raise missing_field(f"{param}.{'url' if source.type == 'url' else 'data'}")
    is_url = source.data[:5].lower() == "data:"
    return source.data if is_url else f"data:{source.media_type or ''};base64,{source.data}"


def _words(source: str | Source | None) -> str:
    return source if isinstance(source, str) else ""


def _text(text: str | None) -> tuple[TextPart, ...]:
    """Leave an empty text out: a message without parts says nothing."""
    return (TextPart(text),) if text else ()
