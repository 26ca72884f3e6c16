"""One generation on one leased account, from its first byte to its clean-up."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from lib.chat.events import Failed, Finished, ReplyEvent
from lib.errors import GatewayError, UpstreamProtocolError, UpstreamTimeout
from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.chatglm.accounts.client import LeasedAccount
from lib.upstreams.chatglm.decoder.stream import ReplyDecoder
from lib.upstreams.chatglm.gateway import Gateway
from lib.upstreams.chatglm.wire.client import ChatGLM, Session
from lib.upstreams.chatglm.wire.models import Target
from lib.upstreams.chatglm.wire.receiving import UpstreamStream

if TYPE_CHECKING:
    from lib.upstreams.chatglm.captures.recording import Captures
    from lib.upstreams.chatglm.files import RequestFiles

ACCEPT_TIMEOUT_S = 5.0
"""How long clean-up waits for the id of a conversation that was asked for; none is deleted without it."""

STOP_TIMEOUT_S = 5.0
"""How long the upstream may take to stop; then the lease is given back, and the conversation deleted."""

DRAIN_TIMEOUT_S = 5.0
"""How long a stopped stream may take to close; the upstream closes it at once."""

CLEAN_UP_TIMEOUT_S = 20.0
"""The whole clean-up; it is done before the invocation ends, and a client does not wait for it."""

DELETE_AGAIN_AFTER_S = 0.5
"""Whatever was wrong may be over by then."""

LEAST_CLEAN_UP_S = 1.0
"""Kept of the host's time for giving the lease back, whatever the upstream does; tried even after its end."""

log = logging.getLogger("glm_gateway")


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One chat turn, as the upstream understands it."""

    prompt: str
    target: Target
    files: RequestFiles | None = None
    conversation_id: str = ""
    keeps_conversation: bool = False


class Turn:
    """Owned by one reply; `close` must be run to its end."""

    def __init__(self, gateway: Gateway, leased: LeasedAccount, ask: Ask) -> None:
        self.leased = leased
        self.ended = False
        """The reply is complete, or has failed: there is nothing more to read."""
        self.heard = 0
        """How many events the upstream has given, those too that are kept from the client."""
        self.token_s = 0.0
        """How long it took to have an access token."""
        self._ask = ask
        self._decoder = ReplyDecoder(continues_conversation=bool(ask.conversation_id))
        self._stream: UpstreamStream | None = None
        self._stream_is_whole = True
        self._keeps_conversation = ask.keeps_conversation
        self._is_open = False
        self._gave_up = False
        self._early: list[ReplyEvent] = []
        self._captures = _captures(gateway)
        self._asking = asyncio.Event()
        # A task of its own: a client that leaves now must not take the conversation's id with it.
        self._opening = asyncio.ensure_future(self._open())

    @property
    def account(self) -> Account:
        return self.leased.account

    @property
    def conversation_id(self) -> str:
        return self._decoder.conversation_id or self._ask.conversation_id

    @property
    def served_model(self) -> str:
        return self._decoder.model or self._ask.target.model

    @property
    def accepted(self) -> bool:
        return self._decoder.accepted

    async def files_uploaded(self) -> None:
        """Return when the files are up there, or could not be: that is told by `read`."""
        asking = asyncio.ensure_future(self._asking.wait())
        try:
            await asyncio.wait({self._opening, asking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asking.cancel()

    async def read(self, until: float | None) -> list[ReplyEvent]:
        """Return the next events, at the latest at `until` (loop time), when `TimeoutError` is raised."""
        if not self._is_open:
            await self._opened(until)
            # At once, also where it is nothing: that the upstream has accepted is worth knowing.
            return self._noted(self._early)
        try:
            async with asyncio.timeout_at(until):
                events = await self._read_upstream()
        except BaseException:
            self._stream_is_whole = False  # a read that is cut in two cannot be taken up again
            raise
        return self._noted(events)

    async def _opened(self, until: float | None) -> None:
        timeout = None if until is None else max(0.0, until - asyncio.get_running_loop().time())
        if not (await asyncio.wait({self._opening}, timeout=timeout))[0]:
            self._gave_up = True
            raise TimeoutError
        self._opening.result()
        self._is_open = True

    def interrupt(self, ending: Finished | Failed) -> list[ReplyEvent]:
        """End the reply here, with all that was held back; a reply cut short keeps its conversation."""
        self._keeps_conversation |= isinstance(ending, Finished)
        told = self._decoder.conclude() if isinstance(ending, Finished) else self._decoder.interrupt()
        return self._noted([*told, ending])

    def _noted(self, events: list[ReplyEvent]) -> list[ReplyEvent]:
        self.heard += len(events)
        if events and isinstance(events[-1], Finished | Failed):
            self.ended = True
        return events

    async def _open(self) -> None:
        """Ask, and read until the upstream has begun; whatever came with that waits in `_early`."""
        ask = self._ask
        files = () if ask.files is None else await ask.files.uploaded_to(self.leased)
        self._asking.set()
        began_at = asyncio.get_running_loop().time()

        async def start(upstream: ChatGLM, session: Session) -> UpstreamStream:
            self.token_s = asyncio.get_running_loop().time() - began_at
            return await upstream.start_chat(
                session, ask.prompt, ask.target, ask.conversation_id, files, tap=self._captures
            )

        self._stream = await self.leased.begin(start)
        while not self._decoder.accepted and not self._decoder.ended:
            self._early += await self._read_upstream()

    async def _read_upstream(self) -> list[ReplyEvent]:
        assert self._stream is not None
        try:
            data = await self._stream.read()
            return self._decoder.feed(data) if data else self._decoder.end()
        except GatewayError as error:
            self._stream_is_whole = False
            return [*self._decoder.interrupt(), Failed(error)]

    async def close(self, deadline_at: float | None = None) -> None:
        """Stop what still runs, close the stream, give the lease back, delete the conversation.

        In time for the host's end of the request: what it cuts off gives no lease back.
        """
        now = asyncio.get_running_loop().time()
        until = now + CLEAN_UP_TIMEOUT_S
        if deadline_at is not None:
            until = max(now + LEAST_CLEAN_UP_S, min(until, deadline_at - LEAST_CLEAN_UP_S))
        if self._captures is not None:
            self._captures.stop(is_complete=self._decoder.upstream_ended)
        try:
            async with asyncio.timeout_at(until):
                try:
                    await self._end_generation()
                finally:
                    await self.leased.release()
                await self._delete_conversation()
        except TimeoutError:
            left = {"conversation_id": self._decoder.conversation_id} if self._owes_deletion else {}
            log.warning("clean-up timed out", extra={"account": self.account.label, **left})
        if self._captures is not None:
            await self._captures.write(until)  # of what is left of the same time

    async def _end_generation(self) -> None:
        await self._settle_opening()
        if self._stream is None:
            return
        try:
            is_running = self._decoder.accepted and not self._decoder.upstream_ended
            # What goes on up there has no end that one could wait for.
            will_end = await self._stop() if is_running else True
            if will_end and self._stream_is_whole:
                await self._drain(self._stream)
        finally:
            await self._stream.aclose()

    async def _settle_opening(self) -> None:
        """Learn the conversation's id if the request was sent, unless it has been waited for long enough."""
        is_cancelled = self._gave_up or not self._asking.is_set()  # of uploads, nobody wants to know the end
        if is_cancelled:
            self._opening.cancel()
            self._stream_is_whole = False
        if self._gave_up:
            # What was asked may go on up there, and cannot be stopped without an id.
            await self.leased.note_generation()
        try:
            async with asyncio.timeout(ACCEPT_TIMEOUT_S):
                await self._opening
        except GatewayError:
            pass  # `read` has told it, or nobody is there any more
        except TimeoutError:
            await self.leased.note_generation()
        except asyncio.CancelledError:
            if not is_cancelled:
                raise

    async def _stop(self) -> bool:
        history_id = self._decoder.history_id
        try:
            if not history_id:
                raise UpstreamProtocolError("The upstream has not said what its answer is called.")
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self.leased.call(ChatGLM.stop, history_id)
        except (GatewayError, TimeoutError) as error:
            why = error.summary if isinstance(error, GatewayError) else "no answer"
            log.warning("generation not stopped", extra={"error": why, "account": self.account.label})
            await self.leased.note_generation()
            return False
        return True

    async def _drain(self, stream: UpstreamStream) -> None:
        """Read to the close: only then is the generation over up there, and the connection free again."""
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                while await stream.read():
                    pass
        except (GatewayError, TimeoutError):
            pass  # it is closed all the same

    @property
    def _owes_deletion(self) -> bool:
        return bool(self._decoder.conversation_id) and not self._keeps_conversation

    async def _delete_conversation(self) -> None:
        if not self._owes_deletion:
            return
        conversation_id = self._decoder.conversation_id
        agent_id = self._ask.target.agent_id

        delete = partial(self.leased.call, ChatGLM.delete_conversation, conversation_id, agent_id)
        try:
            try:
                await delete()
            except GatewayError as error:
                if error.retry != "again" and not isinstance(error, UpstreamTimeout):
                    raise
                # To delete twice does no harm; what is left lies in the owner's history for good.
                await asyncio.sleep(DELETE_AGAIN_AFTER_S)
                await delete()
        except GatewayError as error:
            log.warning(
                "conversation not deleted",
                extra={
                    "error": error.summary,
                    "account": self.account.label,
                    "conversation_id": conversation_id,
                },
            )


def _captures(gateway: Gateway) -> Captures | None:
    """Record what the upstream answers, where CAPTURE_DIR says so."""
    if gateway.settings.capture_dir is None:
        return None
    from lib.upstreams.chatglm.captures.recording import Captures

    return Captures(gateway.settings.capture_dir)
