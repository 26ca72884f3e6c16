"""A reply of the official API: attempt after attempt until one answers, then that stream's events."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from time import time

import msgspec

from lib.chat.events import Content, Failed, Finished, Notice, ReplyEvent, Started, TextDelta, Usage
from lib.chat.request import ChatRequest, Message, TextPart
from lib.errors import ConversationNotFound, GatewayError, UpstreamRejected
from lib.receiving import UpstreamStream
from lib.tasks import run_to_end, start
from lib.upstreams.beginning import end_first, wait_for_first
from lib.upstreams.interface import Call
from lib.upstreams.official.decoder import Decoder
from lib.upstreams.official.gateway import OfficialGateway, keys_of
from lib.upstreams.official.wire.body import CHAT, Written, write_body
from lib.upstreams.official.wire.keys import Key
from lib.upstreams.official.wire.models import Target, thinks_hard
from lib.upstreams.official.wire.ring import Terms
from lib.upstreams.silence import Silence, stop_time

UNREADABLE_SCHEMA = 1234


@asynccontextmanager
async def open_reply(
    gateway: OfficialGateway, chat: ChatRequest, call: Call, *, patience_s: float | None = None
) -> AsyncIterator[Reply]:
    """Begin a reply. Enter when its first content is there, or `patience_s` after the API accepted.

    Raises the refusal. At the end the stream is closed and the key's place given back, also if the caller is
    cancelled.
    """
    if chat.conversation_id:
        raise ConversationNotFound("The official API keeps no conversations: send all messages.")
    reply = Reply(gateway, chat, call)
    try:
        await reply.begin(patience_s)
        yield reply
    finally:
        await run_to_end(reply.close())


class Turn:
    """One stream of the API."""

    def __init__(self, stream: UpstreamStream, decoder: Decoder) -> None:
        self.decoder = decoder
        self.text: list[str] = []
        self._stream = stream

    async def read(self, until: float) -> list[ReplyEvent]:
        """Return the events of one read. Raise TimeoutError if nothing comes until then."""
        piece = await self._stream.read(until)
        events = self.decoder.feed(piece) if piece else self.decoder.end()
        for event in events:
            if type(event) is TextDelta:
                self.text.append(event.text)
        return events

    async def aclose(self) -> None:
        await self._stream.aclose()


class Reply:
    """The batches of neutral events that answer one chat; the last one ends in Finished or Failed."""

    def __init__(self, gateway: OfficialGateway, chat: ChatRequest, call: Call) -> None:
        self.ended = False
        self._gateway = gateway
        self._chat = chat
        self._call = call
        self._keys = keys_of(call.caller)
        self._target: Target = gateway.target(chat, self._keys)
        self._written: Written = write_body(chat, self._target, gateway.region)
        settings = gateway.settings
        is_hard = thinks_hard(self._target.model, self._target.effort)
        self._silence = Silence(
            first_content_s=settings.thinking_timeout_s if is_hard else settings.first_content_timeout_s,
            idle_s=settings.idle_timeout_s,
            stop_at=None if call.deadline_at is None else stop_time(call.deadline_at),
        )
        self._opened = AsyncExitStack()
        self._turn: Turn | None = None
        self._key: Key | None = None
        """The key with which the API has accepted the chat."""
        self._spent = Usage(0, 0)
        """The usage of the turns before this one."""
        self._begun: list[ReplyEvent] = []
        """The first events of a second turn."""
        self._first: asyncio.Task[list[ReplyEvent]] | None = None
        self._accepted = asyncio.get_running_loop().create_future()

    @property
    def started(self) -> Started:
        """The key and the model that answer, as far as they are known."""
        label = self._key.label if self._key else ""
        if self._turn is None:
            return Started("", self._target.model.id, label)
        decoder = self._turn.decoder
        return Started(decoder.id, decoder.model or self._target.model.id, label)

    @property
    def events(self) -> Reply:
        return self

    async def again(self, words: str) -> Reply:
        """Ask once more, with the answer so far and these words behind the messages."""
        said = "".join(self._turn.text) if self._turn else ""
        asked = Message("user", (TextPart(words),))
        more = (Message("assistant", (TextPart(said),)), asked) if said.strip() else (asked,)
        self._chat = msgspec.structs.replace(self._chat, messages=(*self._chat.messages, *more))
        self._written = write_body(self._chat, self._target, self._gateway.region)
        await self._close_turn()
        self.ended = False
        self._begun = await self._open_turn()
        return self

    def __aiter__(self) -> Reply:
        return self

    async def __anext__(self) -> list[ReplyEvent]:
        """Return the next batch as soon as there is one, one batch to each read of the stream."""
        if self._first is not None:
            first, self._first = self._first, None
            events = await first
            return [self.started, *self._noticed(), *events]
        if self._begun:
            begun, self._begun = self._begun, []
            return begun
        if self.ended:
            raise StopAsyncIteration
        while not (events := await self._read(self._current)):
            pass
        return events

    async def begin(self, patience_s: float | None) -> None:
        """Wait for the first content, at most as `wait_for_first` says."""
        # A task of its own: it goes on after the stream has begun.
        self._first = start(self._open_turn())
        await wait_for_first(self._first, self._accepted, patience_s)

    async def close(self) -> None:
        await end_first(self._first)
        self._call.trace.model = self.started.model
        await self._close_turn()

    @property
    def _current(self) -> Turn:
        assert self._turn is not None, "the reply has not begun"
        return self._turn

    def _noticed(self) -> list[ReplyEvent]:
        return [Notice(notice) for notice in self._written.notices]

    async def _open_turn(self) -> list[ReplyEvent]:
        """Ask until an attempt begins to answer; return its events up to the first content."""
        terms = Terms(model=self._target.model.id, trace=self._call.trace, until=self._silence.stop_at)
        opening = self._gateway.ring.opened(self._keys, self._try_once, terms)
        try:
            turn, events = await self._opened.enter_async_context(opening)
        except UpstreamRejected as error:
            raise self._explained(error) from error
        self._turn = turn
        return events

    def _explained(self, error: GatewayError) -> GatewayError:
        """A schema is the likely cause of 1234, if the request has tools."""
        has_schema = bool(self._chat.tools) and self._target.model.has_tools
        if error.number != UNREADABLE_SCHEMA or not has_schema:
            return error
        hint = "The JSON schema of a tool may be more than the model can read."
        return UpstreamRejected(f"{error.message} {hint}", retry=error.retry).numbered(
            error.number, error.http_status
        )

    async def _try_once(self, key: Key) -> tuple[Turn, list[ReplyEvent]]:
        """Read up to the first content with this key; return it with everything before it."""
        clock = asyncio.get_running_loop().time
        began_at = clock()
        self._silence.begin(began_at)
        turn: Turn | None = None
        try:
            turn = await self._asked(key)
            events: list[ReplyEvent] = []
            while not (self.ended or any(isinstance(event, Content) for event in events)):
                events += await self._read(turn)
            if isinstance(events[-1], Failed) and not any(isinstance(event, Content) for event in events):
                self.ended = False
                raise events[-1].error
        except BaseException:
            if turn is not None:
                await turn.aclose()
            raise
        finally:
            self._call.trace.spend("first", clock() - began_at)
        return turn, events

    async def _asked(self, key: Key) -> Turn:
        body = {**self._written.body, "request_id": uuid.uuid4().hex}
        try:
            async with asyncio.timeout_at(self._silence.until):
                stream = await self._gateway.api.open_stream(
                    key, CHAT, body, on_acceptance=lambda: self._note_acceptance(key)
                )
        except TimeoutError:
            ending = self._silence.ending()
            assert isinstance(ending, Failed), "nothing was said yet"
            raise ending.error from None
        return Turn(stream, Decoder(now=time(), may_box=self._target.model.sees))

    async def _read(self, turn: Turn) -> list[ReplyEvent]:
        try:
            events = await turn.read(self._silence.until)
        except TimeoutError:
            events = turn.decoder.conclude_if_finished() or [self._silence.ending()]
        except GatewayError as error:
            events = turn.decoder.conclude_if_finished() or [Failed(error)]
        self._silence.hear(events, asyncio.get_running_loop().time())
        if events and isinstance(last := events[-1], Finished | Failed):
            self.ended = True
            if isinstance(last, Finished):
                events[-1] = self._with_all_usage(last)
        return events

    def _note_acceptance(self, key: Key) -> None:
        self._key = key
        if not self._accepted.done():
            self._accepted.set_result(None)

    def _with_all_usage(self, ending: Finished) -> Finished:
        spent, now = self._spent, ending.usage
        self._spent = Usage(
            spent.prompt_tokens + now.prompt_tokens,
            spent.completion_tokens + now.completion_tokens,
            spent.reasoning_tokens + now.reasoning_tokens,
            spent.cached_tokens + now.cached_tokens,
        )
        return msgspec.structs.replace(ending, usage=self._spent)

    async def _close_turn(self) -> None:
        """Close the stream, and give the key's place back."""
        try:
            if self._turn is not None:
                await self._turn.aclose()
        finally:
            await self._opened.aclose()
