"""A server that ends and waits no longer: who is told, how, and who is left alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lib.chat.events import Failed, ReplyEvent, TextDelta
from lib.dialects.openai_errors import error_body, error_event
from lib.errors import NoAccountAvailable
from lib.web.edge import Edge
from lib.web.ending import cut_short
from lib.web.media import asked_once
from lib.web.streaming import EventStreamResponse, render_stream

SCOPE: Scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
REQUEST: Message = {"type": "http.request", "body": b"", "more_body": False}


class Call:
    """One request to an app behind the edge, in a task of its own as under a server."""

    def __init__(self, app: ASGIApp) -> None:
        self.sent: list[Message] = []
        self.leaves = asyncio.Event()
        self.is_read = asyncio.Event()
        self.is_read.set()
        self._has_asked = False
        self.task = asyncio.ensure_future(Edge(app, error_body=error_body)(SCOPE, self._receive, self._send))

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def is_complete(self) -> bool:
        return self.sent[-1]["type"] == "http.response.body" and not self.sent[-1].get("more_body")

    async def _receive(self) -> Message:
        if not self._has_asked:
            self._has_asked = True
            return REQUEST
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        await self.is_read.wait()
        self.sent.append(message)


class Held:
    """What an endpoint holds upstream: letting go of it takes a moment."""

    def __init__(self) -> None:
        self.let_go = False
        self.frees = asyncio.Event()

    async def aclose(self) -> None:
        await self.frees.wait()
        self.let_go = True


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def endless() -> AsyncIterator[list[ReplyEvent]]:
    yield [TextDelta("first")]
    await asyncio.Future()


class Echo:
    def feed(self, events: Sequence[ReplyEvent]) -> bytes:
        last = events[-1]
        return error_event(last.error) if isinstance(last, Failed) else b"data: first\n\n"


def streaming(held: Held, batches: AsyncIterator[list[ReplyEvent]]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        resources = AsyncExitStack()
        resources.push_async_callback(held.aclose)
        frames = render_stream(batches, Echo())
        await EventStreamResponse(frames, {}, resources=resources, heartbeat_s=60)(scope, receive, send)

    return app


async def test_a_stream_ends_with_an_error_event_and_then_cleans_up() -> None:
    held = Held()
    call = Call(streaming(held, endless()))
    await turns()
    cut_short()
    await turns()
    first, last, rest = call.body.split(b"\n\n")
    assert (first, rest) == (b"data: first", b"")
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "shutting_down"
    assert call.is_complete
    assert not call.task.done(), "it is cleaning up"
    cut_short()  # which is no reason to be disturbed again
    held.frees.set()
    await call.task
    assert held.let_go
    assert call.task.cancelling() == 0


async def test_an_answer_that_has_not_begun_is_a_503() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await asyncio.Future()

    call = Call(app)
    await turns()
    cut_short()
    await call.task
    assert call.status == 503
    assert json.loads(call.body)["error"]["code"] == "shutting_down"


async def test_a_stream_whose_client_does_not_read_is_broken_off_without_an_end() -> None:
    held = Held()
    held.frees.set()
    call = Call(streaming(held, endless()))
    await turns(2)
    call.is_read.clear()
    await turns()
    cut_short()
    await turns()
    assert not call.task.done(), "there is something to tell"
    cut_short()
    await call.task
    assert not call.is_complete
    assert held.let_go
    assert call.task.cancelling() == 0


async def test_a_client_that_leaves_while_it_is_told_ends_the_request_quietly() -> None:
    held = Held()
    call = Call(streaming(held, endless()))
    await turns()
    cut_short()
    call.leaves.set()
    await turns(2)
    held.frees.set()
    await call.task
    assert held.let_go


async def test_a_client_that_left_before_is_told_nothing() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await asyncio.Future()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # the clean-up, in which both come together
            raise

    call = Call(app)
    await turns(3)
    call.leaves.set()
    await turns(1)
    cut_short()
    await call.task
    assert call.sent == []


async def test_a_cancellation_that_is_not_ours_stays_one() -> None:
    call = Call(streaming(Held(), endless()))
    await turns()
    call.task.cancel()
    await turns()
    call.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.task
    assert b"error" not in call.body


async def test_requests_of_another_loop_are_left_alone() -> None:
    call = Call(streaming(Held(), endless()))
    await turns()

    async def elsewhere() -> None:
        cut_short()

    await asyncio.to_thread(asyncio.run, elsewhere())
    await turns()
    assert call.body == b"data: first\n\n"
    call.leaves.set()
    await turns()
    call.task.cancel()
    await asyncio.wait({call.task})


async def test_what_may_have_cost_something_is_not_to_be_repeated_after_a_restart() -> None:
    async def order(request: Request) -> Response:
        await request.body()
        await asyncio.Future()
        raise AssertionError

    async def refuse(request: Request) -> Response:
        raise NoAccountAvailable("none")

    async def ordering(scope: Scope, receive: Receive, send: Send) -> None:
        response = await asked_once(order, error_body)(Request(scope, receive))
        await response(scope, receive, send)

    call = Call(ordering)
    await turns()
    cut_short()
    await call.task
    assert call.status == 503
    assert (b"x-should-retry", b"false") in call.sent[0]["headers"]
    refused = await asked_once(refuse, error_body)(Request(SCOPE))
    assert refused.status_code == 503
    assert "x-should-retry" not in refused.headers
