"""Counts a prompt's tokens by the official API's tokenizer (official documents, 2026-09)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic

import msgspec

from lib.chat.request import ChatRequest, Message, TextPart
from lib.chat.usage import tool_tokens
from lib.errors import GatewayError, InvalidRequest
from lib.receiving import Answer
from lib.upstreams.interface import Call
from lib.upstreams.official.asking import decode
from lib.upstreams.official.gateway import OfficialGateway, keys_of
from lib.upstreams.official.wire.keys import Key
from lib.upstreams.official.wire.messages import write_messages
from lib.upstreams.official.wire.models import Model, model_named
from lib.upstreams.official.wire.ring import Terms

USUAL_MODEL = "glm-4.6"
"""The tokenizer counts by this model if it does not know the wanted one."""
TIMEOUT_S = 2.0
"""An estimate is there at once, so a client waits no longer for a better number."""
REST_S = 60.0
"""After a failure every count is an estimate for so long."""
MAX_CHARS = 1_000_000
"""A longer prompt takes longer on the way than a count is worth."""
MAX_UNKNOWN = 100
"""A caller can make up any number of names after `api/`."""

log = logging.getLogger("glm_gateway")


class _Usage(msgspec.Struct):
    prompt_tokens: int


class _Counted(msgspec.Struct):
    usage: _Usage


_decoder = msgspec.json.Decoder(_Counted)


class Tokenizer:
    """The tokenizer, and the time until it is asked again after a failure."""

    def __init__(
        self,
        gateway: OfficialGateway,
        *,
        timeout_s: float = TIMEOUT_S,
        max_unknown: int = MAX_UNKNOWN,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._gateway = gateway
        self._timeout_s = timeout_s
        self._max_unknown = max_unknown
        self._clock = clock
        self._rests_until = float("-inf")
        self._unknown: set[str] = set()
        """The models that the tokenizer does not know."""

    async def count(self, chat: ChatRequest, call: Call) -> int | None:
        """Return the tokens of the messages and the tools; None if the tokenizer cannot tell, or has no key.

        The tokenizer takes no tools, so their part is an estimate. Images and files are not in it.
        """
        keys = keys_of(call.caller)
        if not keys or self._clock() < self._rests_until or _size(chat) > MAX_CHARS:
            return None
        model = self._gateway.target(chat, keys).model
        try:
            return await self._counted(chat, model, keys, call) + tool_tokens(chat.tools)
        except GatewayError as error:
            self._rests_until = self._clock() + REST_S
            log.warning("tokens not counted", extra={"error": error.summary})
            return None

    async def _counted(self, chat: ChatRequest, model: Model, keys: tuple[Key, ...], call: Call) -> int:
        name = USUAL_MODEL if model.id in self._unknown else model.id
        try:
            return await self._ask(chat, model_named(name), keys, call)
        except InvalidRequest as error:
            if name == USUAL_MODEL or error.code == "context_length_exceeded":
                raise
            if len(self._unknown) < self._max_unknown:
                self._unknown.add(name)
            return await self._ask(chat, model_named(USUAL_MODEL), keys, call)

    async def _ask(self, chat: ChatRequest, model: Model, keys: tuple[Key, ...], call: Call) -> int:
        body = {"model": model.id, "messages": write_messages(_without_files(chat), model)}

        async def attempt(key: Key) -> Answer:
            return await self._gateway.api.post(key, "tokenizer", body, timeout_s=self._timeout_s)

        until = asyncio.get_running_loop().time() + self._timeout_s
        terms = Terms(model="tokenizer", trace=call.trace, until=until, once=True)
        answer = await self._gateway.ring.ask(keys, attempt, terms)
        return decode(answer, _decoder).usage.prompt_tokens


def _size(chat: ChatRequest) -> int:
    return sum(len(message.text) for message in chat.messages)


def _without_files(chat: ChatRequest) -> ChatRequest:
    messages = tuple(map(_text_alone, chat.messages))
    return msgspec.structs.replace(chat, messages=messages)


def _text_alone(message: Message) -> Message:
    parts = tuple(part for part in message.parts if isinstance(part, TextPart))
    return msgspec.structs.replace(message, parts=parts)
