"""The limit on the size of a prompt. It is checked before any work on the prompt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lib.chat.request import ChatRequest, TextPart
from lib.errors import InvalidRequest

MAX_PROMPT_CHARS = 4_000_000
"""The models take a million tokens at most, and a token of English is about four characters. A text of 31 MB
stopped every other request for 8 s before the upstream refused it."""
MAX_MESSAGES = 20_000
"""Each message costs several objects at every step of its way."""
MAX_CALLS = 512
"""So many calls one message may have: as many as a request may have tools."""


def require_room(chat: ChatRequest) -> None:
    """Raise InvalidRequest (`context_length_exceeded`) if the prompt is longer than any model takes."""
    if len(chat.messages) > MAX_MESSAGES:
        raise InvalidRequest(
            f"Expected at most {MAX_MESSAGES} messages, got {len(chat.messages)}.", param="messages"
        )
    for number, message in enumerate(chat.messages):
        if len(message.tool_calls) > MAX_CALLS:
            raise InvalidRequest(
                f"Expected at most {MAX_CALLS} tool calls in one message, "
                f"got {len(message.tool_calls)} in message {number + 1}.",
                param="messages",
            )
    size = 0
    for part in _texts(chat):
        size += len(part)
    if size > MAX_PROMPT_CHARS:
        raise InvalidRequest(
            f"The prompt is too long: expected at most {MAX_PROMPT_CHARS} characters in all texts and tools, "
            f"got {size}.",
            code="context_length_exceeded",
            param="messages",
        )


def _texts(chat: ChatRequest) -> Iterator[str]:
    for message in chat.messages:
        yield message.name or ""
        yield message.tool_call_id or ""
        for part in message.parts:
            if isinstance(part, TextPart):
                yield part.text
        for call in message.tool_calls:
            yield from (call.name, call.arguments)
    for tool in chat.tools:
        yield from (tool.name, tool.description)
        yield from _strings(tool.schema)
    if chat.json_format is not None:
        yield from _strings(chat.json_format.schema)


def _strings(value: Any) -> Iterator[str]:
    """Yield all texts of a JSON value. No recursion: a schema may be nested as deep as JSON can be."""
    left = [value]
    while left:
        match left.pop():
            case str() as text:
                yield text
            case dict() as members:
                left += members
                left += members.values()
            case list() as items:
                left += items
