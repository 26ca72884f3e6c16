"""The events of a reply: one `Started`, then any of the others, then exactly one `Finished` or `Failed`.

Upstreams make them, stages change them, dialects render them.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from lib.errors import GatewayError

FinishReason = Literal["stop", "length", "content_filter", "tool_calls"]


class Started(msgspec.Struct, frozen=True):
    """The upstream has accepted the chat. It comes first and once."""

    id: str
    """Names the answer, and the conversation if the caller keeps it."""
    model: str
    """The model that serves, in the upstream's words."""
    account: str = ""
    """The label of the account; empty if the upstream has none."""


class TextDelta(msgspec.Struct, frozen=True):
    text: str


class ReasoningDelta(msgspec.Struct, frozen=True):
    text: str


class Citation(msgspec.Struct, frozen=True):
    """A source. If `marked`, it stands in the text as its `marker`, and no TextDelta repeats the marker."""

    number: int
    """From 1, in the order of first mention; the same URL keeps its number."""
    url: str
    title: str
    marked: bool = True

    @property
    def marker(self) -> str:
        return f"[{self.number}]" if self.marked else ""


class ImageMade(msgspec.Struct, frozen=True):
    url: str
    prompt: str = ""
    """The upstream's version of the caller's prompt, if the upstream sends one."""

    @property
    def markdown(self) -> str:
        return f"![image]({self.url})\n"


class ToolCallDelta(msgspec.Struct, frozen=True):
    """A piece of a call of one of the caller's tools; `id` and `name` come with the first piece."""

    index: int
    arguments: str
    id: str | None = None
    name: str | None = None


class InterceptedCall(msgspec.Struct, frozen=True):
    """A call that the upstream's own tool layer took out of the model's text (tools.md §1.2).

    The upstream answers a call of a client's tool with an error, so `result` is not for the client.
    """

    name: str
    """As the model wrote it: it may name no tool, or be destroyed (field.md §1.1)."""
    arguments: str
    """JSON, or a piece of it."""
    id: str = ""
    """The upstream's own id of the call. The same id again is the same call."""
    result: str = ""
    """The upstream's answer to the call. It is empty until the answer comes."""


class Notice(msgspec.Struct, frozen=True):
    """A fact for the log that changes nothing for the client: a failed server-side tool, a rewritten text."""

    kind: str
    detail: str = ""


Told = TextDelta | ReasoningDelta | Citation | ImageMade
"""The events that make up the visible answer and its reasoning."""


class Rewritten(msgspec.Struct, frozen=True):
    """The upstream changed its earlier words. These are all events of the reply so far, from its start.

    A stream cannot retract, so it passes over this event. An accumulated answer starts again with it.
    """

    events: tuple[Told, ...]


class Withdrawn(msgspec.Struct, frozen=True):
    """Moderation took the answer back and shows these words in its place.

    `Finished("content_filter")` follows. A stream can only add the words; an accumulated answer is them.
    """

    words: str = ""


class Usage(msgspec.Struct, frozen=True):
    """Tokens, estimated by lib/chat/usage.py or reported by the upstream.

    `reasoning_tokens` are part of `completion_tokens`, `cached_tokens` part of `prompt_tokens`.
    """

    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int = 0
    cached_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


class Finished(msgspec.Struct, frozen=True):
    reason: FinishReason
    usage: Usage = Usage(0, 0)
    stop_sequence: str | None = None
    """The client's stop sequence that ended the text, if one did and its name is known."""


class Failed(msgspec.Struct, frozen=True):
    """The reply ended without being complete."""

    error: GatewayError


ReplyEvent = (
    Started
    | TextDelta
    | ReasoningDelta
    | Citation
    | ImageMade
    | ToolCallDelta
    | InterceptedCall
    | Notice
    | Rewritten
    | Withdrawn
    | Finished
    | Failed
)
Content = (TextDelta, ReasoningDelta, Citation, ImageMade, ToolCallDelta)
"""After one of these events, a retry would be visible to the client."""


def visible_text(event: ReplyEvent) -> str:
    """Return the text that the event adds to the answer."""
    match event:
        case TextDelta():
            return event.text
        case Citation():
            return event.marker
        case ImageMade():
            return event.markdown
        case _:
            return ""
