"""One call of the official API for a request: the key, the gate, the retries, the time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import msgspec

from lib.chat.events import Started
from lib.errors import NotFound, UpstreamProtocolError
from lib.receiving import MAX_ANSWER_BYTES, Answer, UpstreamStream
from lib.upstreams.interface import Call
from lib.upstreams.official.gateway import OfficialGateway, keys_of
from lib.upstreams.official.wire.client import CALL_TIMEOUT_S, Form
from lib.upstreams.official.wire.keys import Key
from lib.upstreams.official.wire.ring import Terms
from lib.upstreams.silence import stop_time

T = TypeVar("T")


class Told(msgspec.Struct, frozen=True):
    """An answer, and the key that got it."""

    answer: Answer
    key: Key


class Opened(msgspec.Struct, frozen=True):
    """A stream, and the key that got it."""

    stream: UpstreamStream
    key: Key


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one call."""

    timeout_s: float = CALL_TIMEOUT_S
    max_bytes: int = MAX_ANSWER_BYTES
    once: bool = False
    """It may cost something even if the API breaks down: then it is not repeated."""


async def post(
    gateway: OfficialGateway,
    call: Call,
    path: str,
    body: Mapping[str, Any] | Form,
    *,
    model: str,
    limits: Limits,
) -> Told:
    """Post to the API with the first of the caller's keys that it serves."""

    async def attempt(key: Key) -> Told:
        timeout_s = min(limits.timeout_s, _left_s(call))
        answer = await gateway.api.post(key, path, body, timeout_s=timeout_s, max_bytes=limits.max_bytes)
        return Told(answer, key)

    return await gateway.ring.ask(keys_of(call.caller), attempt, _terms(call, model, once=limits.once))


@asynccontextmanager
async def open_stream(
    gateway: OfficialGateway, call: Call, path: str, body: Mapping[str, Any] | Form, *, model: str
) -> AsyncIterator[Opened]:
    """Do the same for a stream of events. It keeps the key's place until the block ends."""

    async def attempt(key: Key) -> Opened:
        return Opened(await gateway.api.open_stream(key, path, body), key)

    terms = _terms(call, model, once=False)
    async with gateway.ring.opened(keys_of(call.caller), attempt, terms) as opened:
        try:
            yield opened
        finally:
            await opened.stream.aclose()


@contextmanager
def told_of_regions() -> Iterator[None]:
    """Add to the refusal of a model that the international host may lack it (cassettes of 2026-07-10)."""
    try:
        yield
    except NotFound as error:
        raise NotFound(
            f"{error.message} Only open.bigmodel.cn is known to have models of this kind, and not api.z.ai.",
            code=error.code,
            param=error.param,
            number=error.number,
            http_status=error.http_status,
        ) from error


def decode(answer: Answer, decoder: msgspec.json.Decoder[T]) -> T:
    """Read an answer's JSON. Its form is checked, because the client gets a part of it."""
    try:
        return decoder.decode(answer.body)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise UpstreamProtocolError(
            "The official API answered in a form that the gateway does not know.", retry="never"
        ) from error


def started(told: Told | Opened, call: Call, *, model: str, answer_id: str = "") -> Started:
    call.trace.upstream, call.trace.model = "api", model
    return Started(answer_id, model, told.key.label)


def _terms(call: Call, model: str, *, once: bool) -> Terms:
    until = None if call.deadline_at is None else stop_time(call.deadline_at)
    return Terms(model=model, trace=call.trace, until=until, once=once)


def _left_s(call: Call) -> float:
    """Return the seconds until the host ends the request, with a margin for the answer."""
    if call.deadline_at is None:
        return float("inf")
    return max(0.0, stop_time(call.deadline_at) - asyncio.get_running_loop().time())
