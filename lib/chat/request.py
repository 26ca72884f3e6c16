"""A chat request, the same for every client.

The values are msgspec structs, not dataclasses. A struct is made four times faster, and it costs nothing at
import, so a serverless cold start is shorter.
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
    """The image's place in the request, such as `messages[0].content[1]`. Errors name it."""


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
    reasoning: str = ""
    """The reasoning of an assistant's turn, if the client sends it back."""

    @property
    def text(self) -> str:
        """All text parts, joined. A client that splits a text still means one text."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool of the client's. The client runs it; the model only asks for it."""

    name: str
    description: str = ""
    schema: Mapping[str, Any] | None = None
    """The JSON Schema of the arguments, an object. None means that the client declared no schema."""
    is_freeform: bool = False
    """The argument is one text and no JSON (OpenAI's `custom` tools): `{"input": text}` in here."""
    strict: bool = False


class ToolChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The caller's rule for calls: `required` with `names` means one of these tools."""

    mode: Literal["none", "auto", "required"] = "auto"
    names: tuple[str, ...] = ()
    """The tools that the model may call. Empty means every declared tool."""


class JsonFormat(msgspec.Struct, frozen=True, kw_only=True):
    """The answer is one JSON value."""

    schema: Mapping[str, Any] | None = None
    """The JSON Schema of the value. None means any object (`json_object`)."""
    name: str = ""
    strict: bool = False


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    """The caller's own spelling. Each upstream chooses the model that it stands for."""
    messages: tuple[Message, ...]
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    effort: Effort | None = None
    temperature: float | None = None
    top_p: float | None = None
    user: str = ""
    """The client's own id of its user. Empty means that it names none."""
    web_search: bool | None = None
    """None means that the caller does not mention it."""
    conversation_id: str | None = None
    """None means that the conversation is deleted after the answer. Empty means a new one that is kept."""
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
