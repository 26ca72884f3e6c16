"""The services of a process: which upstreams there are, under which settings."""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from lib.settings import Settings
from lib.upstreams.interface import Upstream


class ProcessServices:
    """The services of one event loop, under one set of settings. A cold start may lose all of it."""

    def __init__(self, settings: Settings) -> None:
        from lib.upstreams.chatglm.upstream import ChatGLMUpstream

        self.settings = settings
        self.upstreams: tuple[Upstream, ...] = (ChatGLMUpstream(settings),)


_services: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Settings, ProcessServices]] = WeakKeyDictionary()


def services_of(settings: Settings) -> ProcessServices:
    """Return the running loop's services for these settings. The first use makes them."""
    of_loop = _services.setdefault(asyncio.get_running_loop(), {})
    if settings not in of_loop:
        of_loop[settings] = ProcessServices(settings)
    return of_loop[settings]
