"""Reads a stream of events that is no chat: a transcript, or a sound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from time import time
from typing import Any

import msgspec

from lib.errors import UpstreamProtocolError, UpstreamTimeout
from lib.receiving import UpstreamStream
from lib.sse import EventSplitter
from lib.upstreams.interface import Call
from lib.upstreams.official.wire import refusals
from lib.upstreams.silence import stop_time

DONE = b"[DONE]"

_decode = msgspec.json.Decoder().decode


async def chunks_of(
    stream: UpstreamStream, call: Call, *, now: Callable[[], float] = time
) -> AsyncGenerator[dict[str, Any]]:
    """Yield the JSON of each event until `[DONE]`.

    Raise the error that an event holds, and one for a stream that ends early, falls silent or is no JSON.
    """
    splitter = EventSplitter()
    is_open = True
    wait_s = call.settings.first_content_timeout_s
    while is_open:
        piece = await _read(stream, call, wait_s)
        wait_s = call.settings.idle_timeout_s
        is_open = bool(piece)
        for payload in splitter.feed(piece) if piece else splitter.end():
            if payload.strip() == DONE:
                return
            yield _chunk(payload, now())
    raise UpstreamProtocolError("The official API closed its stream before the end.", retry="never")


async def _read(stream: UpstreamStream, call: Call, wait_s: float) -> bytes:
    until = asyncio.get_running_loop().time() + wait_s
    if call.deadline_at is not None:
        until = min(until, stop_time(call.deadline_at))
    try:
        return await stream.read(until)
    except TimeoutError:
        raise UpstreamTimeout(f"The official API said nothing for {wait_s:g} s.") from None


def _chunk(payload: bytes, now: float) -> dict[str, Any]:
    try:
        chunk = _decode(payload)
    except (ValueError, RecursionError) as error:
        raise UpstreamProtocolError("The official API sent an event without JSON.", retry="never") from error
    if (refusal := refusals.error_in(chunk, now=now)) is not None:
        raise refusal
    return chunk if isinstance(chunk, dict) else {}
