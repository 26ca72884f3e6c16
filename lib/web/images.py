"""The application of POST /v1/images/generations."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lib.dialects.openai_errors import error_body
from lib.dialects.openai_media import parse_image_request, render_images, texts_around_files
from lib.flows.images import open_files, open_images
from lib.web.app import create_app
from lib.web.body import read_body
from lib.web.call import body_limit, call_of
from lib.web.headers import reply_headers
from lib.web.media import Base64Response
from lib.web.streaming import OwningResponse


def images_app(path: str) -> Starlette:
    return create_app(Route(path, create_images, methods=["POST"]), error_body=error_body)


async def create_images(request: Request) -> Response:
    call = call_of(request)
    asked = parse_image_request(await read_body(request, limit=await body_limit(request, call)))
    created = int(time.time())
    async with AsyncExitStack() as resources:
        made = await resources.enter_async_context(open_images(asked, call))
        headers = reply_headers(made.started, upstream=made.upstream)
        if asked.form == "url":
            answer = render_images(made.images, created=created)
            return OwningResponse(answer, headers, resources=resources.pop_all())
        await resources.aclose()  # Other requests may have the account while the images are fetched.
        files = await resources.enter_async_context(open_files(asked, made, call))
        texts = texts_around_files(made.images, created=created)
        return Base64Response(texts, files, headers, resources=resources.pop_all())
