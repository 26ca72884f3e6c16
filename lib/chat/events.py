"""What a reply consists of: a sequence of these, ended by exactly one `Finished` or `Failed`."""

from __future__ import annotations

from typing import Literal

import msgspec

from lib.errors import GatewayError

FinishReason = Literal["stop", "length", "content_filter", "tool_calls"]


class TextDelta(msgspec.Struct, frozen=True):
    text: str


class ReasoningDelta(msgspec.Struct, frozen=True):
    text: str


class Citation(msgspec.Struct, frozen=True):
    """A source. Where `marked`, it stands in the text as its `marker`, which no TextDelta repeats."""

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
    """What the upstream made of the caller's words, where it tells."""

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
    """The upstream's answer to the call; empty while there is none."""


class Notice(msgspec.Struct, frozen=True):
    """Something to log that changes nothing for the client: a failed server-side tool, a rewritten text."""

    kind: str
    detail: str = ""


class Rewritten(msgspec.Struct, frozen=True):
    """The upstream changed what it had said: these are the whole reply's events, from the start.

    A stream cannot retract and passes over it; whoever accumulates begins again with these.
    """

    events: tuple[TextDelta | ReasoningDelta | Citation | ImageMade, ...]


class Usage(msgspec.Struct, frozen=True):
    """Estimated tokens (lib/chat/usage.py); `reasoning_tokens` are part of `completion_tokens`."""

    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


class Finished(msgspec.Struct, frozen=True):
    reason: FinishReason
    usage: Usage = Usage(0, 0)
    model: str = ""
    """What served, in the upstream's words."""


class Failed(msgspec.Struct, frozen=True):
    """The reply ended without being complete."""

    error: GatewayError


ReplyEvent = (
    TextDelta
    | ReasoningDelta
    | Citation
    | ImageMade
    | ToolCallDelta
    | InterceptedCall
    | Notice
    | Rewritten
    | Finished
    | Failed
)
Content = (TextDelta, ReasoningDelta, Citation, ImageMade, ToolCallDelta)
"""The events after which a retry would be visible to the client."""
