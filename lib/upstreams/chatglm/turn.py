"""One generation on one leased account: asked for, read, and brought to its end."""

from __future__ import annotations

import asyncio
import logging
from enum import Enum
from typing import TYPE_CHECKING

import msgspec

from lib.chat.events import Failed, Finished, ReplyEvent
from lib.errors import GatewayError, UpstreamProtocolError
from lib.receiving import UpstreamStream
from lib.tasks import start
from lib.upstreams.chatglm.accounts.client import LeasedAccount
from lib.upstreams.chatglm.clean_up import TurnLimits
from lib.upstreams.chatglm.decoder.stream import ReplyDecoder
from lib.upstreams.chatglm.wire.client import ChatGLM, Tap
from lib.upstreams.chatglm.wire.models import Target

if TYPE_CHECKING:
    from lib.upstreams.chatglm.files import RequestFiles

log = logging.getLogger("glm_gateway")


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One chat turn, as the upstream understands it."""

    prompt: str
    target: Target
    files: RequestFiles | None = None
    conversation_id: str = ""
    expects_calls: bool = False


class State(Enum):
    """How far a turn has come."""

    PREPARING = "The account gets the files; the upstream was not asked for an answer."
    ASKED = "The request is on its way; the upstream has not accepted it."
    GIVEN_UP = "The reader's patience ended before the upstream accepted."
    RUNNING = "The upstream has accepted, and generates."
    OVER = "The upstream has ended its answer, or refused."


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """The work that the end of a turn owes in one state."""

    cancel: bool = False
    """Cancel the request."""
    wait: bool = False
    """Wait for acceptance: the id of a conversation comes with it, and it can be deleted then."""
    note: bool = False
    """Note that a generation may go on up there: it cannot be stopped without an id."""
    stop: bool = False
    """Ask the upstream to stop."""
    drain: bool = False
    """Read to the close: only then is the generation over up there, and the connection free again."""


OWED = {
    State.PREPARING: Owed(cancel=True),
    State.ASKED: Owed(wait=True),
    State.GIVEN_UP: Owed(cancel=True, note=True),
    State.RUNNING: Owed(stop=True, drain=True),
    State.OVER: Owed(drain=True),
}


class Turn:
    """Owned by one exchange; `end` must be run to its end."""

    def __init__(self, leased: LeasedAccount, ask: Ask, tap: Tap | None = None) -> None:
        self.decoder = ReplyDecoder(
            continues_conversation=bool(ask.conversation_id), expects_calls=ask.expects_calls
        )
        self._leased = leased
        self._ask = ask
        self._tap = tap
        self._asked = asyncio.get_running_loop().create_future()
        self._has_given_up = False
        self._stream: UpstreamStream | None = None
        self._is_whole = True
        """No read was cut in two: the rest of the stream can be read."""
        # A task of its own: a client that leaves now must not take the conversation's id with it.
        self._opening: asyncio.Task[list[ReplyEvent]] | None = start(self._open())

    @property
    def state(self) -> State:
        if self.decoder.upstream_ended or (self._opening and self._opening.done() and not self._stream):
            return State.OVER
        if self.decoder.accepted:
            return State.RUNNING
        if self._has_given_up:
            return State.GIVEN_UP
        return State.ASKED if self._asked.done() else State.PREPARING

    async def files_uploaded(self) -> None:
        """Return when the account has the files, or cannot get them: then `read` raises the reason."""
        assert self._opening is not None
        await asyncio.wait({self._opening, self._asked}, return_when=asyncio.FIRST_COMPLETED)

    async def read(self, until: float | None) -> list[ReplyEvent]:
        """Return the next events. At `until` (loop time) raise TimeoutError instead.

        The first batch comes with acceptance and may be empty.
        """
        if self._opening is not None:
            return await self._first(self._opening, until)
        try:
            return await self._read_upstream(until)
        except BaseException:
            self._is_whole = False
            raise

    def interrupt(self, ending: Finished | Failed) -> list[ReplyEvent]:
        """End the reply here, with everything that the decoder held back."""
        told = self.decoder.conclude() if isinstance(ending, Finished) else self.decoder.interrupt()
        return [*told, ending]

    async def end(self, limits: TurnLimits) -> None:
        """Do the work that the state of the turn owes, and close its stream. The caller bounds the time."""
        owed = OWED[self.state]
        await self._settle(owed, limits)
        if owed.wait:
            owed = OWED[self.state]
        if self._stream is None:
            return
        try:
            # A generation that goes on up there has no end to wait for.
            will_end = not owed.stop or await self._stop(limits)
            if owed.drain and will_end and self._is_whole:
                await self._drain(self._stream, limits)
        finally:
            await self._stream.aclose()

    async def _first(self, opening: asyncio.Task[list[ReplyEvent]], until: float | None) -> list[ReplyEvent]:
        timeout = None if until is None else max(0.0, until - asyncio.get_running_loop().time())
        if not (await asyncio.wait({opening}, timeout=timeout))[0]:
            self._has_given_up = True
            raise TimeoutError
        events = opening.result()
        self._opening = None
        return events

    async def _open(self) -> list[ReplyEvent]:
        """Ask, and read until the upstream has begun; return the events that came with that."""
        ask = self._ask
        files = () if ask.files is None else await ask.files.uploaded_to(self._leased)
        self._asked.set_result(None)
        self._stream = await self._leased.begin(
            ChatGLM.start_chat, ask.prompt, ask.target, ask.conversation_id, files, tap=self._tap
        )
        early: list[ReplyEvent] = []
        while not self.decoder.accepted and not self.decoder.ended:
            early += await self._read_upstream()
        return early

    async def _read_upstream(self, until: float | None = None) -> list[ReplyEvent]:
        assert self._stream is not None
        try:
            data = await self._stream.read(until)
            return self.decoder.feed(data) if data else self.decoder.end()
        except GatewayError as error:
            self._is_whole = False
            return [*self.decoder.interrupt(), Failed(error)]

    async def _settle(self, owed: Owed, limits: TurnLimits) -> None:
        """Bring the request to its acceptance, or to its end."""
        if self._opening is None:
            return
        if owed.cancel:
            self._opening.cancel()
            self._is_whole = False
        if owed.note:
            await self._leased.note_generation()
        try:
            async with asyncio.timeout(limits.accept_s):
                await self._opening
        except GatewayError:
            pass  # `read` has raised it, or no reader is left.
        except TimeoutError:
            await self._leased.note_generation()
        except asyncio.CancelledError:
            if not owed.cancel:
                raise

    async def _stop(self, limits: TurnLimits) -> bool:
        history_id, account = self.decoder.history_id, self._leased.account
        try:
            if not history_id:
                raise UpstreamProtocolError("The upstream gave its answer no id.")
            async with asyncio.timeout(limits.stop_s):
                await self._leased.call(ChatGLM.stop, history_id)
        except (GatewayError, TimeoutError) as error:
            why = error.summary if isinstance(error, GatewayError) else "no answer"
            log.warning("generation not stopped", extra={"error": why, "account": account.label})
            await self._leased.note_generation()
            return False
        return True

    async def _drain(self, stream: UpstreamStream, limits: TurnLimits) -> None:
        try:
            async with asyncio.timeout(limits.drain_s):
                while await stream.read():
                    pass
        except (GatewayError, TimeoutError):
            pass  # It is closed all the same.
