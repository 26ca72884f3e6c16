"""Making images: by the upstream that draws."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from lib.chat.media import ImageRequest
from lib.upstreams.interface import Call, MadeFile, MadeImages


def open_images(request: ImageRequest, call: Call) -> AbstractAsyncContextManager[MadeImages]:
    """Enter when the images are made; leaving cleans up upstream. Raises if not a single one was made."""
    return call.services.images.open_images(request, call)


def open_files(made: MadeImages, call: Call) -> AbstractAsyncContextManager[Sequence[MadeFile]]:
    """Fetch the images themselves; leaving closes the files."""
    return call.services.images.open_files(made, call)
