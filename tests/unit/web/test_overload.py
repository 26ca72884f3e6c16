"""What one process takes on: counted up, counted down in every ending, and refused beyond."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from lib.dialects.openai_errors import error_body
from lib.errors import Overloaded
from lib.web import overload
from lib.web.app import error_response
from lib.web.overload import Admission, Load, LoadLimits, share_of
from tests.unit.web.requests import make_request

App = Callable[[Scope, Receive, Send], Awaitable[None]]


async def nothing(*_: Any) -> Any: ...


def test_requests_are_counted_while_they_last() -> None:
    load = Load(LoadLimits(max_requests=2))
    with load.admit():
        with load.admit():
            assert load.requests == 2
            with pytest.raises(Overloaded) as caught, load.admit():
                pass
            assert caught.value.retry_after_s == overload.RETRY_AFTER_S
            assert load.requests == 2
        with pytest.raises(LookupError), load.admit():
            raise LookupError
        assert load.requests == 1
    assert load.requests == 0


def test_bodies_are_counted_until_their_requests_end() -> None:
    load = Load(LoadLimits(max_body_bytes=100, small_body_bytes=0))
    with load.admit() as one, load.admit() as other:
        one.hold(60, limit=1)
        one.hold(50, limit=1)
        one.hold(70, limit=1)  # it grows, and is counted once
        assert load.body_bytes == 70
        other.hold(30, limit=1)
        for share in (one, other):
            with pytest.raises(Overloaded):
                share.hold(share.body_bytes + 1, limit=1)
        assert load.body_bytes == 100
    assert load.body_bytes == 0


def test_an_answer_that_is_held_whole_is_counted_beside_the_body() -> None:
    load = Load(LoadLimits(max_body_bytes=100, small_body_bytes=0))
    with load.admit() as one, load.admit() as other:
        one.hold(20, limit=1)
        one.hold_more(70, limit=1)
        assert load.body_bytes == 90
        with pytest.raises(Overloaded):
            other.hold_more(11, limit=1)
    assert load.body_bytes == 0


def test_the_largest_body_that_is_allowed_fits_when_it_is_alone() -> None:
    load = Load(LoadLimits(max_body_bytes=100, small_body_bytes=0))
    with load.admit() as one, load.admit() as other:
        one.hold(500, limit=500)
        with pytest.raises(Overloaded):
            other.hold(1, limit=500)


def test_where_nobody_counts_there_is_room_for_any() -> None:
    share_of(make_request()).hold(1 << 40, limit=1 << 40)
    assert overload.LOAD.body_bytes < 1 << 40


def admission(app: App, load: Load) -> Admission:
    return Admission(app, refuse=lambda error, _: error_response(error, error_body), load=load)


SCOPE = {"type": "http", "method": "POST", "path": "/", "headers": []}


async def test_beyond_it_the_answer_comes_at_once_and_nothing_is_read() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def fail(*_: Any) -> Any:
        raise AssertionError("neither read nor let in")

    load = Load(LoadLimits(max_requests=0))
    await admission(fail, load)(dict(SCOPE), fail, send)
    assert sent[0]["status"] == 503
    assert (b"retry-after", b"6") in sent[0]["headers"]
    assert b'"code":"overloaded"' in sent[1]["body"]
    assert load.requests == 0


KEYED = [(b"authorization", b"Bearer sk-1")]


@pytest.mark.parametrize(
    ("environ", "headers", "most"),
    [
        ({"API_KEYS": "sk-1"}, KEYED, 5),
        ({"API_KEYS": "sk-1"}, [(b"x-api-key", b"sk-1")], 5),
        ({"API_KEYS": "sk-1"}, [], 3),
        ({"API_KEYS": "sk-1"}, [(b"authorization", b"Bearer sk-2")], 3),
        ({"API_KEYS": "sk-1", "ALLOW_PASSTHROUGH": "1"}, [(b"authorization", b"Bearer a.b.c")], 3),
        ({}, [], 5),  # no key, nobody to keep anything for
        ({"API_KEYS": "sk-1", "LOG_LEVEL": "loud"}, [], 5),  # the app inside says so
    ],
)
async def test_the_last_places_are_kept_for_who_has_a_key(
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    headers: list[tuple[bytes, bytes]],
    most: int,
) -> None:
    for name in ("API_KEYS", "ALLOW_PASSTHROUGH", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    load = Load(LoadLimits(max_requests=5, kept_for_keys=2))
    silence = asyncio.Event()

    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        await silence.wait()

    app = admission(reading, load)
    scopes: list[Scope] = [{**SCOPE, "query_string": b"", "headers": headers} for _ in range(7)]
    async with asyncio.TaskGroup() as group:
        for scope in scopes:
            group.create_task(app(scope, nothing, nothing))
        await asyncio.sleep(0.01)
        assert load.requests == most
        silence.set()
    assert load.requests == 0


async def test_what_is_no_request_is_not_counted() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    await admission(app, Load(LoadLimits(max_requests=0)))({"type": "lifespan"}, nothing, nothing)
    assert seen == ["lifespan"]


async def cancelled(scope: Scope, receive: Receive, send: Send) -> None:
    raise asyncio.CancelledError


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    raise LookupError("a fault of ours")


async def answered(scope: Scope, receive: Receive, send: Send) -> None:
    await Response("x")(scope, receive, send)


@pytest.mark.parametrize(
    ("app", "ending"),
    [(cancelled, asyncio.CancelledError), (broken, LookupError), (answered, None)],
)
async def test_every_ending_is_counted_down(app: App, ending: type[BaseException] | None) -> None:
    load = Load()

    async def holding(scope: Scope, receive: Receive, send: Send) -> None:
        share_of(Request(scope)).hold(1000, limit=1000)
        assert (load.requests, load.body_bytes) == (1, 1000)
        await app(scope, receive, send)

    with ExitStack() as stack:
        if ending is not None:
            stack.enter_context(pytest.raises(ending))
        await admission(holding, load)(dict(SCOPE), nothing, nothing)
    assert (load.requests, load.body_bytes) == (0, 0)
