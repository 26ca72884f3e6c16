"""chatglm.cn's images and videos: the door that flows use. A chat does not import it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import IO

from lib.chat.media import Attempt, ImageRequest, VideoRequest, VideoState
from lib.files.fetcher import FetchedFile
from lib.settings import Settings
from lib.upstreams.chatglm import images
from lib.upstreams.chatglm.videos import jobs
from lib.upstreams.interface import Call, MadeImages


class ChatGLMMedia:
    """The drawing agent, and the video service (清影) of the same accounts."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def open_images(self, request: ImageRequest, call: Call) -> AbstractAsyncContextManager[MadeImages]:
        return images.open_images(request, call.caller, self._settings, deadline_at=call.deadline_at)

    def open_files(self, made: MadeImages, call: Call) -> AbstractAsyncContextManager[list[FetchedFile]]:
        return images.open_files(made.images, self._settings, deadline_at=call.deadline_at)

    async def make(
        self, request: VideoRequest, call: Call, *, frame: IO[bytes] | None, attempt: Attempt
    ) -> VideoState:
        return await jobs.make_video(
            request,
            call.caller,
            self._settings,
            frame=frame,
            attempt=attempt,
            deadline_at=call.deadline_at,
            ending=call.ending,
        )

    async def look(self, video_id: str, call: Call) -> VideoState:
        return await jobs.look_at_video(video_id, call.caller, self._settings)

    async def remove(self, video_id: str, call: Call) -> None:
        await jobs.remove_video(video_id, call.caller, self._settings)

    async def note_handed_out(self, video_id: str, call: Call) -> None:
        await jobs.note_handed_out(video_id, call.caller, self._settings)
