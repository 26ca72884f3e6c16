"""One account's part in a reply: its lease, its conversation, and its turns."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec

from lib.chat.events import Failed, Finished, ReplyEvent
from lib.errors import GatewayError, UpstreamTimeout
from lib.upstreams.chatglm.accounts.client import LeasedAccount
from lib.upstreams.chatglm.clean_up import CleanUpLimits
from lib.upstreams.chatglm.turn import Ask, Turn
from lib.upstreams.chatglm.wire.client import ChatGLM

if TYPE_CHECKING:
    from lib.upstreams.chatglm.captures import Captures

log = logging.getLogger("glm_gateway")


class Exchange:
    """Owned by one reply; `close` must be run to its end."""

    def __init__(
        self,
        leased: LeasedAccount,
        ask: Ask,
        *,
        keeps_conversation: bool,
        captures: Captures | None,
        limits: CleanUpLimits,
    ) -> None:
        self.leased = leased
        self._ask = ask
        self._keeps_conversation = keeps_conversation
        self._captures = captures
        self._limits = limits
        self.turn = Turn(leased, ask, captures)

    @property
    def conversation_id(self) -> str:
        return self.turn.decoder.conversation_id or self._ask.conversation_id

    @property
    def served_model(self) -> str:
        return self.turn.decoder.model or self._ask.target.model

    def interrupt(self, ending: Finished | Failed) -> list[ReplyEvent]:
        """End the reply here. A reply that is cut short but usable keeps its conversation."""
        self._keeps_conversation |= isinstance(ending, Finished)
        return self.turn.interrupt(ending)

    async def again(self, words: str) -> None:
        """End this turn and begin another one in the same conversation, on the same lease."""
        await self.turn.end(self._limits.turn)
        self._ask = msgspec.structs.replace(
            self._ask, prompt=words, files=None, conversation_id=self.conversation_id
        )
        self.turn = Turn(self.leased, self._ask, self._captures)

    async def close(self, deadline_at: float | None = None) -> None:
        """End the turn; give the lease back and delete the conversation, side by side.

        It ends before the host ends the request: a clean-up that the host cuts off gives no lease back.
        """
        until = self._until(deadline_at)
        if self._captures is not None:
            self._captures.stop(is_complete=self.turn.decoder.upstream_ended)
        try:
            async with asyncio.timeout_at(until):
                try:
                    await self.turn.end(self._limits.turn)
                except BaseException:
                    await self.leased.release()
                    raise
                await asyncio.gather(self.leased.release(), self._delete_conversation())
        except TimeoutError:
            left = {"conversation_id": self._owned_conversation} if self._owned_conversation else {}
            log.warning("clean-up timed out", extra={"account": self.leased.account.label, **left})
        if self._captures is not None:
            await self._captures.write(until)  # It has the rest of the same time.

    def _until(self, deadline_at: float | None) -> float:
        now, limits = asyncio.get_running_loop().time(), self._limits
        until = now + limits.whole_s
        if deadline_at is None:
            return until
        return max(now + limits.min_s, min(until, deadline_at - limits.min_s))

    @property
    def _owned_conversation(self) -> str:
        """The conversation that must be deleted; empty if there is none."""
        return "" if self._keeps_conversation else self.conversation_id

    async def _delete_conversation(self) -> None:
        conversation_id = self._owned_conversation
        if not conversation_id:
            return
        try:
            try:
                await self._delete(conversation_id)
            except GatewayError as error:
                if error.retry != "again" and not isinstance(error, UpstreamTimeout):
                    raise
                # A second deletion does no harm. A conversation that is left stays in the owner's history.
                await asyncio.sleep(self._limits.delete_again_after_s)
                await self._delete(conversation_id)
        except GatewayError as error:
            left = {"account": self.leased.account.label, "conversation_id": conversation_id}
            log.warning("conversation not deleted", extra={"error": error.summary, **left})

    async def _delete(self, conversation_id: str) -> None:
        await self.leased.call(ChatGLM.delete_conversation, conversation_id, self._ask.target.agent_id)
