"""Answering a chat: which upstream, in which order, and one more upstream until content has begun."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from lib.chat.events import (
    Content,
    Failed,
    Finished,
    ReasoningDelta,
    ReplyEvent,
    Started,
    TextDelta,
    ToolCallDelta,
)
from lib.chat.request import ChatRequest, FilePart, ImagePart
from lib.chat.size import require_room
from lib.chat.stages.interface import Stage
from lib.chat.usage import PromptCount
from lib.errors import (
    AccountRefused,
    GatewayError,
    NoAccountAvailable,
    Throttled,
    UpstreamError,
    UpstreamProtocolError,
)
from lib.flows.plan import Planned, planning, tells_calls
from lib.tasks import beside, with_pauses
from lib.upstreams.interface import Abilities, Batch, Call, Candidate, Reply

MAX_REPLY_CHARS = 16_000_000
"""The longest answers of the models, 128,000 tokens, have about half a million characters. The decoders hold
each text whole: an upstream that never ends must not fill the memory."""
OTHER_EVENT_CHARS = 1_000
"""A call, a source or a picture counts like so many characters, because each is an object of its own."""

Planner = Callable[[ChatRequest, Abilities], Generator[int, None, Planned]]


@asynccontextmanager
async def open_reply(
    chat: ChatRequest, call: Call, *, patience_s: float | None = None, planner: Planner | None = None
) -> AsyncIterator[ShapedReply]:
    """Open the first upstream that serves the chat; go on to the next until content has begun.

    It enters when the first content is there, or `patience_s` after the upstream has accepted if that is
    earlier. Raises the last refusal. Leaving it ends and cleans up everything that the upstream holds.
    """
    require_room(chat)
    async with AsyncExitStack() as opened:
        planner = planner or partial(
            planning, syntax=call.settings.tool_syntax, is_streamed=patience_s is not None
        )
        candidates = await call.services.candidates(chat, call.caller)
        reply = ShapedReply(call, opened, candidates, patience_s=patience_s, planner=planner)
        await reply.open_next(refusal=None)
        yield reply


class ShapedReply:
    """The batches that answer one chat, as the client may see them: the last one ends with the ending."""

    def __init__(
        self,
        call: Call,
        opened: AsyncExitStack,
        candidates: Sequence[Candidate],
        *,
        patience_s: float | None,
        planner: Planner,
    ) -> None:
        self._call = call
        self._opened = opened
        self._patience_s = patience_s
        self._planner = planner
        self._candidates: Iterator[Candidate] = iter(candidates)
        self._answering: Candidate
        self._reply: Reply
        self._stages: Stage
        self._events: AsyncIterator[Batch]
        self._has_content = False
        self._has_ended = False
        self._chars = 0
        self.fallback = ""
        """The code of the refusal for which the fallback model answers."""

    @property
    def started(self) -> Started:
        """The model and the account that serve, as far as they are known; for headers."""
        return self._reply.started

    @property
    def upstream(self) -> str:
        """The name of the upstream that serves."""
        return self._answering.upstream.name

    def __aiter__(self) -> ShapedReply:
        return self

    async def __anext__(self) -> list[ReplyEvent]:
        """Return the next batch as soon as there is one."""
        if self._has_ended:
            raise StopAsyncIteration
        shaped: list[ReplyEvent] = []
        while not shaped:
            if (words := self._stages.repair) is not None:
                await self._ask_again(words)
            shaped = self._shape(await self._next_batch())
        self._call.trace.take(shaped)
        return shaped

    async def _ask_again(self, words: str) -> None:
        clock = asyncio.get_running_loop().time
        began_at = clock()
        self._events = await self._reply.again(words)
        self._call.trace.spend("repair", clock() - began_at)

    async def open_next(self, refusal: GatewayError | None) -> None:
        """Open the next upstream that serves the chat. Raise the refusal if there is none."""
        for candidate in self._candidates:
            abilities = await candidate.upstream.abilities(candidate.chat, self._call)
            if abilities is None or not _may_follow(candidate, abilities, refusal):
                continue
            try:
                if tells_calls(candidate.chat, abilities):
                    await candidate.upstream.prove(self._call)  # A stranger gets no work for nothing.
                await self._open(candidate, await with_pauses(self._planner(candidate.chat, abilities)))
            except GatewayError as error:
                if candidate.is_fallback and refusal is not None:
                    raise refusal from error  # The caller asked the first upstream: its reason says more.
                refusal = error
                continue
            self._note(candidate, refusal)
            return
        raise refusal or NoAccountAvailable("No upstream of this gateway serves this model.")

    async def _open(self, candidate: Candidate, planned: Planned) -> None:
        require_room(planned.chat)  # Calls and results take more room as text.
        opening = candidate.upstream.open(planned.chat, self._call, patience_s=self._patience_s)
        async with _counted(planned.prompt):
            self._reply = await self._opened.enter_async_context(opening)
        self._stages, self._events = planned.stages, self._reply.events

    def _note(self, candidate: Candidate, refusal: GatewayError | None) -> None:
        self._answering = candidate
        self._call.trace.upstream = candidate.upstream.name
        if candidate.is_fallback and refusal is not None:
            self.fallback = refusal.code
            self._call.trace.fallback = refusal.code

    async def _next_batch(self) -> Batch:
        while True:
            try:
                return await anext(self._events)
            except GatewayError as refusal:
                if self._has_content:
                    raise
                await self._opened.aclose()
                await self.open_next(refusal)

    def _shape(self, events: Batch) -> list[ReplyEvent]:
        self._chars += _chars_of(events)
        if self._chars > MAX_REPLY_CHARS:
            self._has_ended = True
            return [Failed(UpstreamProtocolError("The upstream's answer has no end."))]
        shaped = self._stages.feed(events)
        if shaped:
            self._has_content = self._has_content or any(isinstance(event, Content) for event in shaped)
            self._has_ended = isinstance(shaped[-1], Finished | Failed)
        return shaped


def _chars_of(events: Batch) -> int:
    chars = 0
    for event in events:
        match event:
            case TextDelta() | ReasoningDelta():
                chars += len(event.text)
            case ToolCallDelta():
                chars += len(event.arguments) + (OTHER_EVENT_CHARS if event.id else 0)
            case Started() | Finished() | Failed():
                pass  # There is one.
            case _:
                chars += OTHER_EVENT_CHARS
    return chars


def _may_follow(candidate: Candidate, abilities: Abilities, refusal: GatewayError | None) -> bool:
    """Tell whether a candidate may answer after the refusal of the one before it."""
    if refusal is None:
        return not candidate.is_fallback
    if not candidate.is_fallback:
        return refusal.retry != "never"
    return isinstance(refusal, _PASSING) and _takes_all(candidate.chat, abilities)


_PASSING = (Throttled, AccountRefused, NoAccountAvailable, UpstreamError)
"""The account cannot answer. Every other refusal is about the request, and no other model changes that."""


def _takes_all(chat: ChatRequest, abilities: Abilities) -> bool:
    """Tell whether the upstream takes the images and files of the chat."""
    parts = [part for message in chat.messages for part in message.parts]
    has_images = any(isinstance(part, ImagePart) for part in parts)
    has_files = any(isinstance(part, FilePart) for part in parts)
    return (abilities.images or not has_images) and (abilities.files or not has_files)


@asynccontextmanager
async def _counted(prompt: PromptCount | None) -> AsyncIterator[None]:
    """Count a long prompt while the upstream is asked, with the loop's other work in between."""
    if prompt is None or not prompt.is_long:
        yield  # The stages count it at the end of the reply: the answer does not wait for that.
        return
    async with beside(_count(prompt)):
        yield
    await _count(prompt)


async def _count(prompt: PromptCount) -> None:
    for _ in prompt.steps():
        await asyncio.sleep(0)
