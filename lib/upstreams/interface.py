"""The door: what a flow may ask of an upstream, and the `Call` that it hands to it.

An upstream is one service that generates: an account at chatglm.cn, or a key of the vendor's API. A flow
never imports from inside one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from lib.chat.caller import Caller
from lib.chat.events import ReplyEvent, Started
from lib.chat.request import ChatRequest
from lib.settings import Settings
from lib.trace import Trace

Batch = Sequence[ReplyEvent]
"""The events of one read of the upstream's stream."""


class Abilities(msgspec.Struct, frozen=True, kw_only=True):
    """The things that an upstream does itself for one chat. The gateway makes up for the rest by stages."""

    tools: bool = False
    tool_choice: bool = False
    json_object: bool = False
    json_schema: bool = False
    stop: int = 0
    """So many stop sequences."""
    max_tokens: bool = False
    usage: bool = False
    messages: bool = False
    """It takes a list of messages; otherwise it flattens them into one text."""
    images: bool = False
    files: bool = False
    silent: bool = False
    """The model's name asks for an answer without reasoning and sources."""


class Reply(Protocol):
    """One accepted generation. Leaving its context stops it, cleans up and gives the account back."""

    @property
    def started(self) -> Started:
        """The upstream's answer so far, for headers; `events` begins with the final one."""
        ...

    @property
    def events(self) -> AsyncIterator[Batch]:
        """`Started`, content, one ending. Until the first content it may raise GatewayError instead."""
        ...

    async def again(self, words: str) -> AsyncIterator[Batch]:
        """Stop this turn and ask once more: same account, same conversation, same lease.

        The new turn's events have no `Started`.
        """
        ...


class Upstream(Protocol):
    """A service that answers chats."""

    @property
    def name(self) -> str:
        """`web` or `api`, as in `x-glm-upstream`."""
        ...

    async def abilities(self, chat: ChatRequest, call: Call) -> Abilities | None:
        """Return None if this upstream does not serve the chat."""
        ...

    def open(
        self, chat: ChatRequest, call: Call, *, patience_s: float | None
    ) -> AbstractAsyncContextManager[Reply]:
        """Enter when the first content is there, or `patience_s` after acceptance if that is earlier.

        Raises GatewayError until then. None waits for the first content however long it takes.
        """
        ...

    async def models(self, call: Call) -> Sequence[str]:
        """Return the names of the models that it offers to the caller."""
        ...


class Services(Protocol):
    """The services of one event loop, under one set of settings."""

    @property
    def settings(self) -> Settings: ...

    @property
    def upstreams(self) -> Sequence[Upstream]:
        """In the order in which a chat asks them."""
        ...


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request on its way. It is made once, at the edge, and handed down."""

    services: Services
    caller: Caller
    trace: Trace
    deadline_at: float | None = None
    """The host ends the request then, in the loop's time."""

    @property
    def settings(self) -> Settings:
        return self.services.settings
