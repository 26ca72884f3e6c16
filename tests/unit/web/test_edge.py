"""The outermost layer, driven with hands: what no server in front of it would do on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from lib.dialects.openai_errors import error_body
from lib.errors import GatewayError, ShuttingDown
from lib.web.edge import Edge
from tests.support.log import logged

REQUEST: Message = {"type": "http.request", "body": b"", "more_body": False}
GONE: Message = {"type": "http.disconnect"}
START: Message = {"type": "http.response.start", "status": 200, "headers": []}


def scope(kind: str = "http") -> Scope:
    return {"type": kind, "method": "POST", "path": "/", "headers": []}


async def run(
    app: Any, messages: Iterable[Message], sent: list[Message] | None = None, **request: str
) -> None:
    waiting = list(messages)

    async def receive() -> Message:
        await asyncio.sleep(0)
        if waiting:
            return waiting.pop(0)
        return await asyncio.Future()

    async def send(message: Message) -> None:
        if sent is not None:
            sent.append(message)

    await Edge(app, error_body=error_body)({**scope(), **request}, receive, send)


async def wait_for_ever(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await asyncio.Future()


async def test_a_client_that_leaves_ends_the_request_quietly() -> None:
    await run(wait_for_ever, [REQUEST, REQUEST, GONE])


async def test_a_server_that_ends_the_request_is_obeyed() -> None:
    task = asyncio.ensure_future(run(wait_for_ever, [REQUEST]))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_is_no_request_passes_untouched() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: Any) -> Any: ...

    await Edge(app, error_body=error_body)(scope("lifespan"), nothing, nothing)
    assert seen == ["lifespan"]


async def test_other_messages_of_an_answer_pass_too() -> None:
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "headers": []})
        await send({"type": "http.response.trailers", "headers": []})
        await send({"type": "http.response.body", "body": b""})

    await run(app, [REQUEST], sent)
    assert [message["type"].rpartition(".")[2] for message in sent] == ["start", "trailers", "body"]


async def test_an_answer_that_has_begun_is_broken_off_by_a_fault() -> None:
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "headers": []})
        raise LookupError("a fault of ours")

    with pytest.raises(Exception, match="LookupError"):
        await run(app, [REQUEST], sent)
    assert len(sent) == 1, "nothing that would make it look complete"


async def test_the_line_of_an_answer_that_broke_off_says_so() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "headers": []})
        raise LookupError("a fault of ours")

    with logged() as lines, pytest.raises(GatewayError):
        await run(app, [REQUEST])
    fault, line = lines
    assert fault["message"] == "unexpected error"
    assert fault["request_id"] == line["request_id"]
    assert (line["level"], line["status"], line["code"]) == ("WARNING", 200, "internal_error")


async def test_an_answer_that_the_end_of_the_server_cut_says_so() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "headers": []})
        raise ShuttingDown("no more time")

    with logged() as lines:
        await run(app, [REQUEST])
    assert (lines[0]["level"], lines[0]["status"], lines[0]["code"]) == ("WARNING", 200, "shutting_down")


async def test_a_request_without_routes_is_told_by_its_path_and_method_in_short() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "headers": []})

    with logged() as lines:
        await run(app, [REQUEST], path="/" + "p" * 100, method="M" * 100)
    assert (lines[0]["path"], lines[0]["method"]) == ("/" + "p" * 79, "M" * 16)


async def test_nobody_is_left_watching() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    before = asyncio.all_tasks()
    await run(app, [REQUEST])
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
