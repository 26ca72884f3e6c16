"""The official API's images and videos: the door that flows use. A chat does not import it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import IO

from lib.chat.caller import Caller
from lib.chat.media import Attempt, ImageRequest, VideoRequest, VideoState
from lib.files.fetcher import Fetcher
from lib.files.made import open_made
from lib.files.spool import FetchedFile
from lib.store.shared import SharedState
from lib.upstreams.interface import Call, MadeImages
from lib.upstreams.official import images, names
from lib.upstreams.official.gateway import OfficialGateway
from lib.upstreams.official.videos.jobs import Videos
from lib.upstreams.silence import stop_time


class OfficialMedia:
    """Images and videos."""

    name = "api"

    def __init__(
        self,
        gateway: OfficialGateway,
        *,
        fetcher: Callable[[], Fetcher],
        memory: Callable[[], SharedState],
        has_account: Callable[[Caller], Awaitable[bool]],
    ) -> None:
        self._gateway = gateway
        self._has_account = has_account
        self._fetcher = fetcher
        self._videos = Videos(gateway, memory)

    async def draws(self, request: ImageRequest, call: Call) -> bool:
        return await self._makes(request.model, names.IMAGES, call)

    def open_images(self, request: ImageRequest, call: Call) -> AbstractAsyncContextManager[MadeImages]:
        return images.open_images(self._gateway, request, call)

    def open_files(self, made: MadeImages, call: Call) -> AbstractAsyncContextManager[list[FetchedFile]]:
        until = None if call.deadline_at is None else stop_time(call.deadline_at)
        return open_made(self._fetcher(), [image.url for image in made.images], until=until)

    async def films(self, request: VideoRequest, call: Call) -> bool:
        return await self._makes(request.model, names.VIDEOS, call)

    async def make(
        self, request: VideoRequest, call: Call, *, frame: IO[bytes] | None, attempt: Attempt
    ) -> VideoState:
        return await self._videos.make(request, call, frame=frame, attempt=attempt)

    async def knows(self, video_id: str, call: Call) -> bool:
        return self._videos.knows(video_id, call)

    async def look(self, video_id: str, call: Call) -> VideoState:
        return await self._videos.look(video_id, call)

    async def remove(self, video_id: str, call: Call) -> None:
        await self._videos.remove(video_id, call)

    async def note_handed_out(self, video_id: str, call: Call) -> None:
        """Do nothing: the API has no call to delete a video."""

    async def _makes(self, name: str, known: tuple[str, ...], call: Call) -> bool:
        by_name = names.is_for_api(name, known, call.caller)
        return not await self._has_account(call.caller) if by_name is None else by_name
