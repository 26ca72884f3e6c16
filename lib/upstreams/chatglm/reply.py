"""Answering a chat request: on which account, how long, what to try again, and how it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from lib.chat.caller import Caller
from lib.chat.events import Content, Failed, Finished, ReplyEvent, Started
from lib.chat.request import ChatRequest
from lib.errors import (
    GatewayError,
    UpstreamTimeout,
)
from lib.settings import Settings
from lib.tasks import run_to_end
from lib.trace import current_trace
from lib.upstreams.chatglm.accounts.callers import accounts_of
from lib.upstreams.chatglm.accounts.client import LeasedAccount
from lib.upstreams.chatglm.accounts.rotation import Rotation
from lib.upstreams.chatglm.conversations import addressed, labelled
from lib.upstreams.chatglm.gateway import Gateway, gateway_of
from lib.upstreams.chatglm.prompt import attachments, merge, new_messages
from lib.upstreams.chatglm.turn import Ask, Turn
from lib.upstreams.chatglm.wire.models import names_unknown_model, resolve

if TYPE_CHECKING:
    from lib.upstreams.chatglm.files import RequestFiles
    from lib.upstreams.chatglm.wire.drawing import Drawing

LONGEST_SILENCE_S = 45.0
"""After that a stream begins although nothing has accepted yet: nginx gives up on a silent upstream after
60 s, and to wait for an account and then for a model can take longer."""

DEADLINE_MARGIN_S = 10.0
"""Left of the host's time for the last words and the clean-up; a tenth of it where that is less."""

log = logging.getLogger("glm_gateway")


@asynccontextmanager
async def open_reply(
    request: ChatRequest,
    caller: Caller,
    settings: Settings,
    *,
    deadline_at: float | None = None,
    patience_s: float | None = None,
    drawing: Drawing | None = None,
) -> AsyncIterator[Reply]:
    """Begin a reply; it has begun when its first content is there, or soon after the upstream accepted.

    Raises what refuses it. At the end everything that the upstream holds for it is ended and cleaned up,
    also when the caller is cancelled. `deadline_at` is when the host ends the request, in the loop's time.
    """
    reply = Reply(gateway_of(settings), request, caller, deadline_at=deadline_at, drawing=drawing)
    try:
        await reply.begin(patience_s)
        yield reply
    finally:
        await run_to_end(reply.close())


class Reply:
    """The batches of neutral events that answer one request, the last one ending in Finished or Failed."""

    def __init__(
        self,
        gateway: Gateway,
        request: ChatRequest,
        caller: Caller,
        *,
        deadline_at: float | None,
        drawing: Drawing | None = None,
    ) -> None:
        self.ended = False
        self._trace = current_trace()
        self._gateway = gateway
        self._settings = gateway.settings
        self._request = request
        self._caller = caller
        self._drawing = drawing
        # Pictures take longer than words.
        self._first_content_s = (
            self._settings.first_content_timeout_s
            if drawing is None
            else max(self._settings.first_content_timeout_s, self._settings.idle_timeout_s)
        )
        self._deadline_at = deadline_at
        self._stop_at = None if deadline_at is None else stop_time(deadline_at)
        self._accounts = accounts_of(caller)
        self._conversation_id, self._candidates = addressed(request.conversation_id or "", self._accounts)
        self._files: RequestFiles | None = None
        self._turn: Turn | None = None
        self._first: asyncio.Task[list[ReplyEvent]] | None = None
        self._accepted = asyncio.Event()
        self._has_content = False
        self._quiet_until = 0.0

    @property
    def started(self) -> Started:
        """The account and the model that answer, as far as they are known."""
        return Started(self.id, self.served_model, self.account_label)

    @property
    def events(self) -> Reply:
        return self

    async def again(self, words: str) -> AsyncIterator[list[ReplyEvent]]:
        raise NotImplementedError(words)

    @property
    def id(self) -> str:
        """The answer's id: names the conversation and, if the caller has several accounts, its account."""
        if self._turn is None:
            return ""
        return labelled(self._turn.conversation_id, self.account_label, self._accounts)

    @property
    def account_label(self) -> str:
        """The account that answers; empty while none does."""
        return self._turn.account.label if self._turn is not None else ""

    @property
    def served_model(self) -> str:
        return self._turn.served_model if self._turn is not None else ""

    @property
    def _current(self) -> Turn:
        assert self._turn is not None, "the reply has not begun"
        return self._turn

    def __aiter__(self) -> Reply:
        return self

    async def __anext__(self) -> list[ReplyEvent]:
        """Return the next batch as soon as there is one, one batch to each read of the upstream."""
        if self._first is not None:
            first, self._first = self._first, None
            return [self.started, *(await first)]
        if self.ended:
            raise StopAsyncIteration
        while not (events := await self._read()):
            pass
        return events

    async def begin(self, patience_s: float | None) -> None:
        """Wait for the first content; with `patience_s` no longer than that after the upstream accepted.

        Nor, with it, longer than a proxy does: from then on the stream's heartbeats speak for it.
        """
        self._first = asyncio.ensure_future(self._first_content())
        if patience_s is not None:
            accepted = asyncio.ensure_future(self._accepted.wait())
            try:
                await asyncio.wait(
                    {self._first, accepted}, timeout=LONGEST_SILENCE_S, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                accepted.cancel()
        await asyncio.wait({self._first}, timeout=patience_s)
        if self._first.done():
            self._first.result()

    async def close(self) -> None:
        if self._first is not None:
            self._first.cancel()
            await asyncio.wait({self._first})
            if not self._first.cancelled():
                self._first.exception()  # it was raised by `begin`, or nobody is left to be told
        self._trace.model = self.served_model
        try:
            if self._turn is not None:
                await self._turn.close(self._deadline_at)
        finally:
            if self._files is not None:
                await self._files.aclose()

    async def _first_content(self) -> list[ReplyEvent]:
        """Try account after account until one begins to answer."""
        try:
            async with asyncio.timeout_at(self._stop_at):
                self._candidates = await self._gateway.proofs.proven(self._candidates, self._caller)
        except TimeoutError:
            raise UpstreamTimeout("The host ends this request before its tokens have been tried.") from None
        ask = await self._ask()
        if ask.files is not None:
            await self._in_time(ask.files.fetch())
        rotation = self._gateway.rotation(self._candidates, self._caller, until=self._stop_at)
        while True:
            leased = await self._leased(rotation)
            try:
                events = await self._try_once(ask, leased)
            except GatewayError as raised:
                refusal = await self._give_back(raised)
                await rotation.go_on(leased.account, refusal)
            else:
                if not isinstance(events[-1], Failed):  # what it fails with may be a throttle, noted just now
                    await leased.note_success()
                return events

    async def _leased(self, rotation: Rotation) -> LeasedAccount:
        asked_at = asyncio.get_running_loop().time()
        try:
            return await rotation.lease()
        finally:
            self._trace.spend("wait", asyncio.get_running_loop().time() - asked_at)

    async def _try_once(self, ask: Ask, leased: LeasedAccount) -> list[ReplyEvent]:
        """Read up to the first content on this account, which is returned with all before it."""
        loop = asyncio.get_running_loop()
        self._turn = turn = Turn(self._gateway, leased, ask)
        if ask.files is not None:
            await self._in_time(turn.files_uploaded())
        began_at = loop.time()
        self._quiet_until = began_at + self._first_content_s
        events: list[ReplyEvent] = []
        try:
            while not self._has_content and not self.ended:
                events += await self._read()
        finally:
            self._trace.spend("token", turn.token_s)
            self._trace.spend("first", loop.time() - began_at)
        if events and isinstance(events[-1], Failed) and not any(isinstance(e, Content) for e in events):
            self.ended = False
            raise events[-1].error
        return events

    async def _in_time(self, work: Awaitable[None]) -> None:
        """Await what is done to the request's files: of that, silence is no sign; only the host's end is."""
        began_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(self._stop_at):
                await work
        except TimeoutError:
            raise UpstreamTimeout(
                "The host ends this request before its files have been passed on."
            ) from None
        finally:
            self._trace.spend("files", asyncio.get_running_loop().time() - began_at)

    async def _read(self) -> list[ReplyEvent]:
        turn = self._current
        loop = asyncio.get_running_loop()
        until = self._quiet_until
        if self._stop_at is not None:
            until = min(until, self._stop_at)
        heard = turn.heard
        try:
            events = await turn.read(until)
        except TimeoutError:
            events = turn.interrupt(self._ending(at_deadline=until == self._stop_at))
        if turn.accepted:
            self._accepted.set()
        if turn.heard != heard:  # thoughts that the client is spared are no silence
            self._quiet_until = loop.time() + self._settings.idle_timeout_s
        if events:
            self._has_content = self._has_content or any(isinstance(event, Content) for event in events)
        self.ended = turn.ended
        if self.ended and self._has_content and isinstance(events[-1], Failed):
            await turn.leased.note(events[-1].error)
        return events

    def _ending(self, *, at_deadline: bool) -> Finished | Failed:
        if at_deadline and self._has_content:
            return Finished("length")
        if at_deadline:
            return Failed(
                UpstreamTimeout("The host ends this request before the upstream has said anything.")
            )
        if self._has_content:
            silence_s = self._settings.idle_timeout_s
            return Failed(UpstreamTimeout(f"The upstream fell silent for {silence_s:g} s in mid-answer."))
        return Failed(UpstreamTimeout(f"The upstream said nothing for {self._first_content_s:g} s."))

    async def _ask(self) -> Ask:
        request, settings = self._request, self._settings
        models = self._gateway.models.known(self._accounts)
        if names_unknown_model(request.model, models):
            models = await self._gateway.models.offered(self._accounts)
        target = resolve(
            request,
            known=models,
            default_model=settings.default_model,
            default_web_search=settings.web_search,
        )
        if self._drawing is not None:
            target = msgspec.structs.replace(target, drawing=self._drawing)
        messages = new_messages(request.messages) if self._conversation_id else request.messages
        if parts := attachments(messages):
            from lib.upstreams.chatglm.files import (
                RequestFiles,  # with all that it fetches by, 10 ms of a cold start
            )

            self._files = RequestFiles(self._gateway, parts, target.agent_id)
        return Ask(
            prompt=merge(messages),
            target=target,
            files=self._files,
            conversation_id=self._conversation_id,
            keeps_conversation=request.keeps_conversation,
        )

    async def _give_back(self, error: GatewayError) -> GatewayError:
        """End the turn that failed; return why it failed, as far as its account tells."""
        turn = self._current
        self._trace.refused(error)
        noted = await turn.leased.recover(error)  # cancelled here, the turn is left for `close`
        self._turn = None
        await run_to_end(turn.close(self._deadline_at))
        return noted


def stop_time(deadline_at: float) -> float:
    """Return when to stop the upstream, so that the last words and the clean-up are done by the deadline."""
    left_s = deadline_at - asyncio.get_running_loop().time()
    return deadline_at - min(DEADLINE_MARGIN_S, left_s / 10)
