"""The simulated official API on a real socket, in a thread of its own."""

from __future__ import annotations

from typing import Any

from simulator.server import ThreadServer

from .app import Official


class OfficialServer(ThreadServer):
    """`with OfficialServer() as server:` serves until the block ends."""

    def __init__(self, official: Official | None = None, *, port: int = 0, **options: Any) -> None:
        self.official = official or Official(**options)
        super().__init__(self.official.app, name="official", path="/api/paas/v4", port=port)
