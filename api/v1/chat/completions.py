"""POST /v1/chat/completions: the OpenAI chat dialect."""

import time
from contextlib import AsyncExitStack

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lib.dialects.openai_chat import ChunkRenderer, render_completion
from lib.dialects.openai_chat_request import parse_request
from lib.dialects.openai_errors import error_body, error_event
from lib.settings import current
from lib.upstreams.chatglm.reply import open_reply
from lib.web.app import create_app
from lib.web.body import read_body
from lib.web.caller import identify
from lib.web.deadline import deadline_of
from lib.web.headers import reply_headers
from lib.web.streaming import EventStreamResponse, OwningResponse, render_stream


async def create_chat_completion(request: Request) -> Response:
    settings = current()
    caller = identify(request, settings)
    deadline_at = deadline_of(request, settings)
    chat = parse_request(await read_body(request, limit=settings.max_body_bytes))
    created = int(time.time())
    async with AsyncExitStack() as resources:
        opened = open_reply(chat, caller, settings, deadline_at=deadline_at)
        reply = await resources.enter_async_context(opened)

        def start() -> ChunkRenderer:
            return ChunkRenderer(
                chat, answer_id=reply.id, created=created, default_model=settings.default_model
            )

        if chat.stream:
            frames = render_stream(reply, start=start, error_event=error_event)
            return EventStreamResponse(
                frames, reply_headers(reply), resources=resources.pop_all(), heartbeat_s=settings.heartbeat_s
            )
        events = [event async for batch in reply for event in batch]
        answer = render_completion(
            chat, events, answer_id=reply.id, created=created, default_model=settings.default_model
        )
        return OwningResponse(answer, reply_headers(reply), resources=resources.pop_all())


app = create_app(
    Route("/v1/chat/completions", create_chat_completion, methods=["POST"]),
    error_body=error_body,
)
