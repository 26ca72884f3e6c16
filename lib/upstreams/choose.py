"""The services of a process: which upstreams there are, under which settings."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from lib.errors import ConfigurationError
from lib.settings import Settings, current
from lib.upstreams.interface import AccountDesk, ImageMaker, Upstream, VideoMaker

if TYPE_CHECKING:
    from lib.upstreams.chatglm.gateway import Gateway
    from lib.upstreams.chatglm.media import ChatGLMMedia


class ProcessServices:
    """The services of one event loop, under one set of settings. A cold start may lose all of it.

    Each service is imported and made at its first use: no request pays for another one's.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def gateway(self) -> Gateway:
        """The parts that all services of chatglm.cn share."""
        from lib.upstreams.chatglm.gateway import Gateway

        return Gateway(self.settings)

    @cached_property
    def upstreams(self) -> tuple[Upstream, ...]:
        from lib.upstreams.chatglm.upstream import ChatGLMUpstream

        return (ChatGLMUpstream(self.gateway),)

    @property
    def images(self) -> ImageMaker:
        return self._media

    @property
    def videos(self) -> VideoMaker:
        return self._media

    @cached_property
    def accounts(self) -> AccountDesk:
        from lib.upstreams.chatglm.desk import AccountDesk

        return AccountDesk(self.gateway)

    @cached_property
    def _media(self) -> ChatGLMMedia:
        from lib.upstreams.chatglm.media import ChatGLMMedia

        return ChatGLMMedia(self.gateway)

    async def aclose(self) -> None:
        if "gateway" in self.__dict__:
            await self.gateway.aclose()


def prepare() -> None:
    """Import all that the first chat needs, and begin to read the certificate authorities.

    This is for a host that starts a process before its first request, and lets the start take its time.
    """
    with suppress(ConfigurationError):  # The first answer says so.
        assert ProcessServices(current()).upstreams


_services: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Settings, ProcessServices]] = WeakKeyDictionary()


def services_of(settings: Settings) -> ProcessServices:
    """Return the running loop's services for these settings. The first use makes them."""
    of_loop = _services.setdefault(asyncio.get_running_loop(), {})
    if settings not in of_loop:
        of_loop[settings] = ProcessServices(settings)
    return of_loop[settings]


def open_services(loop: asyncio.AbstractEventLoop) -> list[ProcessServices]:
    """List the services that a loop has made and not closed."""
    return list(_services.get(loop, {}).values())


async def try_store(settings: Settings) -> str | None:
    """Return a note if the store fails and may work later. Raise ConfigurationError if it cannot work."""
    from lib.upstreams.chatglm import store_trial

    return await store_trial.try_store(settings.store)


async def close_services() -> None:
    """Close everything that the running loop has opened, at the end of a server."""
    for services in _services.pop(asyncio.get_running_loop(), {}).values():
        await services.aclose()
