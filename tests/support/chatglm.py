"""The client of the upstream, as the tests make it."""

from __future__ import annotations

from typing import Any

from lib.upstreams.chatglm.wire.client import Config

SECRET = "8a1317a7468aa3ad86e997d08f3f31cb"
USER_AGENT = "Mozilla/5.0 (test)"


def config(base_url: str, **changes: Any) -> Config:
    return Config(
        base_url=base_url,
        sign_secret=SECRET,
        app_version="0.0.1",
        user_agent=USER_AGENT,
        assistant_id="65940acff94777010aa6b796",
        connect_timeout_s=2.0,
        **changes,
    )
