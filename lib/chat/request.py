"""A chat request, free of any client's spelling.

msgspec structs rather than dataclasses: they are made four times faster and cost nothing at import,
which a serverless function pays for at every cold start.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

Role = Literal["system", "developer", "user", "assistant", "tool"]

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

MAX_MODEL_CHARS = 256
"""Answers repeat the name, streams in every chunk."""


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
    is_freeform: bool = False
    """`arguments` is the text of a free-form tool and no JSON."""


class Message(msgspec.Struct, frozen=True):
    role: Role
    parts: tuple[Part, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    is_error: bool = False
    """A tool's result that the client marks as failed."""

    @property
    def text(self) -> str:
        """Every text part, one after the other; a client that splits a text means one text."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool of the client's. The client runs it; the model only asks for it."""

    name: str
    description: str = ""
    schema: Mapping[str, Any] | None = None
    """JSON Schema of the arguments, an object; None: the client declared none."""
    is_freeform: bool = False
    """The argument is one text and no JSON (OpenAI's `custom` tools): `{"input": text}` in here."""
    strict: bool = False


class ToolChoice(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller says about calls: `required` with `names` means one of these tools."""

    mode: Literal["none", "auto", "required"] = "auto"
    names: tuple[str, ...] = ()
    """The tools that may be called; empty: every declared tool."""


class JsonFormat(msgspec.Struct, frozen=True, kw_only=True):
    """The answer is one JSON value."""

    schema: Mapping[str, Any] | None = None
    """JSON Schema of the value; None: any object (`json_object`)."""
    name: str = ""
    strict: bool = False


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    """As the caller wrote it; each upstream decides what it stands for."""
    messages: tuple[Message, ...]
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    effort: Effort | None = None
    web_search: bool | None = None
    """None: the caller says nothing of it."""
    conversation_id: str | None = None
    """None: not named, the conversation is deleted after the answer. Empty: a new one that is kept."""
    store: bool = False
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    parallel_tool_calls: bool = True
    json_format: JsonFormat | None = None
    closing: str = ""
    """The gateway's own words after the messages: tools, the form of the answer, a reminder (lib/tools)."""

    @property
    def expects_calls(self) -> bool:
        """The model may call a tool of the client's."""
        return bool(self.tools) and self.tool_choice.mode != "none"

    @property
    def keeps_conversation(self) -> bool:
        return self.store or self.conversation_id is not None
