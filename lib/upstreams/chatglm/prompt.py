"""Several messages as the one text that the upstream takes."""

from __future__ import annotations

import re

from lib.chat.request import Attachment, FilePart, ImagePart, Message, Role, ToolCall
from lib.errors import InvalidRequest

# The roles of the model family's own template.
_ROLES: dict[Role, str] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "observation",
}
_MARKER = re.compile(r"<\|(?:system|user|assistant|observation)(?::([0-9]+))?\|>")


def merge(messages: tuple[Message, ...], closing: str = "") -> str:
    """Write all turns as one text that ends where the assistant is to go on; one message is its own text.

    Nothing of anybody's text is changed. If a text contains a marker, the markers of the whole prompt get a
    number that no text has: a text cannot fake a turn.
    """
    if len(messages) == 1:
        return _closed(messages[0].text, closing)
    number = _free_number(messages)
    turns = _closed("\n".join(_turn(message, number) for message in messages), closing)
    if messages[-1].role == "assistant":
        return turns  # a prefill: the model goes on within it
    return f"{turns}\n{_marker('assistant', number)}\n"


def _closed(text: str, closing: str) -> str:
    return f"{text}\n\n{closing}" if closing else text


def new_messages(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return what the upstream's conversation does not know yet: what comes after the last assistant turn."""
    known = max(
        (count for count, message in enumerate(messages, 1) if message.role == "assistant"), default=0
    )
    if known == len(messages):
        raise InvalidRequest(
            f"expected a message after the last assistant turn, to go on with the conversation; "
            f"there is none in {len(messages)} messages",
            param="messages",
        )
    return messages[known:]


def attachments(messages: tuple[Message, ...]) -> tuple[Attachment, ...]:
    """Return the images and documents of all turns, in their order: the text that is merged has none."""
    return tuple(
        part for message in messages for part in message.parts if isinstance(part, ImagePart | FilePart)
    )


def _turn(message: Message, number: int) -> str:
    label = " ".join(
        filter(None, (_marker(_ROLES[message.role], number), message.name, message.tool_call_id))
    )
    return f"{label}\n{_body(message)}"


def _body(message: Message) -> str:
    if not message.tool_calls:
        return message.text
    said = [message.text] if message.text else []
    return "\n".join([*said, *map(_call_in_words, message.tool_calls)])


def _call_in_words(call: ToolCall) -> str:
    # Plain words: the upstream's own tool layer intercepts OpenAI's syntax and {"tool_calls": …}.
    return f"(called {call.name} as {call.id} with {call.arguments})"


def _marker(role: str, number: int) -> str:
    return f"<|{role}|>" if number == 1 else f"<|{role}:{number}|>"


def _free_number(messages: tuple[Message, ...]) -> int:
    """The least number, 1 being the plain spelling, that no marker within a text has."""
    taken = {found or "1" for message in messages for found in _MARKER.findall(_turn_texts(message))}
    number = 1
    while str(number) in taken:
        number += 1
    return number


def _turn_texts(message: Message) -> str:
    return "\n".join((message.name or "", message.tool_call_id or "", _body(message)))
