"""Making images: as many rounds of the drawing agent as it takes, and fetching the results."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import uniform

import msgspec

from lib.chat.answer import Answer
from lib.chat.caller import Caller
from lib.chat.events import Failed, Finished, ImageMade
from lib.chat.media import ImageRequest
from lib.chat.names import is_agent_id
from lib.chat.request import ChatRequest, Message, TextPart
from lib.errors import GatewayError, InvalidRequest, UpstreamError, UpstreamRejected, UpstreamTimeout
from lib.files.fetcher import FetchedFile
from lib.upstreams.chatglm.files import each
from lib.upstreams.chatglm.gateway import Gateway
from lib.upstreams.chatglm.reply import Reply, open_reply, stop_time
from lib.upstreams.chatglm.wire.drawing import (
    NO_STYLE,
    Drawing,
    in_order,
    linked_images,
    nearest_aspect_ratio,
)
from lib.upstreams.interface import Call, MadeImages

ROUND_PAUSE_S = (0.5, 1.5)
"""The pause between two rounds of one request: a person does not draw again in the same second."""
MAX_IMAGE_BYTES = 20 * 1024 * 1024
"""The limit of one image in base64; the upstream's images have less than one megabyte."""

_OPENAI_STYLES = ("", "vivid", "natural", "auto", NO_STYLE)
"""OpenAI's styles mean nothing to the upstream."""

log = logging.getLogger("glm_gateway")


class _Round(msgspec.Struct, frozen=True):
    images: list[ImageMade]
    is_cut: bool
    """It did not come to its own end, so another one would not either."""


@asynccontextmanager
async def open_images(gateway: Gateway, request: ImageRequest, call: Call) -> AsyncIterator[MadeImages]:
    """Make the images; the last round is cleaned up at the end, when the caller has its answer.

    Raises if not a single one was made. A later round that fails leaves fewer images than asked for.
    """
    style = await _style(gateway, request.style, call.caller)
    drawing = Drawing(aspect_ratio=nearest_aspect_ratio(request.ratio), style=style)
    agent_id = request.model if is_agent_id(request.model) else gateway.settings.drawing_assistant_id
    turn = ChatRequest(
        model=agent_id, messages=(Message("user", (TextPart(request.prompt),)),), web_search=False
    )
    made: dict[str, ImageMade] = {}
    async with AsyncExitStack() as resources:
        while True:
            opened = open_reply(gateway, turn, call, drawing=drawing)
            try:
                reply = await resources.enter_async_context(opened)
                known = len(made)
                drawn = await _read_round(reply, call)
            except GatewayError as error:
                if not made:
                    raise
                log.warning("fewer images than asked for", extra={"error": error.summary, "made": len(made)})
                break
            made |= {image.url: image for image in drawn.images}
            if len(made) >= request.n or len(made) == known or drawn.is_cut:
                break
            await resources.aclose()
            await asyncio.sleep(uniform(*ROUND_PAUSE_S))
        yield MadeImages(tuple(made.values())[: request.n], reply.started)


@asynccontextmanager
async def open_files(
    gateway: Gateway, images: tuple[ImageMade, ...], *, deadline_at: float | None = None
) -> AsyncIterator[list[FetchedFile]]:
    """Fetch the images from the upstream's addresses; memory never holds a whole one."""
    fetcher = gateway.fetcher
    async with AsyncExitStack() as resources:

        async def fetch_one(image: ImageMade) -> FetchedFile:
            opened = fetcher.fetch(image.url, max_bytes=MAX_IMAGE_BYTES)
            return await resources.enter_async_context(opened)

        try:
            async with asyncio.timeout_at(None if deadline_at is None else stop_time(deadline_at)):
                files = await each(images, fetch_one)
        except TimeoutError:
            raise UpstreamTimeout("The images were made but could not be fetched in time.") from None
        except InvalidRequest as error:  # the address is the upstream's, not the caller's
            raise UpstreamError(f"An image was made but cannot be fetched: {error.message}") from error
        yield files


async def _read_round(reply: Reply, call: Call) -> _Round:
    """Read one round to its end; a GatewayError says why there is no image."""
    events = [event async for batch in reply for event in batch]
    call.trace.take(events)
    answer = Answer(events)
    ending = answer.ending
    if isinstance(ending, Finished) and ending.reason == "content_filter":
        words = answer.text or "The upstream withdrew the image."
        raise InvalidRequest(words[:500], code="content_policy_violation", param="prompt")
    images = in_order(answer.images) or linked_images(answer.text)
    if images:
        is_cut = isinstance(ending, Failed) or (isinstance(ending, Finished) and ending.reason == "length")
        return _Round(images, is_cut)
    if isinstance(ending, Failed):
        raise ending.error
    words = answer.text.strip()[:300]
    raise UpstreamRejected(f"The upstream made no image: {words or 'it did not say why'}")


async def _style(gateway: Gateway, wanted: str, caller: Caller) -> str:
    """Return the upstream's name of a style."""
    if wanted.casefold() in _OPENAI_STYLES:
        return NO_STYLE
    return await gateway.styles.find(wanted, (await gateway.accounts(caller))[0])
