"""Upstash's REST, as far as it is used: commands as JSON arrays, a token, on a clock of the test's."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

TOKEN = "upstash-token"


class UpstashDouble:
    def __init__(self, now: Callable[[], float]) -> None:
        self.commands: list[list[str]] = []
        self.entries: dict[str, tuple[str, float]] = {}
        self._now = now
        self.app = Starlette(routes=[Route("/", self._answer, methods=["POST"])])

    async def _answer(self, request: Request) -> JSONResponse:
        if request.headers["authorization"] != f"Bearer {TOKEN}":
            return JSONResponse({"error": "WRONGPASS invalid or missing auth token"}, 401)
        command = json.loads(await request.body())
        self.commands.append(command)
        return JSONResponse({"result": self._run(*command)})

    def _run(self, name: str, *arguments: str) -> Any:
        if name == "GET":
            return self._live(arguments[0])
        if name == "SET":
            key, value, *options = arguments
            if "NX" in options and self._live(key) is not None:
                return None
            ttl_ms = int(options[options.index("PX") + 1])
            self.entries[key] = (value, self._now() + ttl_ms / 1000)
            return "OK"
        assert name == "EVAL"
        script, _, key, value = arguments
        assert "redis.call('GET'" in script
        assert "redis.call('DEL'" in script
        if self._live(key) != value:
            return 0
        del self.entries[key]
        return 1

    def _live(self, key: str) -> str | None:
        value, expires_at = self.entries.get(key, ("", 0.0))
        return value if expires_at > self._now() else None
