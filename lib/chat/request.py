"""A chat request, free of any client's spelling.

msgspec structs rather than dataclasses: they are made four times faster and cost nothing at import,
which a serverless function pays for at every cold start.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Role = Literal["system", "developer", "user", "assistant", "tool"]

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class TextPart(msgspec.Struct, frozen=True):
    text: str


class ImagePart(msgspec.Struct, frozen=True):
    url: str
    """http(s) or data URL."""
    param: str | None = None
    """Where the request names it, as `messages[0].content[1]`: for what is said when it cannot be had."""


class FilePart(msgspec.Struct, frozen=True):
    url: str
    """http(s) or data URL."""
    name: str | None = None
    param: str | None = None


Attachment = ImagePart | FilePart
Part = TextPart | Attachment


class ToolCall(msgspec.Struct, frozen=True):
    id: str
    name: str
    arguments: str
    """JSON, as the model wrote it."""


class Message(msgspec.Struct, frozen=True):
    role: Role
    parts: tuple[Part, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None

    @property
    def text(self) -> str:
        """Every text part, one after the other; a client that splits a text means one text."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    """As the caller wrote it; what it stands for is decided by lib/chatglm/models.py."""
    messages: tuple[Message, ...]
    stream: bool = False
    include_usage: bool = False
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    effort: Effort | None = None
    web_search: bool | None = None
    """None: the caller says nothing of it."""
    conversation_id: str | None = None
    """None: not named, the conversation is deleted after the answer. Empty: a new one that is kept."""
    store: bool = False

    @property
    def keeps_conversation(self) -> bool:
        return self.store or self.conversation_id is not None
