"""Upstash's REST in front of a real redis-server: a command as a JSON array, a token, an answer as JSON."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lib.store.settings import UpstashSettings
from tests.support.waiting import wait_until
from tests.unit.store.redis_server import RedisServer

TOKEN = "upstash-token"


class UpstashDouble:
    """Passes commands on as they come; `app` is it in-process, `url` where `running_upstash` serves it."""

    def __init__(self, server: RedisServer) -> None:
        self.redis = server
        self.commands: list[list[str]] = []
        self.url = ""
        self.app = Starlette(routes=[Route("/", self._answer, methods=["POST"])])

    @property
    def environ(self) -> dict[str, str]:
        """What Upstash's integration sets on a host."""
        return {"KV_REST_API_URL": self.url, "KV_REST_API_TOKEN": TOKEN}

    @property
    def store(self) -> UpstashSettings:
        return UpstashSettings(self.url, TOKEN)

    async def _answer(self, request: Request) -> JSONResponse:
        if request.headers["authorization"] != f"Bearer {TOKEN}":
            return JSONResponse({"error": "WRONGPASS invalid or missing auth token"}, 401)
        command = json.loads(await request.body())
        self.commands.append(command)
        try:
            result = await asyncio.to_thread(self.redis.call, *command)
        except redis.exceptions.ResponseError as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse({"result": _as_text(result)})


def _as_text(result: Any) -> Any:
    if isinstance(result, list):
        return [_as_text(each) for each in result]
    return result.decode() if isinstance(result, bytes) else result


@contextmanager
def running_upstash(server: RedisServer) -> Iterator[UpstashDouble]:
    double = UpstashDouble(server)
    listener = socket.create_server(("127.0.0.1", 0))
    double.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    serving = uvicorn.Server(uvicorn.Config(double.app, lifespan="off", ws="none", log_config=None))
    thread = threading.Thread(target=serving.run, args=([listener],), name="upstash", daemon=True)
    thread.start()
    try:
        wait_until(lambda: serving.started, 10, "the double of Upstash listens")
        yield double
    finally:
        serving.should_exit = True
        thread.join(10)
        listener.close()
