"""Fetches the files that an upstream has made, from the addresses that it gave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

from lib.errors import InvalidRequest, UpstreamError, UpstreamTimeout
from lib.files.fetcher import FetchedFile, Fetcher
from lib.tasks import each

MAX_IMAGE_BYTES = 20 * 1024 * 1024
"""The limit of one image in base64; most of the upstreams' images have less than one megabyte."""
AT_ONCE = 3


@asynccontextmanager
async def open_made(
    fetcher: Fetcher, urls: Iterable[str], *, until: float | None = None
) -> AsyncIterator[list[FetchedFile]]:
    """Fetch the images by the loop's time `until`; memory never holds a whole one."""
    async with AsyncExitStack() as resources:

        async def fetch_one(url: str) -> FetchedFile:
            return await resources.enter_async_context(fetcher.fetch(url, max_bytes=MAX_IMAGE_BYTES))

        try:
            async with asyncio.timeout_at(until):
                files = await each(urls, fetch_one, at_once=AT_ONCE)
        except TimeoutError:
            raise UpstreamTimeout("The images were made but could not be fetched in time.") from None
        except InvalidRequest as error:  # The address is the upstream's, not the caller's.
            raise UpstreamError(f"An image was made but cannot be fetched: {error.message}") from error
        yield files
