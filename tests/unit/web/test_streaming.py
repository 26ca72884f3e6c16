"""Event streams and owned answers, driven with hands: what is sent, in which order, what is closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from lib.chat.events import Failed, ReplyEvent, TextDelta
from lib.errors import UpstreamError
from lib.sse import COMMENT
from lib.web import streaming
from lib.web.streaming import EventStreamResponse, OwningResponse, render_stream

SCOPE = {"type": "http"}


class Wire:
    """Takes what is sent; `is_open` says whether sending goes through."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.active = 0

    async def receive(self) -> Message:
        raise AssertionError("nothing is read here")

    async def send(self, message: Message) -> None:
        assert self.active == 0, "two at once would mix their bytes"
        self.active += 1
        await self.is_open.wait()
        await asyncio.sleep(0)
        self.active -= 1
        if message["type"] == "http.response.start":
            self.said.append(f"start {message['status']}")
        else:
            self.said.append(message["body"].decode() + ("" if message.get("more_body") else "END"))


def owned(wire: Wire) -> AsyncExitStack:
    async def close() -> None:
        wire.said.append("closed")

    stack = AsyncExitStack()
    stack.push_async_callback(close)
    return stack


async def test_an_owned_answer_closes_after_it_is_sent() -> None:
    wire = Wire()
    await OwningResponse(b"{}", {}, resources=owned(wire))(SCOPE, wire.receive, wire.send)
    assert wire.said == ["start 200", "{}END", "closed"]


async def test_an_owned_answer_closes_although_it_cannot_be_sent() -> None:
    wire = Wire()
    wire.is_open.clear()
    response = OwningResponse(b"{}", {}, resources=owned(wire))
    sending = asyncio.ensure_future(response(SCOPE, wire.receive, wire.send))
    await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert wire.said == ["closed"]


async def frames_with(wire: Wire, gate: asyncio.Event, *frames: bytes) -> AsyncGenerator[bytes]:
    try:
        for frame in frames:
            yield frame
            await gate.wait()
    finally:
        wire.said.append("frames closed")


async def test_a_stream_closes_its_frames_then_what_they_are_read_from() -> None:
    wire, gate = Wire(), asyncio.Event()
    gate.set()
    frames = frames_with(wire, gate, b"one", b"two")
    response = EventStreamResponse(frames, {}, resources=owned(wire), heartbeat_s=60)
    await response(SCOPE, wire.receive, wire.send)
    assert wire.said == ["start 200", "one", "two", "frames closed", "END", "closed"]


async def test_a_silence_is_filled_and_a_word_puts_the_next_beat_off() -> None:
    wire, gate = Wire(), asyncio.Event()
    response = EventStreamResponse(
        frames_with(wire, gate, b"one", b"two"), {}, resources=owned(wire), heartbeat_s=0.02
    )
    sending = asyncio.ensure_future(response(SCOPE, wire.receive, wire.send))
    while wire.said.count(COMMENT.decode()) < 3:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert wire.said[:3] == ["start 200", "one", COMMENT.decode()]
    gate.set()
    await sending
    assert wire.said[-4:] == ["two", "frames closed", "END", "closed"]


async def test_a_stream_that_is_cancelled_while_its_client_does_not_read_closes_all() -> None:
    wire, gate = Wire(), asyncio.Event()
    gate.set()
    response = EventStreamResponse(
        frames_with(wire, gate, b"one", b"two"), {}, resources=owned(wire), heartbeat_s=0.001
    )
    before = asyncio.all_tasks()
    sending = asyncio.ensure_future(response(SCOPE, wire.receive, wire.send))
    while "one" not in wire.said:  # noqa: ASYNC110
        await asyncio.sleep(0)
    wire.is_open.clear()
    await asyncio.sleep(0.01)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await asyncio.sleep(0)
    assert wire.said[-2:] == ["frames closed", "closed"]
    assert asyncio.all_tasks() == before


class Echo:
    def feed(self, events: Sequence[ReplyEvent]) -> bytes:
        return b"".join(self.frame(event) for event in events)

    def frame(self, event: ReplyEvent) -> bytes:
        if isinstance(event, Failed):
            return f"error {event.error.status}".encode()
        return event.text.encode() if isinstance(event, TextDelta) else b""


async def batches(*texts: str, error: Exception | None = None) -> AsyncIterator[list[ReplyEvent]]:
    for text in texts:
        yield [TextDelta(text)]
    if error is not None:
        raise error


async def rendered(source: AsyncIterator[list[ReplyEvent]]) -> list[bytes]:
    return [frame async for frame in render_stream(source, Echo())]


async def test_a_batch_becomes_a_frame_and_an_empty_one_none() -> None:
    assert await rendered(batches("a", "", "b")) == [b"a", b"b"]


async def test_an_error_becomes_the_last_frame() -> None:
    assert await rendered(batches("a", error=UpstreamError("…"))) == [b"a", b"error 502"]
    assert await rendered(batches(error=UpstreamError("…"))) == [b"error 502"]


async def test_what_is_no_error_of_ours_is_not_swallowed() -> None:
    with pytest.raises(LookupError):
        await rendered(batches("a", error=LookupError()))


async def test_a_client_that_takes_nothing_any_more_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "SEND_TIMEOUT_S", 0.02)

    async def frames() -> AsyncGenerator[bytes]:
        yield b"never taken"

    wire = Wire()
    response = EventStreamResponse(frames(), {}, resources=owned(wire), heartbeat_s=60)
    starting = wire.send

    async def send(message: Message) -> None:
        await starting(message)
        wire.is_open.clear()  # all that its buffers hold

    with pytest.raises(ClientDisconnect):
        await response(SCOPE, wire.receive, send)
    assert wire.said == ["start 200", "closed"]

    wire = Wire()
    wire.is_open.clear()
    with pytest.raises(ClientDisconnect):
        await OwningResponse(b"{}", {}, resources=owned(wire))(SCOPE, wire.receive, wire.send)
    assert wire.said == ["closed"]
