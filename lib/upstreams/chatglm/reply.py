"""A reply of chatglm.cn: account after account until one answers, then that account's events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from lib.chat.events import Content, Failed, Finished, ReplyEvent, Started
from lib.chat.request import ChatRequest
from lib.errors import GatewayError, UpstreamTimeout
from lib.tasks import run_to_end, start
from lib.upstreams.beginning import end_first, wait_for_first
from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.chatglm.accounts.client import LeasedAccount
from lib.upstreams.chatglm.accounts.rotation import Rotation
from lib.upstreams.chatglm.asking import Asking
from lib.upstreams.chatglm.exchange import Exchange
from lib.upstreams.chatglm.gateway import Gateway
from lib.upstreams.chatglm.turn import Ask
from lib.upstreams.interface import Call
from lib.upstreams.silence import Silence, stop_time

if TYPE_CHECKING:
    from lib.upstreams.chatglm.captures import Captures
    from lib.upstreams.chatglm.files import RequestFiles
    from lib.upstreams.chatglm.wire.drawing import Drawing

T = TypeVar("T")

AHEAD_S = 25.0
"""So much of the host's time must be left for a refresh ahead, which takes at most 22 s. A host that cuts a
refresh off costs the login."""


@asynccontextmanager
async def open_reply(
    gateway: Gateway,
    chat: ChatRequest,
    call: Call,
    *,
    patience_s: float | None = None,
    drawing: Drawing | None = None,
) -> AsyncIterator[Reply]:
    """Begin a reply. Enter when its first content is there, or `patience_s` after the upstream accepted.

    Raises the refusal. At the end everything that the upstream holds for the reply is ended and cleaned up,
    also if the caller is cancelled.
    """
    if call.caller.is_owner or call.caller.refresh_tokens:
        gateway.upstream.open_ahead()
    accounts = await gateway.accounts(call.caller, conversation_id=chat.conversation_id or "")
    reply = Reply(gateway, chat, call, accounts, drawing=drawing)
    try:
        await reply.begin(patience_s)
        yield reply
    finally:
        await run_to_end(reply.close())


class Reply:
    """The batches of neutral events that answer one chat; the last one ends in Finished or Failed."""

    def __init__(
        self,
        gateway: Gateway,
        chat: ChatRequest,
        call: Call,
        accounts: tuple[Account, ...],
        *,
        drawing: Drawing | None = None,
    ) -> None:
        self.ended = False
        self._gateway = gateway
        self._call = call
        self._asking = Asking(gateway, chat, accounts, drawing)
        settings = gateway.settings
        first_content_s = settings.first_content_timeout_s
        self._silence = Silence(
            # Pictures take longer than words.
            first_content_s=max(first_content_s, settings.idle_timeout_s) if drawing else first_content_s,
            idle_s=settings.idle_timeout_s,
            stop_at=None if call.deadline_at is None else stop_time(call.deadline_at),
        )
        self._files: RequestFiles | None = None
        self._exchange: Exchange | None = None
        self._closing: list[asyncio.Task[None]] = []
        """The ends of the exchanges that failed. The next account is asked meanwhile."""
        self._first: asyncio.Task[list[ReplyEvent]] | None = None
        self._accepted = asyncio.get_running_loop().create_future()

    @property
    def started(self) -> Started:
        """The account and the model that answer, as far as they are known."""
        exchange = self._exchange
        if exchange is None:
            return Started("", "")
        label = exchange.leased.account.label
        answer_id = self._asking.id_of(exchange.conversation_id, label)
        return Started(answer_id, exchange.served_model, label)

    @property
    def events(self) -> Reply:
        return self

    async def again(self, words: str) -> Reply:
        """Stop this turn and ask once more: same account, same conversation, same lease."""
        await self._current.again(words)
        self.ended = False
        self._silence.begin(asyncio.get_running_loop().time())
        return self

    def __aiter__(self) -> Reply:
        return self

    async def __anext__(self) -> list[ReplyEvent]:
        """Return the next batch as soon as there is one, one batch to each read of the upstream."""
        if self._first is not None:
            first, self._first = self._first, None
            events = await first
            return [self.started, *events]
        if self.ended:
            raise StopAsyncIteration
        while not (events := await self._read()):
            pass
        return events

    async def begin(self, patience_s: float | None) -> None:
        """Wait for the first content, at most as `wait_for_first` says."""
        # A task of its own: it goes on after the stream has begun.
        self._first = start(self._first_content())
        await wait_for_first(self._first, self._accepted, patience_s)

    async def close(self) -> None:
        await end_first(self._first)
        self._call.trace.model = self.started.model
        try:
            if self._exchange is not None:
                await self._exchange.close(self._call.deadline_at)
                await self._look_ahead(self._exchange)
        finally:
            for closing in self._closing:
                await closing
            if self._files is not None:
                await self._files.aclose()

    async def _look_ahead(self, exchange: Exchange) -> None:
        """After the last word: spare the next request some work, if the host leaves enough time for it."""
        deadline_at = self._call.deadline_at
        if deadline_at is None or deadline_at - asyncio.get_running_loop().time() >= AHEAD_S:
            await exchange.leased.renew_ahead()
            await self._asking.look_ahead()

    @property
    def _current(self) -> Exchange:
        assert self._exchange is not None, "the reply has not begun"
        return self._exchange

    async def _first_content(self) -> list[ReplyEvent]:
        """Try account after account until one begins to answer."""
        proven = self._gateway.proofs.proven(self._asking.candidates, self._call.caller)
        candidates = await self._in_time(proven, "before its tokens have been tried")
        ask = self._asking.ask()
        self._files = ask.files
        if ask.files is not None:
            await self._files_in_time(ask.files.fetch())
        rotation = self._gateway.rotation(
            candidates,
            self._call.caller,
            until=self._silence.stop_at,
            conversation_id=self._asking.conversation_id,
        )
        while True:
            leased = await self._leased(rotation)
            aimed = await self._aimed(ask, leased)
            try:
                events = await self._try_once(aimed, leased)
            except GatewayError as raised:
                refusal = await self._give_back(raised)
                await rotation.go_on(leased.account, refusal)
            else:
                if not isinstance(events[-1], Failed):  # That may be a throttle, and was noted just now.
                    await leased.note_success()
                return events

    async def _leased(self, rotation: Rotation) -> LeasedAccount:
        asked_at = asyncio.get_running_loop().time()
        try:
            return await rotation.lease()
        finally:
            self._call.trace.spend("wait", asyncio.get_running_loop().time() - asked_at)

    async def _aimed(self, ask: Ask, leased: LeasedAccount) -> Ask:
        try:
            return await self._in_time(self._asking.aimed(ask), "before its models have been listed")
        except BaseException:  # There is no exchange yet that would give the lease back.
            await run_to_end(leased.release())
            raise

    async def _try_once(self, ask: Ask, leased: LeasedAccount) -> list[ReplyEvent]:
        """Read up to the first content on this account; return it with everything before it."""
        clock, trace = asyncio.get_running_loop().time, self._call.trace
        keeps = self._asking.keeps_conversation
        exchange = Exchange(
            leased,
            ask,
            keeps_conversation=keeps,
            captures=_captures(self._gateway),
            limits=self._gateway.clean_up,
        )
        self._exchange = exchange
        if ask.files is not None:
            await self._files_in_time(exchange.turn.files_uploaded())
        began_at = clock()
        self._silence.begin(began_at)
        events: list[ReplyEvent] = []
        try:
            while not self._silence.has_content and not self.ended:
                events += await self._read()
        finally:
            trace.spend("token", leased.token_s)
            trace.spend("first", clock() - began_at)
        if events and isinstance(events[-1], Failed) and not any(isinstance(e, Content) for e in events):
            self.ended = False
            raise events[-1].error
        return events

    async def _read(self) -> list[ReplyEvent]:
        exchange = self._current
        try:
            events = await exchange.turn.read(self._silence.until)
        except TimeoutError:
            events = exchange.interrupt(self._silence.ending())
        if exchange.turn.decoder.accepted and not self._accepted.done():
            self._accepted.set_result(None)
        self._silence.hear(events, asyncio.get_running_loop().time())
        self.ended = bool(events) and isinstance(events[-1], Finished | Failed)
        if self.ended and self._silence.has_content and isinstance(events[-1], Failed):
            await exchange.leased.note(events[-1].error)
        return events

    async def _files_in_time(self, work: Awaitable[None]) -> None:
        """Await work on the request's files. Silence is normal there, and only the host's end matters."""
        began_at = asyncio.get_running_loop().time()
        try:
            await self._in_time(work, "before its files have been passed on")
        finally:
            self._call.trace.spend("files", asyncio.get_running_loop().time() - began_at)

    async def _in_time(self, work: Awaitable[T], what: str) -> T:
        try:
            async with asyncio.timeout_at(self._silence.stop_at):
                return await work
        except TimeoutError:
            raise UpstreamTimeout(f"The host ends this request {what}.") from None

    async def _give_back(self, error: GatewayError) -> GatewayError:
        """End the exchange that failed; return the reason, as far as its account gives one.

        If another account comes next, the end goes on beside it.
        """
        exchange = self._current
        self._call.trace.refused(error)
        refusal = await exchange.leased.recover(error)  # If cancelled here, `close` ends the exchange.
        self._exchange = None
        if refusal.retry == "elsewhere":
            self._closing.append(start(exchange.close(self._call.deadline_at)))
        else:
            await run_to_end(exchange.close(self._call.deadline_at))
        return refusal


def _captures(gateway: Gateway) -> Captures | None:
    """Record the upstream's answers if CAPTURE_DIR says so."""
    if gateway.settings.capture_dir is None:
        return None
    from lib.upstreams.chatglm.captures import Captures, folder_at

    return Captures(folder_at(gateway.settings.capture_dir))
