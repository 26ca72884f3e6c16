"""Makes the reader of files that callers or upstreams name."""

from __future__ import annotations

from lib.files.fetcher import Fetcher, FetchLimits
from lib.settings import Settings

FETCH_IDLE_TIMEOUT_S = 30.0
"""A server of files that says nothing for so long is stuck; a model that says nothing may be thinking."""


def make_fetcher(settings: Settings) -> Fetcher:
    limits = FetchLimits(
        connect_s=settings.connect_timeout_s, idle_s=min(settings.idle_timeout_s, FETCH_IDLE_TIMEOUT_S)
    )
    return Fetcher(allow_hosts=settings.fetch_allow_hosts, limits=limits)
