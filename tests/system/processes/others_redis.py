"""A redis-server that somebody else has started, as the double of Upstash wants it."""

from __future__ import annotations

import threading
import time
from typing import Any

import redis

from tests.unit.store.redis_server import RedisServer

WITHHELD_S = 0.5
"""Shorter than any time limit."""


class OthersRedis(RedisServer):
    def __init__(self, port: int) -> None:
        self.port = port
        self._client = redis.Redis(port=port, protocol=2)
        self._client.response_callbacks.clear()  # Redis's answers as they are


class WithholdingRedis(OthersRedis):
    """Carries every command out at once; the answer to one of them can be made to come later."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.withholds = threading.Event()
        self._option = ""

    def withhold(self, option: str) -> None:
        """The next command with this option is meant; the keys tell nobody what they are about."""
        self._option = option

    def call(self, *command: str | int) -> Any:
        answer = super().call(*command)
        if self._option and self._option in command:
            self._option = ""
            self.withholds.set()
            time.sleep(WITHHELD_S)
        return answer
