"""POST /v1/images/generations: OpenAI's images."""

import time
from contextlib import AsyncExitStack

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lib.dialects.openai_errors import error_body
from lib.dialects.openai_media import parse_image_request, render_images, texts_around_files
from lib.settings import current
from lib.upstreams.chatglm.images import open_files, open_images
from lib.web.app import create_app
from lib.web.body import read_body
from lib.web.caller import identify
from lib.web.deadline import deadline_of
from lib.web.headers import reply_headers
from lib.web.media import Base64Response
from lib.web.streaming import OwningResponse


async def create_images(request: Request) -> Response:
    settings = current()
    caller = identify(request, settings)
    deadline_at = deadline_of(request, settings)
    wanted = parse_image_request(await read_body(request, limit=settings.max_body_bytes))
    created = int(time.time())
    async with AsyncExitStack() as resources:
        opened = open_images(wanted, caller, settings, deadline_at=deadline_at)
        made = await resources.enter_async_context(opened)
        headers = reply_headers(made.started)
        if wanted.form == "url":
            answer = render_images(made.images, created=created)
            return OwningResponse(answer, headers, resources=resources.pop_all())
        await resources.aclose()  # others may have the account while the images are fetched
        fetched = open_files(made.images, settings, deadline_at=deadline_at)
        files = await resources.enter_async_context(fetched)
        texts = texts_around_files(made.images, created=created)
        return Base64Response(texts, files, headers, resources=resources.pop_all())


app = create_app(Route("/v1/images/generations", create_images, methods=["POST"]), error_body=error_body)
