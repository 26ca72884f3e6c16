"""Making images: by the upstream that the model's name means."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from lib.chat.media import ImageRequest
from lib.upstreams.interface import Call, ImageMaker, MadeFile, MadeImages


@asynccontextmanager
async def open_images(request: ImageRequest, call: Call) -> AsyncIterator[MadeImages]:
    """Enter when the images are made; leaving cleans up upstream. Raises if not a single one was made."""
    maker = await _maker_of(request, call)
    async with maker.open_images(request, call) as made:
        yield made


@asynccontextmanager
async def open_files(
    request: ImageRequest, made: MadeImages, call: Call
) -> AsyncIterator[Sequence[MadeFile]]:
    """Fetch the images themselves; leaving closes the files."""
    maker = await _maker_of(request, call)
    async with maker.open_files(made, call) as files:
        yield files


async def _maker_of(request: ImageRequest, call: Call) -> ImageMaker:
    """Return the first upstream that draws it. The last one takes every name."""
    *others, last = call.services.images
    for maker in others:
        if await maker.draws(request, call):
            break
    else:
        maker = last
    call.trace.upstream = maker.name
    return maker
