"""The services of a process: which upstreams there are, under which settings."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from lib.settings import Settings
from lib.upstreams.interface import ImageMaker, Upstream, VideoMaker

if TYPE_CHECKING:
    from lib.upstreams.chatglm.media import ChatGLMMedia


class ProcessServices:
    """The services of one event loop, under one set of settings. A cold start may lose all of it."""

    def __init__(self, settings: Settings) -> None:
        from lib.upstreams.chatglm.upstream import ChatGLMUpstream

        self.settings = settings
        self.upstreams: tuple[Upstream, ...] = (ChatGLMUpstream(settings),)

    @property
    def images(self) -> ImageMaker:
        return self._media

    @property
    def videos(self) -> VideoMaker:
        return self._media

    @cached_property
    def _media(self) -> ChatGLMMedia:
        """Import it at its first use: no chat pays for it."""
        from lib.upstreams.chatglm.media import ChatGLMMedia

        return ChatGLMMedia(self.settings)


_services: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Settings, ProcessServices]] = WeakKeyDictionary()


def services_of(settings: Settings) -> ProcessServices:
    """Return the running loop's services for these settings. The first use makes them."""
    of_loop = _services.setdefault(asyncio.get_running_loop(), {})
    if settings not in of_loop:
        of_loop[settings] = ProcessServices(settings)
    return of_loop[settings]
