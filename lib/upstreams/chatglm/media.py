"""chatglm.cn's images and videos: the door that flows use. A chat does not import it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import IO

import msgspec

from lib.chat.media import Attempt, ImageRequest, VideoRequest, VideoState
from lib.errors import InvalidRequest, NotFound
from lib.files.fetcher import FetchedFile
from lib.upstreams.chatglm import images
from lib.upstreams.chatglm.gateway import Gateway
from lib.upstreams.chatglm.videos import jobs
from lib.upstreams.interface import Call, MadeImages

WEB = "web/"
"""A caller chooses the account by this before a model's name."""


class ChatGLMMedia:
    """The drawing agent, and the video service (清影) of the same accounts."""

    name = "web"

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def draws(self, request: ImageRequest, call: Call) -> bool:  # noqa: ARG002
        return True

    async def films(self, request: VideoRequest, call: Call) -> bool:  # noqa: ARG002
        return True

    async def knows(self, video_id: str, call: Call) -> bool:
        return await jobs.is_known(self._gateway, video_id, call)

    def open_images(self, request: ImageRequest, call: Call) -> AbstractAsyncContextManager[MadeImages]:
        name = _own_name(request.model, call)
        return images.open_images(self._gateway, msgspec.structs.replace(request, model=name), call)

    def open_files(self, made: MadeImages, call: Call) -> AbstractAsyncContextManager[list[FetchedFile]]:
        return images.open_files(self._gateway, made.images, deadline_at=call.deadline_at)

    async def make(
        self, request: VideoRequest, call: Call, *, frame: IO[bytes] | None, attempt: Attempt
    ) -> VideoState:
        _own_name(request.model, call)
        if request.last_image_url is not None:
            raise InvalidRequest(
                "Unsupported 'image_url': chatglm.cn's videos have a first frame, and no last one.",
                code="unsupported_parameter",
                param="image_url",
            )
        return await jobs.make_video(self._gateway, request, call, frame=frame, attempt=attempt)

    async def look(self, video_id: str, call: Call) -> VideoState:
        return await jobs.look_at_video(self._gateway, video_id, call)

    async def remove(self, video_id: str, call: Call) -> None:
        await jobs.remove_video(self._gateway, video_id, call)

    async def note_handed_out(self, video_id: str, call: Call) -> None:
        await jobs.note_handed_out(self._gateway, video_id, call)


def _own_name(name: str, call: Call) -> str:
    """Take `web/` off a model's name. Raise NotFound if the caller has no account for it."""
    bare = name.strip()
    if not bare.lower().startswith(WEB):
        return name
    may_have_account = call.caller.is_owner and call.settings.keeps_accounts
    if not call.caller.refresh_tokens and not may_have_account:
        raise NotFound(
            f"The model {name!r} is not known: no account of chatglm.cn is here. The gateway's owner sets "
            "CHATGLM_REFRESH_TOKENS.",
            code="model_not_found",
            param="model",
        )
    return bare[len(WEB) :]
