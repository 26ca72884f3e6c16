"""Writes several messages as one text: the upstream reads one user message only (2026-09)."""

from __future__ import annotations

import hashlib
import re
from itertools import count

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
MAX_TRIED = 16
"""So many numbers are tried in turn. A text of 4 MB may contain markers with 280,000 numbers."""
_MARKER = re.compile(rf"<\|(?:{'|'.join(sorted(set(_ROLES.values())))})((?::[0-9]{{1,2}})?)\|>")
"""A marker with one of the numbers that are tried, or with another one of two digits."""


def merge(messages: tuple[Message, ...], closing: str = "") -> str:
    """Write all turns as one text that ends with the assistant's turn; one message is its own text.

    The texts themselves do not change. If a text contains a marker, the markers of the whole prompt get a
    number that is in no text: so a text cannot fake a turn.
    """
    if len(messages) == 1:
        return _closed(messages[0].text, closing)
    number = _free_number(messages)
    turns = _closed("\n".join(_turn(message, number) for message in messages), closing)
    if messages[-1].role == "assistant":
        return turns  # A prefill: the model continues it.
    return f"{turns}\n{_marker('assistant', number)}\n"


def _closed(text: str, closing: str) -> str:
    return f"{text}\n\n{closing}" if closing else text


def new_messages(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return the messages after the last assistant turn: the upstream's conversation lacks them."""
    known = max(
        (count for count, message in enumerate(messages, 1) if message.role == "assistant"), default=0
    )
    if known == len(messages):
        raise InvalidRequest(
            f"expected a message after the last assistant turn, to continue the conversation; "
            f"got {len(messages)} messages without one",
            param="messages",
        )
    return messages[known:]


def attachments(messages: tuple[Message, ...]) -> tuple[Attachment, ...]:
    """Return the images and documents of all turns, in their order. The merged text does not contain them."""
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
    # In plain words: the upstream's tool layer intercepts OpenAI's syntax and {"tool_calls": …} (2026-08).
    return f"(called {call.name} as {call.id} with {call.arguments})"


def _marker(role: str, number: int) -> str:
    return f"<|{role}{_digits(number)}|>"


def _digits(number: int) -> str:
    return "" if number == 1 else f":{number}"


def _free_number(messages: tuple[Message, ...]) -> int:
    """Return the least number that no marker in a text has, if it is small; 1 is the plain spelling."""
    texts = "\n".join(map(_turn_texts, messages))
    if "<|" not in texts:
        return 1
    taken = set(_MARKER.findall(texts))  # One pass: a search for each number takes half a second.
    for number in range(1, MAX_TRIED + 1):
        if _digits(number) not in taken:
            return number
    return next(number for number in count(_number_of(texts)) if not _has_marker(texts, number))


def _has_marker(texts: str, number: int) -> bool:
    return any(_marker(role, number) in texts for role in set(_ROLES.values()))


def _number_of(texts: str) -> int:
    """Make a number of the text itself: the text cannot contain it, except by a chance of 1 in 2**48."""
    return int.from_bytes(hashlib.sha256(texts.encode("utf-8", "surrogatepass")).digest()[:6])


def _turn_texts(message: Message) -> str:
    return "\n".join((message.name or "", message.tool_call_id or "", _body(message)))
