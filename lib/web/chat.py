"""The application of a chat endpoint: any dialect, streamed or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import cast, overload

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lib.chat.answer import Answer
from lib.chat.events import Started
from lib.chat.names import read_name
from lib.chat.size import require_room
from lib.dialects.interface import (
    Address,
    AskedT,
    CountingDialect,
    Dialect,
    ErrorForm,
    Rendering,
    StreamForm,
    own_id,
)
from lib.errors import Overloaded
from lib.flows.chat import open_reply
from lib.settings import Settings
from lib.tasks import Crowded, Threads
from lib.upstreams.interface import Call
from lib.web.app import Endpoint, create_app
from lib.web.body import read_body
from lib.web.call import body_limit, call_of
from lib.web.headers import reply_headers
from lib.web.streaming import EVENTS_TYPE, EventStreamResponse, OwningResponse, render_stream

PATIENCE_S = 1.0
"""After the upstream has accepted, the stream's status waits this long for the first content.

A refusal comes within milliseconds after acceptance and becomes a real HTTP status. If the model thinks for
longer, the client still gets its headers.
"""

COUNTING = Threads("count", threads=1, max_waiting=64)


def patience_of(settings: Settings) -> float:
    """Return the patience of a stream: a heartbeat is due no later than its interval after acceptance."""
    return min(PATIENCE_S, settings.heartbeat_s)


@overload
def chat_app(path: str, dialect: Dialect[AskedT]) -> Starlette: ...
@overload
def chat_app(path: str, dialect: CountingDialect[AskedT], *, count: str) -> Starlette: ...
def chat_app(path: str, dialect: Dialect[AskedT], *, count: str = "") -> Starlette:
    """Make the app of one chat endpoint, and of the dialect's count of tokens at the path `count`."""
    routes = [Route(path, chat_endpoint(dialect), methods=["POST"])]
    if count:
        routes.append(Route(count, count_endpoint(cast(CountingDialect[AskedT], dialect)), methods=["POST"]))
    form: ErrorForm | None = getattr(dialect, "ERROR_FORM", None)
    return create_app(*routes, error_body=dialect.error_body, form_of=lambda _: form)


def chat_endpoint(dialect: Dialect[AskedT], **params: str) -> Endpoint:
    """Make an endpoint that answers a chat. `params` are for the dialect, as parts of the path are."""

    async def create(request: Request) -> Response:
        call, asked = await read_asked(request, dialect, params)
        return await answer_chat(dialect, asked, call)

    return create


def count_endpoint(dialect: CountingDialect[AskedT], **params: str) -> Endpoint:
    """Make an endpoint that estimates a prompt's tokens without asking an upstream."""

    async def count_tokens(request: Request) -> Response:
        _, asked = await read_asked(request, dialect, params)
        require_room(asked.chat)
        # In a thread: a long prompt takes a second, and the count is made in small steps.
        try:
            counted = await COUNTING.run(lambda: dialect.count(asked))
        except Crowded:
            raise Overloaded("Too many prompts wait to be counted. Ask again.", retry_after_s=1.0) from None
        return Response(counted, media_type="application/json")

    return count_tokens


async def read_asked(
    request: Request, dialect: Dialect[AskedT], params: Mapping[str, str]
) -> tuple[Call, AskedT]:
    """Raise GatewayError if the caller is unknown or the request is wrong."""
    call = call_of(request)
    body = await read_body(request, limit=await body_limit(request, call))
    address = Address({**request.path_params, **params}, dict(request.query_params))
    asked = dialect.parse(body, address)
    call.trace.notices.update(getattr(asked, "ignored", ()))  # Some dialects ignore a part of a request.
    return call, asked


async def answer_chat(
    dialect: Dialect[AskedT], asked: AskedT, call: Call, *, answer_id: Callable[[Started], str] = own_id
) -> Response:
    settings = call.settings
    if misspelt := read_name(asked.chat.model).misspelt:
        call.trace.notices["misspelt_suffix"] += len(misspelt)
    how = Rendering(
        created=_unix_time(),
        model=asked.chat.model or settings.default_model,
        request_id=call.trace.request_id,
        answer_id=answer_id,
        clock=_unix_time,
    )
    patience_s = patience_of(settings) if asked.stream else None
    async with AsyncExitStack() as resources:
        opened = open_reply(asked.chat, call, patience_s=patience_s)
        reply = await resources.enter_async_context(opened)
        if asked.stream:
            form: StreamForm = getattr(asked, "stream_form", StreamForm(EVENTS_TYPE, dialect.HEARTBEAT))
            return EventStreamResponse(
                render_stream(reply, dialect.renderer(asked, how)),
                reply_headers(reply.started, asked.chat.model),
                resources=resources.pop_all(),
                heartbeat_s=settings.heartbeat_s,
                heartbeat=form.heartbeat,
                media_type=form.media_type,
            )
        answer = Answer([event async for batch in reply for event in batch])
        content = dialect.render(asked, answer, how)
        return OwningResponse(
            content, reply_headers(reply.started, asked.chat.model), resources=resources.pop_all()
        )


def _unix_time() -> int:
    return int(time.time())
