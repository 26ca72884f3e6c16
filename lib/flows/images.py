"""Making images: by the upstream that the model's name means."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from lib.chat.media import ImageRequest
from lib.upstreams.interface import Call, ImageMaker, MadeFile, MadeImages


def open_images(request: ImageRequest, call: Call) -> AbstractAsyncContextManager[MadeImages]:
    """Enter when the images are made; leaving cleans up upstream. Raises if not a single one was made."""
    return _maker_of(request, call).open_images(request, call)


def open_files(
    request: ImageRequest, made: MadeImages, call: Call
) -> AbstractAsyncContextManager[Sequence[MadeFile]]:
    """Fetch the images themselves; leaving closes the files."""
    return _maker_of(request, call).open_files(made, call)


def _maker_of(request: ImageRequest, call: Call) -> ImageMaker:
    """Return the first upstream that draws it. The last one takes every name."""
    *others, last = call.services.images
    return next((maker for maker in others if maker.draws(request, call)), last)
